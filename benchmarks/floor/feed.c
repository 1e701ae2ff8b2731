#include "feed.h"

#include "clock.h"
#include "frames.h"

Feed feed_open(const Settings *settings, Shared *shared, int venue) {
    return (Feed){venue, frames_open(settings, venue), &shared->quotes[venue]};
}

bool feed_turn(Feed *feed, Bell *bell) {
    if (!line_receive(&feed->line)) return false;
    Quote quote = {.recv_mono_ns = mono_ns(), .kernel_mono_ns = feed->line.kernel_mono_ns};
    Frame frame;
    size_t at = 0;
    bool has_published = false;
    while (websocket_next(&feed->line, &at, &frame)) {
        if (!frames_read(feed->venue, frame, &quote)) continue;
        quote.publish_mono_ns = mono_ns();
        ring_publish(feed->quotes, &quote, sizeof quote);
        if (bell) bell_ring(bell);
        has_published = true;
    }
    line_take(&feed->line, at);
    return has_published;
}

void feed_keep_warm(Feed *feed) {
    frames_keep_warm(feed->venue);
    line_keep_warm(&feed->line);
}
