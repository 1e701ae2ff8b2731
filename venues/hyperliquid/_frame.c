/* Reads one bbo or l2Book of Hyperliquid's public WebSocket, as venues/hyperliquid/market_data.py does:

       {"channel":"bbo","data":{"coin":"BTC","time":17...,"bbo":[{"px":"80459.0","sz":"18.36712","n":48},{...}]}}
       {"channel":"l2Book","data":{"coin":"BTC","time":17...,"levels":[[{...},...],[{...},...]]}}

   A channel's name here is what stands between the frame's first quote and its time: kind and coin. */

#include "../_reader.h"

static const char BBO[] = "bbo"; /* begins with another letter than l2Book */

static bool level_of(Text *text, Level *level) {
    int64_t orders = 0;
    if (!LITERAL(text, "{\"px\":") || !text_decimal_e8(text, &level->price_e8) || !LITERAL(text, ",\"sz\":") ||
        !text_decimal_e8(text, &level->size_e8) || !LITERAL(text, ",\"n\":"))
        return false;
    const char *first = text->at;
    int digits = text_digits(text, &orders, 9);
    return digits > 0 && (digits == 1 || *first != '0') && LITERAL(text, "}") && level->price_e8 > 0;
}

/* One side's levels, best first; how many are kept, -1 where one is not as usual. */
static int64_t levels_of(Text *text, int sign, Level *levels) {
    int64_t count = 0, rows = 0, last_price_e8 = 0;
    if (!LITERAL(text, "[")) return -1;
    if (LITERAL(text, "]")) return 0;
    do {
        Level level;
        if (++rows > SIDE_LEVELS_MAX || !level_of(text, &level)) return -1;
        if (level.size_e8 == 0) continue; /* holds nothing */
        if (last_price_e8 && (level.price_e8 - last_price_e8) * sign <= 0) return -1;
        last_price_e8 = level.price_e8;
        if (count < DEPTH_LEVELS) levels[count++] = level;
    } while (LITERAL(text, ","));
    return LITERAL(text, "]") ? count : -1;
}

/* Only a time that goes back is not news; Python says by how much. */
static Unread note(ChannelState *state, int64_t unix_ns) {
    if (unix_ns < state->newest || !state->is_plain) return ORDER;
    state->newest = unix_ns;
    return READ;
}

static Unread read_bbo(const Channel *channel, Text *text, int64_t unix_ns, Reading *reading) {
    Level bid, ask;
    if (!LITERAL(text, "[") || !level_of(text, &bid) || !LITERAL(text, ",") || !level_of(text, &ask) ||
        !LITERAL(text, "]}}") || text->at != text->end)
        return NUMBER;
    if (!bid.size_e8 || !ask.size_e8 || bid.price_e8 > ask.price_e8) return SIDES;
    reading->has_quote = true;
    reading->has_depth = false;
    reading->quote = (Quote){
        .instrument_id = channel->instrument_id,
        .bid_e8 = bid.price_e8,
        .bid_size_e8 = bid.size_e8,
        .ask_e8 = ask.price_e8,
        .ask_size_e8 = ask.size_e8,
        .venue_unix_ns = unix_ns,
    };
    return note(channel->state, unix_ns);
}

static Unread read_book(const Channel *channel, Text *text, int64_t unix_ns, Reading *reading) {
    Depth *depth = &reading->depth;
    Level asks[DEPTH_LEVELS];
    if (!LITERAL(text, "[") || (depth->bids = levels_of(text, -1, depth->levels)) < 0 || !LITERAL(text, ",") ||
        (depth->asks = levels_of(text, 1, asks)) < 0 || !LITERAL(text, "]}}") || text->at != text->end)
        return NUMBER;
    if (!depth->bids || !depth->asks || depth->levels[0].price_e8 > asks[0].price_e8) return SIDES;
    reading->has_quote = false;
    reading->has_depth = true;
    reading->quote.instrument_id = channel->instrument_id;
    memcpy(depth->levels + depth->bids, asks, (size_t)depth->asks * sizeof *asks);
    depth->venue_sequence = 0;
    return note(channel->state, unix_ns);
}

Unread read_frame(const Channels *channels, const char *frame, int64_t size, bool is_binary, Reading *reading) {
    Text text = {frame, frame + size};
    int64_t unix_ns = 0;
    if (is_binary || !LITERAL(&text, "{\"channel\":\"")) return KIND;
    const Channel *channel = channel_named(channels, &text);
    if (!channel) return KIND;
    if (!LITERAL(&text, "\",\"time\":") || !text_unix_ms(&text, &unix_ns)) return NUMBER;
    if (*channel->name == *BBO) return LITERAL(&text, ",\"bbo\":") ? read_bbo(channel, &text, unix_ns, reading) : NUMBER;
    return LITERAL(&text, ",\"levels\":") ? read_book(channel, &text, unix_ns, reading) : NUMBER;
}
