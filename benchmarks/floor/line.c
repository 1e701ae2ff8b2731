#define _GNU_SOURCE /* SCM_TIMESTAMPNS */
#include "line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "fail.h"

Line line_open(const Settings *settings, int venue) {
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)settings->ports[venue]),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connecting to a venue");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    Line line = {.fd = fd, .tls = NULL, .unread = calloc(1, LINE_ROOM + 1)};
    if (!line.unread) fail("memory for a connection");
    if (settings->ca_path) line.tls = tls_open(fd, settings->ca_path);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return line;
}

/* The kernel stamps by the wall clock: how old the stamp is counts back from now. */
static int64_t stamp_of(struct msghdr *message) {
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPNS) continue;
        struct timespec stamp;
        memcpy(&stamp, CMSG_DATA(part), sizeof stamp);
        return mono_ns() - (wall_ns() - in_ns(stamp));
    }
    return 0;
}

static ssize_t read_plain(Line *line, char *into, size_t room) {
    char control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec place = {into, room};
    struct msghdr message = {
        .msg_iov = &place, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t count = recvmsg(line->fd, &message, 0);
    if (count > 0) line->kernel_mono_ns = stamp_of(&message);
    return count;
}

static ssize_t read_some(Line *line) {
    char *into = line->unread + line->size;
    size_t room = LINE_ROOM - line->size;
    return line->tls ? tls_read(line->tls, into, room) : read_plain(line, into, room);
}

bool line_receive(Line *line) {
    size_t before = line->size;
    ssize_t count;
    do {
        count = read_some(line);
        if (count == 0) fail_because("a venue", "closed the connection, or sent more than there is room for");
        if (count > 0) line->size += (size_t)count;
    } while (line->tls && count > 0); /* what TLS has decrypted already wakes nobody */
    if (count < 0 && errno != EAGAIN) fail("reading from a venue");
    line->unread[line->size] = 0;
    return line->size > before;
}

void line_take(Line *line, size_t size) {
    memmove(line->unread, line->unread + size, line->size - size + 1);
    line->size -= size;
}

void line_write(Line *line, const char *bytes, size_t size) {
    ssize_t count = line->tls ? tls_write(line->tls, bytes, size) : send(line->fd, bytes, size, MSG_NOSIGNAL);
    if (count != (ssize_t)size) fail("writing to a venue");
}

void line_await(Line *line) {
    struct pollfd wanted = {.fd = line->fd, .events = POLLIN};
    if (poll(&wanted, 1, 10000) <= 0) fail_because("a venue", "no answer within ten seconds");
}

void line_keep_warm(Line *line) {
    char byte;
    (void)!recv(line->fd, &byte, 1, MSG_PEEK);
    (void)!send(line->fd, &byte, 0, MSG_NOSIGNAL); /* of no bytes: nothing leaves */
}
