/* A doorbell, as shm/doorbell.py: wakes a process that has announced its sleep. */
#ifndef TANDEM_DOORBELL_H
#define TANDEM_DOORBELL_H

#include <stdbool.h>
#include <unistd.h>

#include "_words.h"

typedef struct {
    int64_t *word;
    int fd; /* -1: nobody can be woken */
} Bell;

/* Both sides store and then load, so both are sequentially consistent: of two in C no ring is missed. */
static inline void bell_ring(const Bell *bell) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* what was published comes before the look at who sleeps */
    if (!__atomic_load_n(bell->word, __ATOMIC_SEQ_CST)) return;
    int64_t one = 1;
    store_release(bell->word, 0);
    if (bell->fd >= 0 && write(bell->fd, &one, sizeof one) < 0) return; /* full: it is readable already */
}

static inline void bell_announce_sleep(const Bell *bell) {
    __atomic_store_n(bell->word, 1, __ATOMIC_SEQ_CST);
}

static inline void bell_awake(const Bell *bell) {
    store_release(bell->word, 0);
}

static inline void bell_drain(const Bell *bell) {
    int64_t rung;
    if (read(bell->fd, &rung, sizeof rung) < 0) return; /* another wake-up drained it already */
}

#endif
