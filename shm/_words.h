/* Words that two processes share: stored and loaded whole, in an order that both keep. */
#ifndef TANDEM_WORDS_H
#define TANDEM_WORDS_H

#include <stdint.h>

static inline int64_t load_acquire(const int64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline int64_t load_relaxed(const int64_t *word) {
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline void store_release(int64_t *word, int64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline void store_relaxed(int64_t *word, int64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

#endif
