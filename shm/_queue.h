/* The writer's end of a queue ring, as shm/queue.py: messages to one reader, nothing ever overwritten. */
#ifndef TANDEM_QUEUE_H
#define TANDEM_QUEUE_H

#include <stdbool.h>
#include <string.h>

#include "_checksum.h"
#include "_layout.h"
#include "_words.h"

typedef struct {
    int64_t *words;
    int64_t capacity; /* bytes, a power of two */
} QueueWriter;

/* False when it does not fit now; that is counted. */
static inline bool queue_push(const QueueWriter *queue, const void *message, int64_t length) {
    int64_t *words = queue->words, tail = load_relaxed(words + QUEUE_TAIL), mask = queue->capacity - 1;
    int64_t needed = 8 + ((length + 7) & ~INT64_C(7)), to_end = queue->capacity - (tail & mask);
    int64_t skipped = needed > to_end ? to_end : 0;
    if (tail + skipped + needed - load_acquire(words + QUEUE_HEAD) > queue->capacity) {
        store_relaxed(words + QUEUE_REFUSED, load_relaxed(words + QUEUE_REFUSED) + 1);
        return false;
    }
    if (skipped) {
        words[QUEUE_MESSAGES + ((tail & mask) >> 3)] = ~tail; /* the skip mark: no message is below 0 */
        tail += skipped;
    }
    int64_t *at = words + QUEUE_MESSAGES + ((tail & mask) >> 3);
    memcpy(at + 1, message, (size_t)length);
    *at = (int64_t)checksum(message, (size_t)length, tail) << QUEUE_LENGTH_BITS | length;
    store_release(words + QUEUE_TAIL, tail + needed);
    return true;
}

#endif
