/* What cannot be done ends the process with one line on standard error. */
#ifndef FLOOR_FAIL_H
#define FLOOR_FAIL_H

#include <stdio.h>
#include <stdlib.h>

static inline _Noreturn void fail(const char *what) {
    perror(what);
    exit(1);
}

static inline _Noreturn void fail_because(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

#endif
