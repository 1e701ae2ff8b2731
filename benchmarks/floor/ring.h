/* A broadcast ring: one writer, readers that each keep the number they want next. A reader that is overtaken
   goes on with the newest record. As in shm/broadcast.py, without its checksums. */
#ifndef FLOOR_RING_H
#define FLOOR_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { RING_CELLS = 64, RING_BODY = 56 };

typedef struct {
    _Atomic int64_t sequence; /* 2n - 1 while record n is written, 2n when it is whole */
    char body[RING_BODY];
} Cell; /* a cache line */

typedef struct {
    _Alignas(64) _Atomic int64_t newest; /* records are numbered from 1 */
    _Alignas(64) Cell cells[RING_CELLS];
} Ring;

static inline void ring_publish(Ring *ring, const void *body, size_t size) {
    int64_t number = atomic_load_explicit(&ring->newest, memory_order_relaxed) + 1;
    Cell *cell = &ring->cells[number % RING_CELLS];
    atomic_store_explicit(&cell->sequence, 2 * number - 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    memcpy(cell->body, body, size);
    atomic_store_explicit(&cell->sequence, 2 * number, memory_order_release);
    atomic_store_explicit(&ring->newest, number, memory_order_release);
}

static inline bool ring_has_more(Ring *ring, int64_t next) {
    return atomic_load_explicit(&ring->newest, memory_order_acquire) >= next;
}

/* Copies record *next, or the newest one if that is gone, and counts on. False: there is none yet. */
static inline bool ring_poll(Ring *ring, int64_t *next, void *body, size_t size) {
    while (ring_has_more(ring, *next)) {
        Cell *cell = &ring->cells[*next % RING_CELLS];
        int64_t before = atomic_load_explicit(&cell->sequence, memory_order_acquire);
        memcpy(body, cell->body, size);
        atomic_thread_fence(memory_order_acquire);
        int64_t after = atomic_load_explicit(&cell->sequence, memory_order_relaxed);
        if (before == 2 * *next && after == before) {
            ++*next;
            return true;
        }
        *next = atomic_load_explicit(&ring->newest, memory_order_acquire);
    }
    return false;
}

#endif
