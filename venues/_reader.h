/* What every venue's reader has besides its read_frame. */
#ifndef TANDEM_READER_H
#define TANDEM_READER_H

#include "../shm/_library.h"
#include "_reading.h"
#include "_text.h"

ReadFrame read_frame;

/* The channel whose quoted name the text goes on with, which is then behind it and before its quote. */
static inline const Channel *channel_named(const Channels *channels, Text *text) {
    for (const Channel *channel = channels->channels, *end = channel + channels->count; channel < end; channel++) {
        if (text->end - text->at > channel->name_size && text->at[channel->name_size] == '"' &&
            text_literal(text, channel->name, (size_t)channel->name_size))
            return channel;
    }
    return NULL;
}

#endif
