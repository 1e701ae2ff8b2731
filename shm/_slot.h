/* Slots, as shm/slot.py: the latest value of each of a number of things. */
#ifndef TANDEM_SLOT_H
#define TANDEM_SLOT_H

#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "_checksum.h"
#include "_layout.h"
#include "_words.h"

typedef struct {
    int64_t *words;
    int64_t capacity, stride; /* bytes */
} Slots;

/* Python's writes take microseconds; a slot that is odd for longer has a writer that is dead, or was stopped. */
enum { SLOT_WAIT_NS = 10000, SLOT_REPAIRED = -1 };

static inline int64_t slot_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Whether to try again; the first try costs no look at the clock. */
static inline bool slot_may_wait(int64_t *until_ns) {
    int64_t now_ns = slot_now_ns();
    if (!*until_ns) *until_ns = now_ns + SLOT_WAIT_NS;
    return now_ns < *until_ns;
}

static inline int64_t *slot_words(const Slots *slots, int64_t index) {
    return slots->words + (index * slots->stride >> 3);
}

static inline int64_t slot_sequence(const Slots *slots, int64_t index) {
    return load_acquire(slot_words(slots, index));
}

static inline void slot_write(const Slots *slots, int64_t index, const void *body, int64_t size) {
    int64_t *words = slot_words(slots, index), sequence = load_relaxed(words) | 1;
    store_relaxed(words, sequence); /* odd: readers keep away */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    words[SLOT_SIZE] = size;
    words[SLOT_CHECKSUM] = checksum(body, (size_t)size, sequence + 1);
    memcpy(words + SLOT_BODY, body, (size_t)size);
    store_release(words, sequence + 1);
}

/* Copies the latest value into so many bytes; its size, or -1 where there is none to be believed, or room. */
static inline int64_t slot_read(const Slots *slots, int64_t index, void *body, int64_t room) {
    const int64_t *words = slot_words(slots, index);
    int64_t until_ns = 0;
    do {
        int64_t sequence = load_acquire(words);
        if (sequence == 0) return -1;
        if (sequence & 1) continue;
        int64_t size = load_relaxed(words + SLOT_SIZE), sum = load_relaxed(words + SLOT_CHECKSUM);
        /* Torn: the size belongs to another write. Or another version's table has larger slots. */
        if (size < 0 || size > slots->capacity || size > room) continue;
        memcpy(body, words + SLOT_BODY, (size_t)size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (load_relaxed(words) != sequence) continue;
        if (sum == (int64_t)checksum(body, (size_t)size, sequence)) return size;
        if (sum == SLOT_REPAIRED) return -1;
    } while (slot_may_wait(&until_ns));
    return -1;
}

#endif
