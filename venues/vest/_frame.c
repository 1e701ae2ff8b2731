/* Reads one depth frame of Vest's public WebSocket, as venues/vest/market_data.py does:

       {"channel":"BTC-PERP@depth","data":{"bids":[["1.25","3"],...],"asks":[...]},"tsMs":17...}

   A blank, an escape or another order of keys is Python's. */

#include "../_reader.h"

/* One side's levels, best first; how many are kept, -1 where one is not as usual. Those beyond the kept ones are
   read too, so that both twins refuse the same. */
static int64_t levels_of(Text *text, int sign, Level *levels) {
    int64_t count = 0, rows = 0, last_price_e8 = 0;
    if (!LITERAL(text, "[")) return -1;
    if (LITERAL(text, "]")) return 0;
    do {
        Level level;
        if (++rows > SIDE_LEVELS_MAX || !LITERAL(text, "[") || !text_decimal_e8(text, &level.price_e8) || !LITERAL(text, ",") ||
            !text_decimal_e8(text, &level.size_e8) || !LITERAL(text, "]"))
            return -1;
        if (level.size_e8 == 0) continue; /* holds nothing */
        if (level.price_e8 == 0 || (last_price_e8 && (level.price_e8 - last_price_e8) * sign <= 0)) return -1;
        last_price_e8 = level.price_e8;
        if (count < DEPTH_LEVELS) levels[count++] = level;
    } while (LITERAL(text, ","));
    return LITERAL(text, "]") ? count : -1;
}

Unread read_frame(const Channels *channels, const char *frame, int64_t size, bool is_binary, Reading *reading) {
    Text text = {frame, frame + size};
    Depth *depth = &reading->depth;
    Level asks[DEPTH_LEVELS];
    int64_t unix_ns = 0;
    (void)is_binary; /* v2 sends the same text as binary frames */
    if (!LITERAL(&text, "{\"channel\":\"")) return KIND;
    const Channel *channel = channel_named(channels, &text);
    if (!channel) return KIND;
    if (!LITERAL(&text, "\",\"data\":{\"bids\":") || (depth->bids = levels_of(&text, -1, depth->levels)) < 0 ||
        !LITERAL(&text, ",\"asks\":") || (depth->asks = levels_of(&text, 1, asks)) < 0 || !LITERAL(&text, "}") ||
        (LITERAL(&text, ",\"tsMs\":") && !text_unix_ms(&text, &unix_ns)) || !LITERAL(&text, "}") ||
        text.at != text.end)
        return NUMBER;
    if (!depth->bids || !depth->asks || depth->levels[0].price_e8 > asks[0].price_e8) return SIDES;
    reading->has_quote = reading->has_depth = true;
    reading->quote = (Quote){
        .instrument_id = channel->instrument_id,
        .bid_e8 = depth->levels[0].price_e8,
        .bid_size_e8 = depth->levels[0].size_e8,
        .ask_e8 = asks[0].price_e8,
        .ask_size_e8 = asks[0].size_e8,
        .venue_unix_ns = unix_ns,
    };
    memcpy(depth->levels + depth->bids, asks, (size_t)depth->asks * sizeof *asks);
    depth->venue_sequence = 0;
    return READ;
}
