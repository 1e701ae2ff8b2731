/* The detector's decision on one quote of one pair: the compiled twin of strategy.py, gates.py and liquidity.py.

   decide() gives what PairStrategy.on_quote gives: an outcome for each direction, both numbers of a refusal, and the
   streaks as they are then. It says UNCERTAIN, with a reason, where Python's unbounded integers could differ from
   ours; the streaks are then untouched, and Python decides. Pure but for the streaks; the order of everything is
   the Python twin's. tests/detector/test_native.py holds both against each other. */
#ifndef TANDEM_DECIDE_H
#define TANDEM_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "../shm/_layout.h"

/* In the order of shm.entry_block.GATES. */
typedef enum {
    GATE_FEED_ALIVE,
    GATE_QUOTE_VALID,
    GATE_QUOTE_AGE,
    GATE_LEG_SKEW,
    GATE_ABSURD,
    GATE_THRESHOLD,
    GATE_EDGE,
    GATE_CONFIRMATION,
    GATE_SIZE,
    GATE_SLIPPAGE,
    GATE_PAIR_STATE,
    GATE_RISK_STATE,
    GATE_MAINTENANCE,
    GATE_COOL_DOWN,
    GATE_QUOTE_RATE, /* of pairs with a live rate alone, which are Python's */
    GATES,
} Gate;

/* Why a quote is Python's to decide; names in detector/native.py. */
typedef enum { CERTAIN, UNCERTAIN_RULES, UNCERTAIN_PRICE, UNCERTAIN_SIZE, UNCERTAIN_INSTRUMENT } Uncertain;

enum { LAYERS_MAX = 8 };

typedef struct {
    double trigger_bps;
    int64_t size_e8;
} Layer;

typedef struct {
    Layer layers[LAYERS_MAX];
    int64_t layer_count; /* 0: these rules do not fit here */
    double exit_bps, fees_bps, edge_bps_min, gain_bps_max, liquidity_ratio_min, slippage_bps_max, reach_bps;
    int64_t confirm_ticks, exit_confirm_ticks, quote_age_ns_max, leg_skew_ns_max, min_notional_e8;
    int64_t cooldown_ns, hold_ns_max, signal_ttl_ns;
    double slippage_bps, funding_bps; /* what is expected; may be learned meanwhile */
} Rules;

typedef struct {
    int64_t is_connected, beat_mono_ns;
} FeedStatus;

/* A leg's book, read when a touch is too thin; NULL: there is none. */
typedef const Depth *ReadDepth(void *books, int leg, Depth *into);

typedef struct {
    const Quote *quotes[2]; /* of the legs; without VALID until one has come */
    FeedStatus feeds[2];
    const PairView *view; /* NULL until the executor has spoken */
    int64_t pending_id;   /* 0: none */
    int64_t pending_expires_mono_ns;
    int64_t maintenance_left_s;
    ReadDepth *read_depth;
    void *books;
    int64_t now_mono_ns;
} Market;

typedef struct {
    int64_t target, ticks;
} Streak;

typedef union {
    int64_t whole;
    double real; /* of the gates that compare basis points */
} Number;

typedef struct {
    int64_t is_opportunity;
    /* A refusal. */
    int64_t gate;
    Number value, limit;
    /* An opportunity. */
    int64_t kind, direction, layer, size_e8, first_price_e8, second_price_e8;
    double spread_bps, edge_bps;
} Outcome;

/* Whether the quotes behind these outcomes passed the gates of both directions. */
static inline bool is_market_trusted(const Outcome outcomes[2]) {
    return outcomes[0].is_opportunity || outcomes[0].gate > GATE_LEG_SKEW;
}

/* Outcomes for direction +1 and -1, in this order. The streaks are those of the same directions. */
Uncertain decide(const Rules *rules, const Market *market, Streak streaks[2], Outcome outcomes[2]);

#endif
