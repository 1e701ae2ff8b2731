/* What a compiled reader of a venue's usual frames is given, and what it makes of one.

   A reader accepts strictly less than the venue's Python protocol, and reads what it accepts alike. Anything else
   is no verdict: it is left to Python, untouched, with the reason for the count. A reader never allocates. */
#ifndef TANDEM_READING_H
#define TANDEM_READING_H

#include <stdbool.h>

#include "../shm/_layout.h"

/* Why a frame is left to Python; READ: it is not. */
typedef enum {
    READ,
    CLOSED, /* Python has not opened the way: a connection begins or ends */
    KIND,   /* another kind of frame, or of an instrument that is not ours */
    NUMBER, /* a text or a number that is not written as usual */
    SIDES,  /* a side is empty, or the book is crossed */
    ORDER,  /* not newer than the last one of its channel, or something is amiss with that */
    UNREAD_REASONS
} Unread;

/* A side that is longer is Python's, which bounds how much of a text it takes apart. */
enum { SIDE_LEVELS_MAX = 256 };

/* What both twins keep of a channel; the same words as Python's, see venues/usual_frames.py. */
typedef struct {
    int64_t newest;   /* what the venue orders its frames by: a sequence, or a time */
    int64_t is_plain; /* 1: the last frame was as usual, and nothing is being mended */
} ChannelState;

typedef struct {
    int64_t instrument_id;
    const char *name; /* as its frames have it */
    int64_t name_size;
    ChannelState *state;
} Channel;

typedef struct {
    const Channel *channels;
    int64_t count;
} Channels;

/* One frame, read. The quote lacks what its publisher knows: times of this host, flags and epoch. */
typedef struct {
    bool has_quote, has_depth;
    Quote quote;
    Depth depth;
} Reading;

typedef Unread ReadFrame(const Channels *channels, const char *frame, int64_t size, bool is_binary, Reading *reading);

#endif
