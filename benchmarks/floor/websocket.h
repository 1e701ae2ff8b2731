/* WebSocket as far as a client needs it that trusts its server: upgrade, text frames out, whole frames in. */
#ifndef FLOOR_WEBSOCKET_H
#define FLOOR_WEBSOCKET_H

#include <stddef.h>

#include "line.h"

enum { WEBSOCKET_HEAD_MAX = 8 };

typedef struct {
    const char *payload;
    size_t size;
} Frame;

Line websocket_open(const Settings *settings, int venue, const char *path);

/* Renders one text frame, masked with zeros, below 64 KiB; its size. `into` has room for the head as well. */
size_t websocket_render(char *into, const char *payload, size_t size);

void websocket_send(Line *line, const char *text);

/* The frame at *at in what is unread, and *at behind it. False: it is not whole yet. */
bool websocket_next(const Line *line, size_t *at, Frame *frame);

#endif
