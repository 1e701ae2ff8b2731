/* One venue's feed: socket, parse, ring. */
#ifndef FLOOR_FEED_H
#define FLOOR_FEED_H

#include "shared.h"
#include "websocket.h"

typedef struct {
    int venue;
    Line line;
    Ring *quotes;
} Feed;

Feed feed_open(const Settings *settings, Shared *shared, int venue);

/* Publishes what has come; whether that was any quote. `bell` may be NULL: the reader is this process. */
bool feed_turn(Feed *feed, Bell *bell);

void feed_keep_warm(Feed *feed);

#endif
