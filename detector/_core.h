/* The detector's turn in C: quotes out of the rings, a decision on each, signals into the queue.

   Owned by one thread. Python fills the structure with addresses of memory that it has mapped, and keeps what
   follows from settings and clocks up to date between two calls. */
#ifndef TANDEM_CORE_H
#define TANDEM_CORE_H

#include "../shm/_broadcast.h"
#include "../shm/_counters.h"
#include "../shm/_doorbell.h"
#include "../shm/_queue.h"
#include "../shm/_slot.h"
#include "_decide.h"

enum { QUOTES_PER_TURN = 64, DECIDED_MAX = 64 };

typedef struct {
    RingReader ring;
    Slots tops, depth;
    const int64_t *connected, *heartbeat_mono_ns; /* counters of its feed */
    FeedStatus status;
    int64_t maintenance_left_s;
    int64_t overtaken_seen; /* of ring.overtaken: what came of it is done */
} Venue;

typedef struct {
    int64_t instruments[2], venues[2]; /* of the legs: ids, and places in Core.venues */
    Rules rules;
    Streak streaks[2];
    PairView view;
    int64_t has_view, view_sequence;
    int64_t pending_id, pending_expires_mono_ns; /* 0: none */
    int64_t *evaluations, *signals, *gates[GATES]; /* counters */
    double widest_bps[2]; /* gap of each direction since Python took it; minus infinity: none */
    int64_t has_refused;
    Outcome last_refusal;
} Pair;

typedef struct {
    int64_t venue_count, pair_count, instrument_count;
    Venue *venues;
    Pair *pairs;
    Quote *quotes;              /* the newest of each instrument; all zero until one has come */
    const int64_t *pair_of;     /* of each instrument; -1: none */
    const int64_t *venue_of;    /* place in venues */
    Slots views;
    QueueWriter signals;
    Bell executor_bell, own_bell;
    int64_t *quotes_total, *overtaken_total, *signals_refused_total, *publish_to_seen, *seen_to_decided;
    int64_t epoch, signal_count;
    /* Signals that Python has not reported yet; when there is no room, turns end until there is. */
    Signal decided[DECIDED_MAX];
    int64_t decided_count;
    /* The pair's quote that is Python's to decide, and why: an Uncertain. The turn ends with it. */
    Quote left;
    int64_t left_reason, left_seen_mono_ns;
    /* A turn that Python's part cut goes on where it stopped: at this venue, so many of its quotes taken. */
    int64_t is_cut, place, taken;
    int64_t warm_next;
} Core;

/* Decides on what has come, as far as it is certain; returns how many quotes that was. While is_cut, Python takes in
   what was left to it and calls again. */
int64_t core_turn(Core *core);

/* true_quotient() of a product: a * b / under. For tests. */
double core_true_quotient(int64_t a, int64_t b, int64_t under);

/* Whether a turn would find a quote. */
int64_t core_has_work(const Core *core);

/* Sleeps until rung, at most so long. The turn comes after Python has read the clock: a maintenance window may
   have begun meanwhile, or other settings be in force. */
void core_rest(const Core *core, int64_t sleep_ns_max);

/* Decides one pair on what is known already, and forgets it. */
void core_keep_warm(Core *core);

/* decide() for callers that have each thing by itself; a view of NULL is absent. */
int64_t core_decide(const Rules *rules, const Quote quotes[2], const FeedStatus feeds[2], const PairView *view,
                    const int64_t pending[2], int64_t maintenance_left_s, ReadDepth *given, int64_t at_mono_ns,
                    Streak streaks[2], Outcome outcomes[2]);

/* Sizes of the structures that Python fills: Core, Venue, Pair, Rules, Outcome; and the number of gates. */
const int64_t *core_sizes(void);

#endif
