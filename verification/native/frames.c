/* Changes frames at random and gives them to a venue's reader, each at the very end of its memory.

   What the reader takes is judged by the caller, one in so many. Built with the reader under test, and with
   sanitizers, which find a byte read past the end. */

#include <stdlib.h>
#include <string.h>

#include "../../venues/_reading.h"

enum { FRAME_MAX = 8192, CHANGES_MAX = 4, STRETCH_MAX = 12 };

typedef struct {
    const char *content;
    int64_t size, is_binary;
} Seed;

/* 0: read otherwise in Python. Before: what was kept of the channels. */
typedef int64_t Judge(const char *frame, int64_t size, int64_t is_binary, const ChannelState *before,
                      const Reading *reading);

ReadFrame read_frame;

static uint64_t state;

static uint64_t random_below(uint64_t bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % bound;
}

static int64_t put(char *frame, int64_t size, int64_t place, const char *content, int64_t count) {
    if (size + count > FRAME_MAX) return size;
    memmove(frame + place + count, frame + place, (size_t)(size - place));
    memcpy(frame + place, content, (size_t)count);
    return size + count;
}

static int64_t cut(char *frame, int64_t size, int64_t place, int64_t count) {
    if (count > size - place) count = size - place;
    memmove(frame + place, frame + place + count, (size_t)(size - place - count));
    return size - count;
}

static int64_t change(char *frame, int64_t size, const Seed *seeds, int64_t seed_count) {
    static const char bytes[] = "0123456789.-+eE\"[]{},: \\/u\xff\x80";
    static const char *const tokens[] = {" ", "0", "00", ".", "99999999999999999999", "[]", "\"", "\\u0031", "null",
                                         "-", "e3", "46116860184.27387903", "],[", "},{", "9000000000000"};
    int64_t place = size ? (int64_t)random_below((uint64_t)size) : 0;
    int64_t stretch = 1 + (int64_t)random_below(STRETCH_MAX);
    char copy[STRETCH_MAX];
    const Seed *other = &seeds[random_below((uint64_t)seed_count)];
    const char *token = tokens[random_below(sizeof tokens / sizeof *tokens)];
    switch (random_below(8)) {
    case 0: case 1:
        if (size) frame[place] = bytes[random_below(sizeof bytes - 1)];
        return size;
    case 2:
        if (size) frame[place] ^= (char)(1 << random_below(8));
        return size;
    case 3: return cut(frame, size, place, stretch);
    case 4: return put(frame, size, place, token, (int64_t)strlen(token));
    case 5: return place; /* cut short */
    case 6:
        if (stretch > size - place) return size;
        memcpy(copy, frame + place, (size_t)stretch);
        return put(frame, size, place, copy, stretch);
    default: /* the rest of another */
        if (place >= other->size) return size;
        memcpy(frame + place, other->content + place, (size_t)(other->size - place));
        return other->size;
    }
}

/* Returns how many were read otherwise. taken: by reason, as Unread. */
int64_t fuzz(const Channels *channels, ChannelState *states, const Seed *seeds, int64_t seed_count, int64_t executions,
             uint64_t seed, int64_t judge_every, Judge *judge, int64_t *taken) {
    char *memory = malloc(FRAME_MAX), *changed = malloc(FRAME_MAX);
    ChannelState *before = malloc((size_t)channels->count * sizeof *before);
    Reading *reading = malloc(sizeof *reading);
    int64_t differ = 0, until_judged = judge_every;
    state = seed | 1;
    for (int64_t number = 0; memory && changed && before && reading && number < executions; number++) {
        const Seed *from = &seeds[random_below((uint64_t)seed_count)];
        int64_t size = from->size;
        memcpy(changed, from->content, (size_t)size);
        for (uint64_t changes = random_below(CHANGES_MAX + 1); changes > 0; changes--)
            size = change(changed, size, seeds, seed_count);
        for (int64_t place = 0; place < channels->count; place++)
            states[place] = (ChannelState){(int64_t)random_below(UINT64_C(1) << random_below(62)), random_below(8) > 0};
        memcpy(before, states, (size_t)channels->count * sizeof *before);
        char *frame = memory + FRAME_MAX - size;
        memcpy(frame, changed, (size_t)size);
        Unread unread = read_frame(channels, frame, size, from->is_binary, reading);
        taken[unread]++;
        if (unread != READ || --until_judged > 0) continue;
        until_judged = judge_every;
        differ += !judge(frame, size, from->is_binary, before, reading);
    }
    free(memory), free(changed), free(before), free(reading);
    return differ;
}
