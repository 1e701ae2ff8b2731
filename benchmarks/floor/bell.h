/* A doorbell: wakes a process that sleeps on shared memory, and costs no system call while it is awake. */
#ifndef FLOOR_BELL_H
#define FLOOR_BELL_H

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fail.h"

typedef struct {
    _Alignas(64) _Atomic int64_t is_asleep;
    int fd; /* inherited by every process */
} Bell;

static inline void bell_make(Bell *bell) {
    bell->fd = eventfd(0, EFD_NONBLOCK);
    if (bell->fd < 0) fail("eventfd");
}

static inline void bell_ring(Bell *bell) {
    if (!atomic_exchange(&bell->is_asleep, 0)) return;
    int64_t one = 1;
    if (write(bell->fd, &one, sizeof one) < 0) fail("ringing a bell");
}

/* From now on bell_ring wakes: look for work once more before sleeping. */
static inline void bell_announce_sleep(Bell *bell) {
    atomic_store(&bell->is_asleep, 1);
}

static inline void bell_drain(Bell *bell) {
    int64_t rung;
    if (read(bell->fd, &rung, sizeof rung) < 0 && errno != EAGAIN) fail("draining a bell");
}

#endif
