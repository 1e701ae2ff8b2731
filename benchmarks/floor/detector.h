/* The detector: quotes in, a signal when the gap has crossed its threshold and nothing is under way. */
#ifndef FLOOR_DETECTOR_H
#define FLOOR_DETECTOR_H

#include "shared.h"

typedef struct {
    const Settings *settings;
    Shared *shared;
    Quote latest[VENUES];
    int64_t next[VENUES]; /* records of the rings */
    int64_t signals;      /* so far; each waits for the one before to be concluded */
} Detector;

Detector detector_open(const Settings *settings, Shared *shared);

bool detector_has_work(Detector *detector);

/* Takes every new quote and decides on each; whether a signal came of it. */
bool detector_turn(Detector *detector);

void detector_keep_warm(Detector *detector);

#endif
