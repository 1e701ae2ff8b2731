#define _GNU_SOURCE /* epoll_pwait2 */
#include "wait.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"

static const long SLEEP_NS_MAX = 10000000; /* as Tandem: a ring may be missed, see shm/doorbell.py */

void wait_set_up(const Settings *settings) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != settings->parent) exit(1); /* it died before it was asked for */
    prctl(PR_SET_TIMERSLACK, 1);
    if (!settings->fifo_priority) return;
    struct sched_param wanted = {.sched_priority = settings->fifo_priority};
    if (sched_setscheduler(0, SCHED_FIFO, &wanted) < 0) fail("SCHED_FIFO");
}

int wait_on(const int *fds, int count) {
    int epoll = epoll_create1(0);
    for (int number = 0; number < count; number++) {
        struct epoll_event wanted = {.events = EPOLLIN};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[number], &wanted) < 0) fail("epoll");
    }
    return epoll;
}

bool wait_for(int epoll, const Settings *settings) {
    struct epoll_event event;
    struct timespec most = {.tv_nsec = settings->warm_us ? settings->warm_us * 1000L : SLEEP_NS_MAX};
    int count = epoll_pwait2(epoll, &event, 1, &most, NULL);
    if (count < 0 && errno != EINTR) fail("epoll");
    return count > 0;
}
