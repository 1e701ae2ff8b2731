#include "websocket.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "fail.h"

Line websocket_open(const Settings *settings, int venue, const char *path) {
    Line line = line_open(settings, venue);
    char request[1024];
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                        path, settings->ports[venue]);
    line_write(&line, request, (size_t)size);
    const char *end;
    while (!(end = strstr(line.unread, "\r\n\r\n"))) {
        line_await(&line);
        line_receive(&line);
    }
    if (strncmp(line.unread, "HTTP/1.1 101", 12) != 0) fail_because(path, "the venue upgrades no WebSocket");
    line_take(&line, (size_t)(end + 4 - line.unread));
    return line;
}

size_t websocket_render(char *into, const char *payload, size_t size) {
    char *to = into;
    *to++ = (char)0x81;
    if (size < 126) {
        *to++ = (char)(0x80 | size);
    } else {
        *to++ = (char)(0x80 | 126);
        *to++ = (char)(size >> 8);
        *to++ = (char)size;
    }
    memset(to, 0, 4);
    memcpy(to + 4, payload, size);
    return (size_t)(to + 4 - into) + size;
}

void websocket_send(Line *line, const char *text) {
    char frame[1024];
    size_t size = strlen(text);
    if (size + WEBSOCKET_HEAD_MAX > sizeof frame) fail_because("a subscription", "too long");
    line_write(line, frame, websocket_render(frame, text, size));
}

bool websocket_next(const Line *line, size_t *at, Frame *frame) {
    const unsigned char *from = (const unsigned char *)line->unread + *at;
    size_t left = line->size - *at, head = 2;
    if (left < head) return false;
    uint64_t size = from[1] & 127;
    if (size >= 126) {
        head = size == 126 ? 4 : 10;
        if (left < head) return false;
        size = 0;
        for (size_t place = 2; place < head; place++) size = size << 8 | from[place];
    }
    if (left - head < size) return false;
    *frame = (Frame){(const char *)from + head, (size_t)size};
    *at += head + (size_t)size;
    return true;
}
