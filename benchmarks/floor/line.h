/* One connection to a venue, plain or TLS, with what has come and was not taken yet. */
#ifndef FLOOR_LINE_H
#define FLOOR_LINE_H

#include <stdint.h>

#include "settings.h"
#include "tls.h"

enum { LINE_ROOM = 1 << 20 };

typedef struct {
    int fd;
    Tls *tls;     /* NULL: plain */
    char *unread; /* always ends with a zero byte */
    size_t size;
    int64_t kernel_mono_ns; /* when what came last was in the kernel; 0: unknown */
} Line;

/* Connects to 127.0.0.1; from here on the socket does not block. */
Line line_open(const Settings *settings, int venue);

/* Reads all that has come; whether that was anything. Ends the process when the venue has closed. */
bool line_receive(Line *line);

/* Gives up the first bytes of what is unread. */
void line_take(Line *line, size_t size);

/* Writes all of it at once, or ends the process: a message in part is worth nothing. */
void line_write(Line *line, const char *bytes, size_t size);

/* Waits until more has come. */
void line_await(Line *line);

/* Touches what a write would touch, and writes nothing. */
void line_keep_warm(Line *line);

#endif
