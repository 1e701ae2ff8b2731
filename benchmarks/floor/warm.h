/* Keeping warm: reading what a frame or a signal would touch, every so often, and changing nothing. */
#ifndef FLOOR_WARM_H
#define FLOOR_WARM_H

#include <stdint.h>

/* Takes what was read, so that no compiler leaves the reading out. */
extern volatile int64_t warm_sink;

#endif
