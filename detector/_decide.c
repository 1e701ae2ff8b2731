#include "_decide.h"

#include "_numbers.h"

enum { EXIT_TARGET = -1 };

static const int64_t E8 = 100000000, FEED_BEAT_AGE_NS_MAX = 1000000000;

/* Prices and sizes below this leave room for every product here. */
static const int64_t CERTAIN_MAX = INT64_C(1) << 60;

static bool refuse(Outcome *outcome, Gate gate, int64_t value, int64_t limit) {
    *outcome = (Outcome){.gate = gate, .value.whole = value, .limit.whole = limit};
    return true;
}

static bool refuse_bps(Outcome *outcome, Gate gate, double value, double limit) {
    *outcome = (Outcome){.gate = gate, .value.real = value, .limit.real = limit};
    return true;
}

/* --- can these quotes be believed? (distrust_market) --- */

static bool feed_alive(const FeedStatus *feed, const Quote *quote, int64_t now_mono_ns, Outcome *outcome) {
    if (!feed->is_connected || quote->flags & QUOTE_STALE) return refuse(outcome, GATE_FEED_ALIVE, 0, 1);
    int64_t age_ns = now_mono_ns - feed->beat_mono_ns;
    return age_ns > FEED_BEAT_AGE_NS_MAX && refuse(outcome, GATE_FEED_ALIVE, age_ns, FEED_BEAT_AGE_NS_MAX);
}

static bool quote_valid(const Quote *quote, Outcome *outcome) {
    return !(quote->flags & QUOTE_VALID) && refuse(outcome, GATE_QUOTE_VALID, quote->flags, QUOTE_VALID);
}

static bool distrusts(const Rules *rules, const Market *market, Outcome *outcome) {
    const Quote *first = market->quotes[0], *second = market->quotes[1];
    int64_t now_mono_ns = market->now_mono_ns, first_ns = first->recv_mono_ns, second_ns = second->recv_mono_ns;
    if (feed_alive(&market->feeds[0], first, now_mono_ns, outcome)) return true;
    if (feed_alive(&market->feeds[1], second, now_mono_ns, outcome)) return true;
    if (quote_valid(first, outcome) || quote_valid(second, outcome)) return true;
    int64_t age_ns = now_mono_ns - (first_ns < second_ns ? first_ns : second_ns);
    if (age_ns > rules->quote_age_ns_max) return refuse(outcome, GATE_QUOTE_AGE, age_ns, rules->quote_age_ns_max);
    int64_t skew_ns = first_ns > second_ns ? first_ns - second_ns : second_ns - first_ns;
    return skew_ns > rules->leg_skew_ns_max && refuse(outcome, GATE_LEG_SKEW, skew_ns, rules->leg_skew_ns_max);
}

/* --- what is within reach (_reach, liquidity.py) --- */

typedef struct {
    int64_t price_e8, size_e8;
} Touch;

typedef struct {
    const Level *levels;
    int64_t count;
} Side;

/* Price and size an order takes: the ask for a buy, the bid for a sell. */
static Touch touch_of(const Quote *quote, int sign) {
    return sign > 0 ? (Touch){quote->ask_e8, quote->ask_size_e8} : (Touch){quote->bid_e8, quote->bid_size_e8};
}

static Side usable_levels(const Rules *rules, const Market *market, int leg, int sign, Depth *into) {
    const Depth *book = market->read_depth(market->books, leg, into);
    if (!book || !book->is_valid) return (Side){0};
    if (book->bids < 0 || book->asks < 0 || book->bids > 2 * DEPTH_LEVELS - book->asks) return (Side){0};
    if (market->now_mono_ns - book->recv_mono_ns > rules->quote_age_ns_max) return (Side){0};
    return sign > 0 ? (Side){book->levels + book->bids, book->asks} : (Side){book->levels, book->bids};
}

static int64_t size_within_e8(Side side, int sign, int64_t touch_e8, double reach_bps) {
    int64_t worst_e8 = touch_e8 + sign * (int64_t)((double)touch_e8 * reach_bps / 10000), total_e8 = 0;
    for (int64_t at = 0; at < side.count; at++) {
        if ((side.levels[at].price_e8 - worst_e8) * sign > 0) break;
        if (side.levels[at].size_e8 >= CERTAIN_MAX - total_e8) return CERTAIN_MAX; /* more than any order needs */
        total_e8 += side.levels[at].size_e8;
    }
    return total_e8;
}

static double past_touch_bps(Side side, int sign, int64_t touch_e8, int64_t size_e8) {
    int64_t left_e8 = size_e8, last_e8 = touch_e8;
    int128_t paid = 0;
    for (int64_t at = 0; at < side.count; at++) {
        int64_t level_e8 = side.levels[at].size_e8, taken_e8 = left_e8 < level_e8 ? left_e8 : level_e8;
        last_e8 = side.levels[at].price_e8;
        paid += (int128_t)taken_e8 * last_e8;
        left_e8 -= taken_e8;
        if (!left_e8) break;
    }
    double average = true_quotient(paid + (int128_t)left_e8 * last_e8, size_e8);
    return 10000 * (average - (double)touch_e8) / (double)touch_e8 * sign;
}

typedef struct {
    int64_t available_e8;
    double slippage_bps;
} Reach;

static Reach reach(const Rules *rules, const Market *market, int direction, int64_t needed_e8, int64_t size_e8,
                   double slack_bps) {
    const int signs[2] = {direction, -direction};
    Touch touches[2] = {touch_of(market->quotes[0], signs[0]), touch_of(market->quotes[1], signs[1])};
    int thin = (touches[0].size_e8 < needed_e8) + (touches[1].size_e8 < needed_e8);
    Reach found = {needed_e8, 0.0};
    for (int leg = 0; leg < 2; leg++) {
        Touch touch = touches[leg];
        if (touch.size_e8 >= needed_e8) continue;
        Depth book;
        Side side = usable_levels(rules, market, leg, signs[leg], &book);
        double share_bps = slack_bps / thin, reach_bps = share_bps < rules->reach_bps ? share_bps : rules->reach_bps;
        int64_t deep_e8 = size_within_e8(side, signs[leg], touch.price_e8, reach_bps);
        int64_t most_e8 = deep_e8 > touch.size_e8 ? deep_e8 : touch.size_e8;
        if (most_e8 < found.available_e8) found.available_e8 = most_e8;
        if (touch.size_e8 < size_e8)
            found.slippage_bps += past_touch_bps(side, signs[leg], touch.price_e8, size_e8);
    }
    return found;
}

/* --- is the executor free for it? --- */

static bool still_pending(const Market *market, Outcome *outcome) {
    if (!market->pending_id || market->now_mono_ns > market->pending_expires_mono_ns) return false;
    int64_t consumed = market->view ? market->view->last_signal_id : 0;
    return consumed < market->pending_id && refuse(outcome, GATE_PAIR_STATE, consumed, market->pending_id);
}

static bool entry_state(const PairView *view, int direction, int64_t layers, Outcome *outcome) {
    if (!view) return refuse(outcome, GATE_PAIR_STATE, PHASE_UNKNOWN, PHASE_FLAT);
    if (view->phase == PHASE_FLAT) return false;
    if (view->phase != PHASE_HEDGED || view->direction != direction)
        return refuse(outcome, GATE_PAIR_STATE, view->phase, PHASE_FLAT);
    return view->layers_open >= layers && refuse(outcome, GATE_PAIR_STATE, view->layers_open, layers);
}

static bool cool_down(const Rules *rules, const Market *market, Outcome *outcome) {
    const PairView *view = market->view;
    if (!view || view->closed_mono_ns == 0) return false;
    int64_t rested_ns = market->now_mono_ns - view->closed_mono_ns;
    return rested_ns < rules->cooldown_ns && refuse(outcome, GATE_COOL_DOWN, rested_ns, rules->cooldown_ns);
}

/* --- the two kinds of decisions --- */

static Uncertain decide_exit(const Rules *rules, const Market *market, int direction, int64_t ticks,
                             Outcome *outcome) {
    const PairView *view = market->view;
    int64_t first_e8 = touch_of(market->quotes[0], direction).price_e8;
    int64_t second_e8 = touch_of(market->quotes[1], -direction).price_e8;
    /* Trading forward buys back a short first leg and sells a long second one. */
    int64_t short_ask_e8 = direction > 0 ? first_e8 : second_e8, long_bid_e8 = direction > 0 ? second_e8 : first_e8;
    double spread_bps = bps_of(short_ask_e8 - long_bid_e8, long_bid_e8);
    int64_t held_ns = market->now_mono_ns - view->opened_mono_ns, size_e8 = view->size_e8;
    if (size_e8 <= 0 || size_e8 >= CERTAIN_MAX) return UNCERTAIN_SIZE;
    if (-spread_bps > rules->gain_bps_max) {
        refuse_bps(outcome, GATE_ABSURD, -spread_bps, rules->gain_bps_max);
    } else if (held_ns <= rules->hold_ns_max && spread_bps > rules->exit_bps) {
        refuse_bps(outcome, GATE_THRESHOLD, spread_bps, rules->exit_bps);
    } else if (ticks < rules->exit_confirm_ticks) {
        refuse(outcome, GATE_CONFIRMATION, ticks, rules->exit_confirm_ticks);
    } else {
        int64_t available_e8 =
            reach(rules, market, direction, size_e8, size_e8, 2 * rules->reach_bps).available_e8;
        if (available_e8 < size_e8) {
            refuse(outcome, GATE_SIZE, available_e8, size_e8);
        } else if (!still_pending(market, outcome)) {
            *outcome = (Outcome){
                .is_opportunity = true,
                .kind = KIND_EXIT,
                .direction = view->direction,
                .layer = view->layers_open,
                .size_e8 = size_e8,
                .first_price_e8 = first_e8,
                .second_price_e8 = second_e8,
                .spread_bps = spread_bps,
            };
        }
    }
    return CERTAIN;
}

/* The rest of an entry whose spread is confirmed: its size, and whether it is allowed. */
static Uncertain place_entry(const Rules *rules, const Market *market, int direction, int64_t layer,
                             double spread_bps, double edge_bps, Outcome *outcome) {
    double trigger_bps = rules->layers[layer].trigger_bps;
    int64_t size_e8 = rules->layers[layer].size_e8;
    double needed = ceil((double)size_e8 * rules->liquidity_ratio_min);
    if (needed >= (double)CERTAIN_MAX) return UNCERTAIN_SIZE;
    int64_t needed_e8 = (int64_t)needed;
    Touch first = touch_of(market->quotes[0], direction), second = touch_of(market->quotes[1], -direction);
    int64_t lower_e8 = first.price_e8 < second.price_e8 ? first.price_e8 : second.price_e8;
    /* Going past the touch may cost what the spread has to spare, and no more. */
    double over_trigger = spread_bps - trigger_bps, over_costs = edge_bps - rules->edge_bps_min;
    double slack_bps = over_costs < over_trigger ? over_costs : over_trigger;
    Reach within = reach(rules, market, direction, needed_e8, size_e8, slack_bps);
    int128_t least_e8 = ceil_quotient((int128_t)rules->min_notional_e8 * E8, lower_e8);
    if (least_e8 >= CERTAIN_MAX) return UNCERTAIN_SIZE;
    bool is_refused =
        (size_e8 < least_e8 && refuse(outcome, GATE_SIZE, size_e8, (int64_t)least_e8)) ||
        (within.available_e8 < needed_e8 && refuse(outcome, GATE_SIZE, within.available_e8, needed_e8)) ||
        (!(within.slippage_bps <= rules->slippage_bps_max) &&
         refuse_bps(outcome, GATE_SLIPPAGE, within.slippage_bps, rules->slippage_bps_max)) ||
        still_pending(market, outcome) || entry_state(market->view, direction, rules->layer_count, outcome) ||
        (!market->view->entries_allowed && refuse(outcome, GATE_RISK_STATE, 0, 1)) ||
        (market->maintenance_left_s > 0 && refuse(outcome, GATE_MAINTENANCE, market->maintenance_left_s, 0)) ||
        cool_down(rules, market, outcome);
    if (!is_refused) {
        *outcome = (Outcome){
            .is_opportunity = true,
            .kind = KIND_ENTER,
            .direction = direction,
            .layer = layer,
            .size_e8 = size_e8,
            .first_price_e8 = first.price_e8,
            .second_price_e8 = second.price_e8,
            .spread_bps = spread_bps,
            .edge_bps = edge_bps,
        };
    }
    return CERTAIN;
}

static Uncertain decide_entry(const Rules *rules, const Market *market, int direction, int64_t layer, int64_t ticks,
                              Outcome *outcome) {
    const Quote *buy = market->quotes[direction > 0 ? 0 : 1], *sell = market->quotes[direction > 0 ? 1 : 0];
    double spread_bps = bps_of(sell->bid_e8 - buy->ask_e8, buy->ask_e8);
    double trigger_bps = rules->layers[layer].trigger_bps;
    double edge_bps = spread_bps - rules->fees_bps - rules->slippage_bps - direction * rules->funding_bps;
    if (spread_bps > rules->gain_bps_max) {
        refuse_bps(outcome, GATE_ABSURD, spread_bps, rules->gain_bps_max);
    } else if (spread_bps < trigger_bps) {
        refuse_bps(outcome, GATE_THRESHOLD, spread_bps, trigger_bps);
    } else if (edge_bps < rules->edge_bps_min) {
        refuse_bps(outcome, GATE_EDGE, edge_bps, rules->edge_bps_min);
    } else if (ticks < rules->confirm_ticks || isnan(edge_bps)) { /* no edge counts as a tick that is not a number */
        refuse(outcome, GATE_CONFIRMATION, ticks, rules->confirm_ticks);
    } else {
        return place_entry(rules, market, direction, layer, spread_bps, edge_bps, outcome);
    }
    return CERTAIN;
}

/* What trading in a direction would do: open a layer (its number) or close. */
static int64_t aim(const Rules *rules, const PairView *view, int direction) {
    if (!view || view->phase != PHASE_HEDGED) return 0;
    if (view->direction != direction) return EXIT_TARGET;
    /* With every layer open the last one's trigger is asked; the pair's state then refuses. */
    int64_t last = rules->layer_count - 1;
    return view->layers_open < last ? view->layers_open : last;
}

static bool ends_streak(const Outcome *outcome) {
    return !outcome->is_opportunity && outcome->gate <= GATE_EDGE;
}

static Uncertain decide_direction(const Rules *rules, const Market *market, int direction, Streak *streak,
                                  Outcome *outcome) {
    int64_t target = aim(rules, market->view, direction);
    if (target != streak->target) *streak = (Streak){.target = target};
    int64_t ticks = streak->ticks + 1;
    Uncertain reason = target == EXIT_TARGET ? decide_exit(rules, market, direction, ticks, outcome)
                                             : decide_entry(rules, market, direction, target, ticks, outcome);
    if (reason == CERTAIN) streak->ticks = ends_streak(outcome) ? 0 : ticks;
    return reason;
}

/* One signal at a time: closing goes before adding, then the wider spread. */
static void keep_only_one(Outcome outcomes[2]) {
    const Outcome *forward = &outcomes[0], *backward = &outcomes[1];
    if (!forward->is_opportunity || !backward->is_opportunity) return;
    bool is_forward = forward->kind != backward->kind ? forward->kind > backward->kind
                                                      : forward->spread_bps >= backward->spread_bps;
    refuse(&outcomes[is_forward ? 1 : 0], GATE_PAIR_STATE, 2, 1);
}

static bool has_certain_prices(const Quote *quote) {
    return 0 < quote->bid_e8 && quote->bid_e8 < CERTAIN_MAX && 0 < quote->ask_e8 && quote->ask_e8 < CERTAIN_MAX;
}

Uncertain decide(const Rules *rules, const Market *market, Streak streaks[2], Outcome outcomes[2]) {
    if (rules->layer_count == 0) return UNCERTAIN_RULES;
    if (distrusts(rules, market, &outcomes[0])) {
        outcomes[1] = outcomes[0];
        streaks[0].ticks = streaks[1].ticks = 0;
        return CERTAIN;
    }
    if (!has_certain_prices(market->quotes[0]) || !has_certain_prices(market->quotes[1])) return UNCERTAIN_PRICE;
    if (market->view && market->view->layers_open < 0) return UNCERTAIN_RULES; /* as an index Python has its own answer */
    Streak after[2] = {streaks[0], streaks[1]};
    for (int which = 0; which < 2; which++) {
        Uncertain reason = decide_direction(rules, market, which == 0 ? 1 : -1, &after[which], &outcomes[which]);
        if (reason != CERTAIN) return reason;
    }
    streaks[0] = after[0];
    streaks[1] = after[1];
    keep_only_one(outcomes);
    return CERTAIN;
}
