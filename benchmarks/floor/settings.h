/* What the floor is started with. */
#ifndef FLOOR_SETTINGS_H
#define FLOOR_SETTINGS_H

#include <stdbool.h>
#include <sys/types.h>

enum { VEST, PARADEX, VENUES };

typedef struct {
    int ports[VENUES];
    double entry_bps, exit_bps;
    const char *stamps_path; /* one line of JSON for each trade */
    const char *ca_path;     /* certificate to trust; NULL: plain sockets */
    bool is_one_process;
    int warm_us;       /* how often each process goes its way without consequence; 0: never */
    int fifo_priority; /* of SCHED_FIFO; 0: the scheduler's usual class */
    pid_t parent;      /* of every process of the floor */
} Settings;

#endif
