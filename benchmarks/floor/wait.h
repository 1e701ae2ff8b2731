/* Waiting: for descriptors, for a bounded time, and what a process asks of the scheduler before. */
#ifndef FLOOR_WAIT_H
#define FLOOR_WAIT_H

#include "settings.h"

/* Ties this process to its parent's life, and takes its priority from the settings. Ends it when that is refused. */
void wait_set_up(const Settings *settings);

/* An epoll of these descriptors. */
int wait_on(const int *fds, int count);

/* Sleeps until one is readable, or it is time to keep warm. False: nothing came. */
bool wait_for(int epoll, const Settings *settings);

#endif
