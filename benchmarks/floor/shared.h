/* What the processes share, and the records in it. Prices and sizes are integers scaled by 1e8. */
#ifndef FLOOR_SHARED_H
#define FLOOR_SHARED_H

#include "bell.h"
#include "ring.h"
#include "settings.h"

typedef struct {
    int64_t bid_e8, ask_e8, bid_size_e8, ask_size_e8;
    int64_t kernel_mono_ns; /* when the kernel had the frame; 0 over TLS, where OpenSSL reads the socket */
    int64_t recv_mono_ns, publish_mono_ns;
} Quote;

typedef struct {
    int64_t is_entry;
    int64_t kernel_mono_ns, recv_mono_ns, publish_mono_ns, seen_mono_ns, decided_mono_ns;
} Signal;

typedef struct {
    Ring quotes[VENUES]; /* feeds to detector */
    Ring signals;        /* detector to executor */
    Bell detector_bell, executor_bell;
    /* Written by the executor: whether both legs are held, how many signals are concluded, whether it is connected. */
    _Alignas(64) _Atomic int64_t is_in;
    _Atomic int64_t concluded;
    _Atomic int64_t is_ready;
} Shared;

_Static_assert(sizeof(Quote) <= RING_BODY && sizeof(Signal) <= RING_BODY, "a record fills one cell at most");

#endif
