/* The shared memory's layouts in C, as the modules of this folder have them: records, tables and the words between them.

   Every field has its Python name. LAYOUT names each offset and size; shm/native_layout.py holds it against
   Python's own when a compiled part is built and again when one is loaded. */
#ifndef TANDEM_LAYOUT_H
#define TANDEM_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t instrument_id, bid_e8, ask_e8, bid_size_e8, ask_size_e8, venue_unix_ns, recv_mono_ns, publish_mono_ns;
    int64_t venue_sequence, flags, writer_epoch;
} Quote;

enum { QUOTE_VALID = 1, QUOTE_STALE = 4 };

typedef struct {
    int64_t signal_id, writer_epoch, pair_id, kind, direction, layer, size_e8, first_price_e8, second_price_e8;
    double spread_bps, edge_bps;
    int64_t recv_mono_ns, publish_mono_ns, seen_mono_ns, decided_mono_ns, expires_mono_ns;
} Signal;

enum { KIND_ENTER = 1, KIND_EXIT = 2 };

typedef struct {
    int64_t pair_id, phase, direction, size_e8, naked_e8, layers_open, entries_allowed;
    double entry_spread_bps;
    int64_t opened_mono_ns, closed_mono_ns, trade_id, last_signal_id, updated_mono_ns;
} PairView;

enum { PHASE_UNKNOWN = 0, PHASE_FLAT = 1, PHASE_HEDGED = 3 };

enum { DEPTH_LEVELS = 20 };

typedef struct {
    int64_t price_e8, size_e8;
} Level;

typedef struct {
    int64_t bids, asks, recv_mono_ns, venue_sequence, is_valid;
    Level levels[2 * DEPTH_LEVELS]; /* the bids, then the asks */
} Depth;

/* Words of the tables, counted from the body. */
enum { SLOT_SEQUENCE, SLOT_SIZE, SLOT_CHECKSUM, SLOT_BODY };
enum { RING_NEWEST = 0, RING_CELLS = 8 };
enum { CELL_SEQUENCE, CELL_CHECKSUM, CELL_BODY };
enum { QUEUE_TAIL = 0, QUEUE_REFUSED = 1, QUEUE_HEAD = 8, QUEUE_MESSAGES = 16 };
enum { QUEUE_LENGTH_BITS = 24 };
enum { HISTOGRAM_MAX, HISTOGRAM_BUCKETS };
enum { HISTOGRAM_LOWEST_BITS = 8, HISTOGRAM_HIGHEST_BITS = 37, HISTOGRAM_SUB_BITS = 3 };

typedef struct {
    const char *name;
    int64_t value;
} LayoutItem;

#endif
