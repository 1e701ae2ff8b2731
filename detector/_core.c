#define _GNU_SOURCE /* ppoll */
#include "_core.h"
#include "../shm/_library.h"
#include "_numbers.h"

#include <poll.h>
#include <time.h>

enum { SIGNAL_ID_BITS = 32 };

static int64_t now_mono_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

typedef struct {
    const Core *core;
    const Pair *pair;
} Books;

static const Depth *read_depth(void *books, int leg, Depth *into) {
    const Books *of = books;
    const Venue *venue = &of->core->venues[of->pair->venues[leg]];
    int64_t size = slot_read(&venue->depth, of->pair->instruments[leg], into, sizeof *into);
    int64_t levels = (size - (int64_t)offsetof(Depth, levels)) / (int64_t)sizeof(Level);
    /* Levels that it counts and does not bring are whatever lay here before. */
    if (size < (int64_t)offsetof(Depth, levels) || into->bids < 0 || into->asks < 0) return NULL;
    return into->bids > levels || into->asks > levels - into->bids ? NULL : into;
}

static void refresh_view(const Core *core, Pair *pair, int64_t pair_id) {
    int64_t sequence = slot_sequence(&core->views, pair_id);
    if (sequence == pair->view_sequence) return;
    pair->has_view = slot_read(&core->views, pair_id, &pair->view, sizeof pair->view) == sizeof pair->view;
    pair->view_sequence = pair->has_view ? sequence : -1; /* what could not be read is read again */
}

static Uncertain decide_pair(const Core *core, Pair *pair, Streak streaks[2], int64_t at_mono_ns, Outcome outcomes[2]) {
    const Venue *first = &core->venues[pair->venues[0]], *second = &core->venues[pair->venues[1]];
    int64_t first_s = first->maintenance_left_s, second_s = second->maintenance_left_s;
    Books books = {core, pair};
    Market market = {
        .quotes = {&core->quotes[pair->instruments[0]], &core->quotes[pair->instruments[1]]},
        .feeds = {first->status, second->status},
        .view = pair->has_view ? &pair->view : NULL,
        .pending_id = pair->pending_id,
        .pending_expires_mono_ns = pair->pending_expires_mono_ns,
        .maintenance_left_s = first_s > second_s ? first_s : second_s,
        .read_depth = read_depth,
        .books = &books,
        .now_mono_ns = at_mono_ns,
    };
    return decide(&pair->rules, &market, streaks, outcomes);
}

static void signal(Core *core, Pair *pair, int64_t pair_id, const Outcome *found, const Quote *quote,
                   int64_t seen_mono_ns) {
    pair->streaks[0].ticks = pair->streaks[1].ticks = 0;
    int64_t number = core->signal_count + 1, decided_mono_ns = now_mono_ns();
    Signal made = {
        .signal_id = (core->epoch << SIGNAL_ID_BITS) + number,
        .writer_epoch = core->epoch,
        .pair_id = pair_id,
        .kind = found->kind,
        .direction = found->direction,
        .layer = found->layer,
        .size_e8 = found->size_e8,
        .first_price_e8 = found->first_price_e8,
        .second_price_e8 = found->second_price_e8,
        .spread_bps = found->spread_bps,
        .edge_bps = found->edge_bps,
        .recv_mono_ns = quote->recv_mono_ns,
        .publish_mono_ns = quote->publish_mono_ns,
        .seen_mono_ns = seen_mono_ns,
        .decided_mono_ns = decided_mono_ns,
        .expires_mono_ns = decided_mono_ns + pair->rules.signal_ttl_ns,
    };
    bool is_pushed = queue_push(&core->signals, &made, sizeof made);
    if (is_pushed) bell_ring(&core->executor_bell);
    counter_add(pair->signals, 1);
    if (!is_pushed) { /* the executor is away and its queue is full of expired signals: nothing is owed */
        counter_add(core->signals_refused_total, 1);
        return;
    }
    core->signal_count = number;
    pair->pending_id = made.signal_id;
    pair->pending_expires_mono_ns = made.expires_mono_ns;
    histogram_record(core->seen_to_decided, decided_mono_ns - seen_mono_ns);
    core->decided[core->decided_count++] = made;
}

/* Gap.note of gap.py: the widest of each direction; what is too good to be true is no gap. */
static void note_gap(const Core *core, Pair *pair) {
    for (int which = 0; which < 2; which++) {
        const Quote *buy = &core->quotes[pair->instruments[which]];
        const Quote *sell = &core->quotes[pair->instruments[1 - which]];
        double gap_bps = bps_of(sell->bid_e8 - buy->ask_e8, buy->ask_e8);
        if (pair->widest_bps[which] < gap_bps && gap_bps <= pair->rules.gain_bps_max) pair->widest_bps[which] = gap_bps;
    }
}

/* False: the quote is Python's, and of ours nothing but the newest quotes has changed. */
static bool take_quote(Core *core, const Quote *quote, int64_t seen_mono_ns) {
    if (quote->instrument_id < 0 || quote->instrument_id >= core->instrument_count) {
        core->left_reason = UNCERTAIN_INSTRUMENT;
        return false;
    }
    int64_t pair_id = core->pair_of[quote->instrument_id];
    core->quotes[quote->instrument_id] = *quote;
    if (pair_id >= 0) {
        Pair *pair = &core->pairs[pair_id];
        Outcome outcomes[2];
        refresh_view(core, pair, pair_id);
        Uncertain reason = decide_pair(core, pair, pair->streaks, seen_mono_ns, outcomes);
        if (reason != CERTAIN) {
            core->left_reason = reason;
            return false;
        }
        for (int which = 0; which < 2; which++) /* first of all: everything else can wait */
            if (outcomes[which].is_opportunity) signal(core, pair, pair_id, &outcomes[which], quote, seen_mono_ns);
        for (int which = 0; which < 2; which++) {
            if (outcomes[which].is_opportunity) continue;
            counter_add(pair->gates[outcomes[which].gate], 1);
            pair->last_refusal = outcomes[which];
            pair->has_refused = true;
        }
        counter_add(pair->evaluations, 2);
        if (is_market_trusted(outcomes)) note_gap(core, pair);
    }
    counter_add(core->quotes_total, 1);
    histogram_record(core->publish_to_seen, seen_mono_ns - quote->publish_mono_ns);
    return true;
}

static void read_statuses(Core *core) {
    for (int64_t place = 0; place < core->venue_count; place++) {
        Venue *venue = &core->venues[place];
        venue->status = (FeedStatus){load_acquire(venue->connected) == 1, load_acquire(venue->heartbeat_mono_ns)};
    }
}

/* Quotes were lost in the ring: the newest of each instrument stands in its slot. */
static void catch_up(Core *core, int64_t place) {
    Venue *venue = &core->venues[place];
    counter_add(core->overtaken_total, venue->ring.overtaken - venue->overtaken_seen);
    venue->overtaken_seen = venue->ring.overtaken;
    for (int64_t id = 0; id < core->instrument_count; id++) {
        if (core->venue_of[id] != place) continue;
        Quote *newest = &core->quotes[id];
        if (slot_read(&venue->tops, id, newest, sizeof *newest) != sizeof *newest) *newest = (Quote){0};
    }
}

/* False: a quote was left to Python, or there is no room for another signal; call again for what is left. */
static bool drain(Core *core, int64_t place, int64_t *done) {
    Venue *venue = &core->venues[place];
    if (!core->taken) read_statuses(core);
    while (core->taken < QUOTES_PER_TURN) {
        Quote quote;
        if (core->decided_count == DECIDED_MAX) return false;
        if (!ring_poll(&venue->ring, &quote)) return true;
        core->taken++;
        int64_t seen_mono_ns = now_mono_ns();
        if (venue->ring.overtaken != venue->overtaken_seen) catch_up(core, place);
        if (!take_quote(core, &quote, seen_mono_ns)) {
            core->left = quote;
            core->left_seen_mono_ns = seen_mono_ns;
            return false;
        }
        ++*done;
    }
    return true;
}

int64_t core_has_work(const Core *core) {
    for (int64_t place = 0; place < core->venue_count; place++)
        if (ring_has_more(&core->venues[place].ring)) return true;
    return false;
}

int64_t core_turn(Core *core) {
    int64_t done = 0;
    core->left_reason = CERTAIN;
    core->is_cut = false;
    while (core->place < core->venue_count) {
        if (ring_has_more(&core->venues[core->place].ring) && !drain(core, core->place, &done)) {
            core->is_cut = true;
            return done;
        }
        core->place++;
        core->taken = 0;
    }
    core->place = 0;
    return done;
}

void core_rest(const Core *core, int64_t sleep_ns_max) {
    const Bell *bell = &core->own_bell;
    bell_drain(bell);
    bell_announce_sleep(bell);
    if (!core_has_work(core)) {
        struct pollfd rung = {.fd = bell->fd, .events = POLLIN};
        struct timespec most = {sleep_ns_max / 1000000000, sleep_ns_max % 1000000000};
        ppoll(&rung, 1, &most, NULL);
    }
    bell_awake(bell);
}

void core_keep_warm(Core *core) {
    int64_t pair_id = core->warm_next++ % core->pair_count;
    Pair *pair = &core->pairs[pair_id];
    Streak shadow[2] = {pair->streaks[0], pair->streaks[1]};
    Outcome outcomes[2];
    refresh_view(core, pair, pair_id);
    decide_pair(core, pair, shadow, now_mono_ns(), outcomes);
}

int64_t core_decide(const Rules *rules, const Quote quotes[2], const FeedStatus feeds[2], const PairView *view,
                    const int64_t pending[2], int64_t maintenance_left_s, ReadDepth *given, int64_t at_mono_ns,
                    Streak streaks[2], Outcome outcomes[2]) {
    Market market = {
        .quotes = {&quotes[0], &quotes[1]},
        .feeds = {feeds[0], feeds[1]},
        .view = view,
        .pending_id = pending[0],
        .pending_expires_mono_ns = pending[1],
        .maintenance_left_s = maintenance_left_s,
        .read_depth = given,
        .now_mono_ns = at_mono_ns,
    };
    return decide(rules, &market, streaks, outcomes);
}

double core_true_quotient(int64_t a, int64_t b, int64_t under) {
    return true_quotient((int128_t)a * b, under);
}

const int64_t *core_sizes(void) {
    static const int64_t sizes[] = {sizeof(Core), sizeof(Venue), sizeof(Pair), sizeof(Rules), sizeof(Outcome), GATES};
    return sizes;
}
