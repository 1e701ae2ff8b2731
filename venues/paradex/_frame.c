/* Reads one bbo of Paradex's public WebSocket in SBE, as venues/paradex/market_data.py does: the header, six numbers,
   the market. A channel's name here is the whole tail of its frames: one byte of length, then the market. */

#include "../_reader.h"

typedef struct {
    uint16_t block_length, template_id, schema_id, version; /* any version: later ones append */
} Header;

typedef struct {
    int64_t unix_us, sequence, bid_e8, bid_size_e8, ask_e8, ask_size_e8;
} Bbo;

enum { BBO_TEMPLATE = 2, SCHEMA_ID = 1 };
static const int64_t UNIX_US_BOUND = INT64_C(9000000000000000);

Unread read_frame(const Channels *channels, const char *frame, int64_t size, bool is_binary, Reading *reading) {
    const int64_t tail = sizeof(Header) + sizeof(Bbo);
    const Channel *channel = NULL;
    Header header;
    Bbo bbo;
    if (!is_binary || size <= tail) return KIND;
    memcpy(&header, frame, sizeof header);
    memcpy(&bbo, frame + sizeof header, sizeof bbo);
    if (header.block_length != sizeof bbo || header.template_id != BBO_TEMPLATE || header.schema_id != SCHEMA_ID)
        return KIND;
    for (int64_t place = 0; place < channels->count && !channel; place++) {
        const Channel *candidate = &channels->channels[place];
        if (size - tail == candidate->name_size && !memcmp(frame + tail, candidate->name, (size_t)(size - tail)))
            channel = candidate;
    }
    if (!channel) return KIND;
    if (bbo.unix_us < 0 || bbo.unix_us >= UNIX_US_BOUND) return NUMBER;
    if (bbo.bid_e8 <= 0 || bbo.bid_size_e8 <= 0 || bbo.ask_size_e8 <= 0 || bbo.bid_e8 > bbo.ask_e8) return SIDES;
    if (bbo.sequence <= channel->state->newest || !channel->state->is_plain) return ORDER;
    channel->state->newest = bbo.sequence;
    reading->has_quote = true;
    reading->has_depth = false;
    reading->quote = (Quote){
        .instrument_id = channel->instrument_id,
        .bid_e8 = bbo.bid_e8,
        .bid_size_e8 = bbo.bid_size_e8,
        .ask_e8 = bbo.ask_e8,
        .ask_size_e8 = bbo.ask_size_e8,
        .venue_unix_ns = bbo.unix_us * 1000,
        .venue_sequence = bbo.sequence,
    };
    return READ;
}
