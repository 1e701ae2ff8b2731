/* The venues' public frames: what to subscribe, and one frame as a quote. */
#ifndef FLOOR_FRAMES_H
#define FLOOR_FRAMES_H

#include "shared.h"
#include "websocket.h"

/* Connects and subscribes to what Tandem's feed of that venue subscribes to. */
Line frames_open(const Settings *settings, int venue);

/* Reads prices and sizes; false for a frame without a top of book. */
bool frames_read(int venue, Frame frame, Quote *quote);

/* Goes the way of a frame without one. */
void frames_keep_warm(int venue);

#endif
