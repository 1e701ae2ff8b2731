/* Slots, as shm/slot.py: the latest value of each of a number of things. */
#ifndef TANDEM_SLOT_H
#define TANDEM_SLOT_H

#include <stdbool.h>
#include <string.h>

#include "_checksum.h"
#include "_layout.h"
#include "_words.h"

typedef struct {
    int64_t *words;
    int64_t capacity, stride; /* bytes */
} Slots;

enum { SLOT_ATTEMPTS = 64, SLOT_REPAIRED = -1 };

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

/* Copies the latest value; its size, or -1 where there is none to be believed. */
static inline int64_t slot_read(const Slots *slots, int64_t index, void *body) {
    const int64_t *words = slot_words(slots, index);
    for (int attempt = 0; attempt < SLOT_ATTEMPTS; attempt++) {
        int64_t sequence = load_acquire(words);
        if (sequence == 0) return -1;
        if (sequence & 1) continue;
        int64_t size = load_relaxed(words + SLOT_SIZE), sum = load_relaxed(words + SLOT_CHECKSUM);
        if (size < 0 || size > slots->capacity) continue; /* torn: the size belongs to another write */
        memcpy(body, words + SLOT_BODY, (size_t)size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (load_relaxed(words) != sequence) continue;
        if (sum == (int64_t)checksum(body, (size_t)size, sequence)) return size;
        if (sum == SLOT_REPAIRED) return -1;
    }
    return -1;
}

#endif
