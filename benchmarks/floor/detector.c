#include "detector.h"

#include "clock.h"
#include "warm.h"

Detector detector_open(const Settings *settings, Shared *shared) {
    return (Detector){.settings = settings, .shared = shared, .next = {1, 1}};
}

bool detector_has_work(Detector *detector) {
    for (int venue = 0; venue < VENUES; venue++)
        if (ring_has_more(&detector->shared->quotes[venue], detector->next[venue])) return true;
    return false;
}

/* Entering buys on Vest and sells on Paradex; leaving goes the other way. */
static bool crosses(const Detector *detector, bool is_in) {
    const Quote *vest = &detector->latest[VEST], *paradex = &detector->latest[PARADEX];
    if (!vest->ask_e8 || !paradex->ask_e8) return false;
    if (is_in) {
        double left = (double)(paradex->ask_e8 - vest->bid_e8) / (double)vest->bid_e8;
        return left * 10000 <= detector->settings->exit_bps;
    }
    double gained = (double)(paradex->bid_e8 - vest->ask_e8) / (double)vest->ask_e8;
    return gained * 10000 >= detector->settings->entry_bps;
}

static bool decide(Detector *detector, const Quote *quote, int64_t seen_mono_ns) {
    Shared *shared = detector->shared;
    if (detector->signals > atomic_load(&shared->concluded)) return false;
    bool is_in = atomic_load(&shared->is_in);
    if (!crosses(detector, is_in)) return false;
    Signal signal = {
        .is_entry = !is_in,
        .kernel_mono_ns = quote->kernel_mono_ns,
        .recv_mono_ns = quote->recv_mono_ns,
        .publish_mono_ns = quote->publish_mono_ns,
        .seen_mono_ns = seen_mono_ns,
        .decided_mono_ns = mono_ns(),
    };
    detector->signals++;
    ring_publish(&shared->signals, &signal, sizeof signal);
    return true;
}

bool detector_turn(Detector *detector) {
    bool has_signalled = false;
    for (int venue = 0; venue < VENUES; venue++) {
        Quote *quote = &detector->latest[venue];
        while (ring_poll(&detector->shared->quotes[venue], &detector->next[venue], quote, sizeof *quote))
            has_signalled |= decide(detector, quote, mono_ns());
    }
    return has_signalled;
}

void detector_keep_warm(Detector *detector) {
    warm_sink = crosses(detector, atomic_load(&detector->shared->is_in)) | detector_has_work(detector);
}
