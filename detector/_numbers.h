/* Python's arithmetic of integers and floats, bit for bit. Compile with -ffp-contract=off. */
#ifndef TANDEM_NUMBERS_H
#define TANDEM_NUMBERS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

typedef __int128 int128_t;
typedef unsigned __int128 uint128_t;

static inline int bit_length(uint128_t value) {
    uint64_t high = (uint64_t)(value >> 64), low = (uint64_t)value;
    return high ? 128 - __builtin_clzll(high) : low ? 64 - __builtin_clzll(low) : 0;
}

/* `over / under` of two integers: the float nearest to the quotient, whatever their size. `under` is above 0. */
static inline double true_quotient(int128_t over, int64_t under) {
    const int64_t exact = INT64_C(1) << 53;
    if (-exact <= over && over <= exact && under <= exact) return (double)(int64_t)over / (double)under;
    uint128_t size = over < 0 ? -(uint128_t)over : (uint128_t)over;
    int shift = 64 - (bit_length(size) - bit_length((uint64_t)under));
    if (shift < 0) shift = 0;
    uint128_t quotient = (size << shift) / (uint64_t)under;
    /* At least 64 bits of it: a remainder only decides ties, so the lowest bit may stand for it. */
    if ((size << shift) % (uint64_t)under) quotient |= 1;
    double value = ldexp((double)quotient, -shift);
    return over < 0 ? -value : value;
}

/* 10_000 * difference / under, as spreads.py has it. */
static inline double bps_of(int64_t difference, int64_t under) {
    return true_quotient((int128_t)10000 * difference, under);
}

/* -(-over // under) of positive integers. */
static inline int128_t ceil_quotient(int128_t over, int64_t under) {
    return (over + under - 1) / under;
}

#endif
