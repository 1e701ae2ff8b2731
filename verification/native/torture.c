/* C's ends of what torture.py hammers: each loop writes, or checks every word of, what the other language's does. */

#include <sched.h>
#include <stdlib.h>

#include "../../shm/_broadcast.h"
#include "../../shm/_library.h"
#include "../../shm/_slot.h"

enum { RECORD_WORDS = 11, LOOKS_PER_YIELD = 4096 };

typedef struct {
    int64_t accepted, none, torn;
} SlotFigures;

typedef struct {
    int64_t seen, overtaken, torn, misnumbered;
} RingFigures;

static bool is_all(const int64_t *words, int64_t count, int64_t number) {
    for (int64_t place = 0; place < count; place++)
        if (words[place] != number) return false;
    return true;
}

void write_slot(const Slots *slots, int64_t publishes) {
    int64_t words = slots->capacity / 8, *body = malloc((size_t)slots->capacity);
    for (int64_t number = 1; body && number <= publishes; number++) {
        for (int64_t place = 0; place < words; place++) body[place] = number;
        slot_write(slots, 0, body, slots->capacity);
    }
    free(body);
}

/* Until the last has been read, or so many looks found nothing new. */
void read_slot(const Slots *slots, int64_t publishes, int64_t looks_max, SlotFigures *figures) {
    int64_t words = slots->capacity / 8, newest = 0, *body = malloc((size_t)slots->capacity);
    for (int64_t idle = 0; body && newest < publishes && idle < looks_max; idle++) {
        if (idle % LOOKS_PER_YIELD == 0) sched_yield();
        if (slot_read(slots, 0, body, slots->capacity) != slots->capacity) {
            figures->none++;
            continue;
        }
        figures->accepted++;
        figures->torn += !is_all(body, words, body[0]) || body[0] < newest;
        if (body[0] != newest) idle = 0;
        newest = body[0];
    }
    free(body);
}

void write_ring(const RingWriter *ring, int64_t publishes) {
    int64_t record[RECORD_WORDS];
    for (int64_t number = 1; number <= publishes; number++) {
        for (int place = 0; place < RECORD_WORDS; place++) record[place] = number;
        ring_publish(ring, record);
    }
}

void read_ring(RingReader *ring, int64_t publishes, int64_t looks_max, RingFigures *figures) {
    int64_t record[RECORD_WORDS], newest = 0;
    for (int64_t idle = 0; newest < publishes && idle < looks_max; idle++) {
        if (idle % LOOKS_PER_YIELD == 0) sched_yield();
        if (!ring_poll(ring, record)) continue;
        idle = 0;
        newest = record[0];
        figures->seen++;
        figures->torn += !is_all(record, RECORD_WORDS, newest);
        figures->misnumbered += newest != figures->seen + ring->overtaken;
    }
    figures->overtaken = ring->overtaken;
    figures->torn += ring->torn;
}
