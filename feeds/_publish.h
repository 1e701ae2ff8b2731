/* A feed's usual frame, from its bytes to shared memory: what connection.py and publisher.py do with it. */
#ifndef TANDEM_PUBLISH_H
#define TANDEM_PUBLISH_H

#include "../shm/_broadcast.h"
#include "../shm/_counters.h"
#include "../shm/_doorbell.h"
#include "../shm/_slot.h"
#include "../venues/_reading.h"

typedef struct {
    ReadFrame *read_frame;
    Channels channels;
    int64_t is_open;          /* by Python: 1 once every instrument has had a valid quote, until the connection ends */
    int64_t tick_mono_ns;     /* by Python: it has run since; a process that stood still reads old frames */
    int64_t still_ns_max;
    int64_t last_data_mono_ns; /* by both */
    int64_t writer_epoch;
    Slots tops, depths;
    RingWriter ring;
    Bell bell;
    int64_t *frames_total, *quotes_total, *depths_total, *last_data, *recv_to_publish;
    int64_t *handed_over[UNREAD_REASONS]; /* none for READ */
} Feed;

static inline void feed_publish_quote(const Feed *feed, Quote *quote, int64_t recv_mono_ns) {
    quote->recv_mono_ns = recv_mono_ns;
    quote->flags = QUOTE_VALID;
    quote->writer_epoch = feed->writer_epoch;
    quote->publish_mono_ns = slot_now_ns();
    slot_write(&feed->tops, quote->instrument_id, quote, sizeof *quote);
    ring_publish(&feed->ring, quote);
    bell_ring(&feed->bell);
    counter_add(feed->quotes_total, 1);
    histogram_record(feed->recv_to_publish, quote->publish_mono_ns - recv_mono_ns);
}

static inline void feed_publish_depth(const Feed *feed, int64_t instrument_id, Depth *depth, int64_t recv_mono_ns) {
    int64_t levels = depth->bids + depth->asks;
    depth->recv_mono_ns = recv_mono_ns;
    depth->is_valid = 1;
    slot_write(&feed->depths, instrument_id, depth, (int64_t)offsetof(Depth, levels) + levels * (int64_t)sizeof(Level));
    counter_add(feed->depths_total, 1);
}

/* READ: the frame was published. Anything else: nothing was done, and that is counted. */
static inline Unread feed_take(Feed *feed, const char *frame, int64_t size, bool is_binary, int64_t recv_mono_ns) {
    Reading reading;
    Unread unread = CLOSED;
    if (feed->is_open && recv_mono_ns - feed->tick_mono_ns <= feed->still_ns_max)
        unread = feed->read_frame(&feed->channels, frame, size, is_binary, &reading);
    if (unread != READ) {
        counter_add(feed->handed_over[unread], 1);
        return unread;
    }
    counter_add(feed->frames_total, 1);
    if (reading.has_quote) feed_publish_quote(feed, &reading.quote, recv_mono_ns);
    if (reading.has_depth) feed_publish_depth(feed, reading.quote.instrument_id, &reading.depth, recv_mono_ns);
    feed->last_data_mono_ns = recv_mono_ns;
    store_relaxed(feed->last_data, recv_mono_ns);
    return READ;
}

#endif
