/* One TLS connection on a connected socket. tls.c has it from OpenSSL; tls_none.c serves where there are no headers. */
#ifndef FLOOR_TLS_H
#define FLOOR_TLS_H

#include <stddef.h>
#include <sys/types.h>

typedef struct Tls Tls;

/* Shakes hands on a blocking socket, and trusts the certificates of that file alone. */
Tls *tls_open(int fd, const char *ca_path);

/* As read(2) and write(2) on a socket that does not block: what came or went, -1 with EAGAIN for nothing now. */
ssize_t tls_read(Tls *tls, void *into, size_t room);
ssize_t tls_write(Tls *tls, const void *bytes, size_t size);

#endif
