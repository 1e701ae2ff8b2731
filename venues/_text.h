/* A text read from front to back: literals, decimals, whole numbers. Nothing is skipped, so nothing is guessed. */
#ifndef TANDEM_TEXT_H
#define TANDEM_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const char *at, *end;
} Text;

static inline bool text_literal(Text *text, const char *wanted, size_t size) {
    if ((size_t)(text->end - text->at) < size || memcmp(text->at, wanted, size) != 0) return false;
    text->at += size;
    return true;
}

#define LITERAL(text, wanted) text_literal(text, wanted, sizeof(wanted) - 1)

static inline bool text_is_digit(const Text *text) {
    return text->at < text->end && *text->at >= '0' && *text->at <= '9';
}

/* Appends digits to a value; how many, or -1 beyond so many or 2**62. */
static inline int text_digits(Text *text, int64_t *value, int digits_max) {
    int digits = 0;
    for (; text_is_digit(text); text->at++, digits++) {
        if (digits == digits_max || *value > ((INT64_C(1) << 62) - 9) / 10) return -1;
        *value = *value * 10 + (*text->at - '0');
    }
    return digits;
}

/* A quoted decimal, scaled by 10**8. False: no plain one of at most eight decimals below 2**62. */
static inline bool text_decimal_e8(Text *text, int64_t *value_e8) {
    int decimals = 0;
    *value_e8 = 0;
    if (!LITERAL(text, "\"") || text_digits(text, value_e8, 20) <= 0) return false;
    if (LITERAL(text, ".") && (decimals = text_digits(text, value_e8, 8)) <= 0) return false;
    for (; decimals < 8; decimals++) {
        if (*value_e8 > ((INT64_C(1) << 62) - 9) / 10) return false;
        *value_e8 *= 10;
    }
    return LITERAL(text, "\"");
}

/* A time in ms whose nanoseconds fit a word, as ns. */
static inline bool text_unix_ms(Text *text, int64_t *unix_ns) {
    const char *first = text->at;
    int64_t unix_ms = 0;
    int digits = text_digits(text, &unix_ms, 13);
    if (digits <= 0 || (digits > 1 && *first == '0') || unix_ms >= INT64_C(9000000000000)) return false;
    *unix_ns = unix_ms * 1000000;
    return true;
}

#endif
