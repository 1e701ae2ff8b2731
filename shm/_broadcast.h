/* A broadcast ring, as shm/broadcast.py: every record in order, for any number of readers. */
#ifndef TANDEM_BROADCAST_H
#define TANDEM_BROADCAST_H

#include <stdbool.h>
#include <string.h>

#include "_checksum.h"
#include "_layout.h"
#include "_words.h"

typedef struct {
    int64_t *words;
    int64_t mask, stride_words, record_size;
} RingWriter;

static inline void ring_publish(const RingWriter *ring, const void *body) {
    int64_t number = load_relaxed(ring->words + RING_NEWEST) + 1;
    int64_t *cell = ring->words + RING_CELLS + (number & ring->mask) * ring->stride_words;
    store_relaxed(cell, 2 * number - 1); /* odd: readers keep away */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    store_relaxed(cell + CELL_CHECKSUM, (int64_t)checksum(body, (size_t)ring->record_size, number));
    memcpy(cell + CELL_BODY, body, (size_t)ring->record_size);
    store_release(cell, 2 * number);
    store_release(ring->words + RING_NEWEST, number);
}

typedef struct {
    int64_t *words;
    int64_t mask, stride_words, record_size;
    int64_t next, overtaken, torn;
} RingReader;

static inline int64_t *ring_cell(const RingReader *ring, int64_t number) {
    return ring->words + RING_CELLS + (number & ring->mask) * ring->stride_words;
}

static inline bool ring_has_more(const RingReader *ring) {
    return load_acquire(ring_cell(ring, ring->next)) >= 2 * ring->next;
}

/* Copies the next record. False: there is none yet. */
static inline bool ring_poll(RingReader *ring, void *body) {
    for (;;) {
        int64_t number = ring->next, *cell = ring_cell(ring, number), sequence = load_acquire(cell);
        if (sequence < 2 * number) return false;
        if (sequence == 2 * number) {
            memcpy(body, cell + CELL_BODY, (size_t)ring->record_size);
            int64_t sum = load_relaxed(cell + CELL_CHECKSUM);
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (load_relaxed(cell) == sequence) {
                if (sum == (int64_t)checksum(body, (size_t)ring->record_size, number)) {
                    ring->next = number + 1;
                    return true;
                }
                ring->torn++; /* written in Python where stores are reordered: the body lags behind */
                return false;
            }
        }
        /* The newest number may lag behind the cell that overtook us; at least one record is lost. */
        int64_t newest = load_acquire(ring->words + RING_NEWEST);
        if (newest <= number) newest = number + 1;
        ring->overtaken += newest - number;
        ring->next = newest;
    }
}

#endif
