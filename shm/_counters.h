/* Counters and histograms, as shm/counters.py: one word each, written by one process. */
#ifndef TANDEM_COUNTERS_H
#define TANDEM_COUNTERS_H

#include "_layout.h"
#include "_words.h"

static inline void counter_add(int64_t *counter, int64_t amount) {
    store_relaxed(counter, load_relaxed(counter) + amount);
}

static inline int64_t histogram_bucket(int64_t value_ns) {
    if (value_ns < INT64_C(1) << HISTOGRAM_LOWEST_BITS) return 0;
    int bits = 63 - __builtin_clzll((unsigned long long)value_ns);
    int64_t octaves = HISTOGRAM_HIGHEST_BITS - HISTOGRAM_LOWEST_BITS, sub = INT64_C(1) << HISTOGRAM_SUB_BITS;
    if (bits >= HISTOGRAM_HIGHEST_BITS) return 1 + octaves * sub;
    return 1 + (bits - HISTOGRAM_LOWEST_BITS) * sub + (value_ns >> (bits - HISTOGRAM_SUB_BITS)) - sub;
}

static inline void histogram_record(int64_t *histogram, int64_t value_ns) {
    if (value_ns > load_relaxed(histogram + HISTOGRAM_MAX)) store_relaxed(histogram + HISTOGRAM_MAX, value_ns);
    counter_add(histogram + HISTOGRAM_BUCKETS + histogram_bucket(value_ns), 1);
}

#endif
