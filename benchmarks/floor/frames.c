#define _GNU_SOURCE /* memmem */
#include "frames.h"

#include <string.h>

#include "warm.h"

static const char DEPTH_HEAD[] = "{\"channel\":\"BTC-PERP@depth\",\"data\":{\"bids\":[[\"";
static const char ASKS[] = "\"asks\":[[\"";
static const char SAMPLE[] =
    "{\"channel\":\"BTC-PERP@depth\",\"data\":{\"bids\":[[\"83440.00\",\"3.0\"]],\"asks\":[[\"83440.50\",\"3.0\"]]}}";

enum { BBO_HEAD = 8, BBO_BLOCK = 48, BBO_TEMPLATE = 2, BBO_SCHEMA = 1 };
enum { BBO_BID = 2, BBO_BID_SIZE, BBO_ASK, BBO_ASK_SIZE }; /* behind time and sequence */

Line frames_open(const Settings *settings, int venue) {
    if (venue == VEST) {
        Line line = websocket_open(settings, venue, "/ws-api?version=1.0&xwebsocketserver=restserver0");
        websocket_send(&line, "{\"method\":\"SUBSCRIBE\",\"params\":[\"BTC-PERP@depth\"],\"id\":1}");
        return line;
    }
    Line line = websocket_open(settings, venue, "/v1?sbeSchemaId=1&sbeSchemaVersion=2");
    websocket_send(&line, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscribe\","
                          "\"params\":{\"channel\":\"bbo.BTC-USD-PERP\"}}");
    websocket_send(&line, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"subscribe\","
                          "\"params\":{\"channel\":\"order_book.BTC-USD-PERP.deltas\"}}");
    return line;
}

/* A decimal number as an integer scaled by 1e8; *from is left behind it. */
static int64_t read_e8(const char **from) {
    int64_t value = 0;
    int decimals = -1; /* until the point */
    for (; (**from >= '0' && **from <= '9') || **from == '.'; ++*from) {
        if (**from == '.') {
            decimals = 0;
            continue;
        }
        value = value * 10 + (**from - '0');
        if (decimals >= 0) decimals++;
    }
    for (int missing = 8 - (decimals < 0 ? 0 : decimals); missing > 0; missing--) value *= 10;
    return value;
}

/* Price and size of the level that begins here: ["83440.00","3.0"], without its first two characters. */
static void read_level(const char *from, int64_t *price_e8, int64_t *size_e8) {
    *price_e8 = read_e8(&from);
    from += sizeof "\",\"" - 1;
    *size_e8 = read_e8(&from);
}

static bool read_depth(Frame frame, Quote *quote) {
    size_t head = sizeof DEPTH_HEAD - 1;
    if (frame.size < head || memcmp(frame.payload, DEPTH_HEAD, head) != 0) return false;
    const char *asks = memmem(frame.payload + head, frame.size - head, ASKS, sizeof ASKS - 1);
    if (!asks) return false;
    read_level(frame.payload + head, &quote->bid_e8, &quote->bid_size_e8);
    read_level(asks + sizeof ASKS - 1, &quote->ask_e8, &quote->ask_size_e8);
    return true;
}

static bool read_bbo(Frame frame, Quote *quote) {
    uint16_t head[4]; /* block length, template, schema, version */
    int64_t block[BBO_BLOCK / 8];
    if (frame.size < BBO_HEAD + BBO_BLOCK) return false;
    memcpy(head, frame.payload, sizeof head);
    if (head[0] != BBO_BLOCK || head[1] != BBO_TEMPLATE || head[2] != BBO_SCHEMA) return false;
    memcpy(block, frame.payload + BBO_HEAD, sizeof block);
    quote->bid_e8 = block[BBO_BID];
    quote->bid_size_e8 = block[BBO_BID_SIZE];
    quote->ask_e8 = block[BBO_ASK];
    quote->ask_size_e8 = block[BBO_ASK_SIZE];
    return true;
}

bool frames_read(int venue, Frame frame, Quote *quote) {
    return venue == VEST ? read_depth(frame, quote) : read_bbo(frame, quote);
}

void frames_keep_warm(int venue) {
    static const char bbo[BBO_HEAD + BBO_BLOCK] = {BBO_BLOCK, 0, BBO_TEMPLATE, 0, BBO_SCHEMA, 0};
    Quote quote;
    Frame frame = venue == VEST ? (Frame){SAMPLE, sizeof SAMPLE - 1} : (Frame){bbo, sizeof bbo};
    warm_sink = frames_read(venue, frame, &quote);
}
