/* Clocks in nanoseconds: every stamp of the benchmark is monotonic, the kernel's own are by the wall. */
#ifndef FLOOR_CLOCK_H
#define FLOOR_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t in_ns(struct timespec time) {
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static inline int64_t mono_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return in_ns(now);
}

static inline int64_t wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return in_ns(now);
}

#endif
