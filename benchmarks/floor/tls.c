#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "fail.h"

struct Tls {
    SSL *ssl;
};

static _Noreturn void fail_in_openssl(const char *what) {
    fail_because(what, ERR_reason_error_string(ERR_peek_last_error()));
}

Tls *tls_open(int fd, const char *ca_path) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || SSL_CTX_load_verify_locations(context, ca_path, NULL) != 1) fail_in_openssl(ca_path);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    Tls *tls = malloc(sizeof *tls);
    if (!tls) fail("memory for a connection");
    tls->ssl = SSL_new(context);
    if (!tls->ssl || SSL_set_fd(tls->ssl, fd) != 1 || SSL_connect(tls->ssl) != 1) fail_in_openssl("TLS");
    return tls;
}

static ssize_t result_of(Tls *tls, int count) {
    if (count > 0) return count;
    switch (SSL_get_error(tls->ssl, count)) {
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    default:
        errno = EPROTO;
        return -1;
    }
}

ssize_t tls_read(Tls *tls, void *into, size_t room) {
    return result_of(tls, SSL_read(tls->ssl, into, (int)room));
}

ssize_t tls_write(Tls *tls, const void *bytes, size_t size) {
    return result_of(tls, SSL_write(tls->ssl, bytes, (int)size));
}
