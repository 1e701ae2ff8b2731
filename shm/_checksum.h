/* zlib's crc32, a nibble at a time: its table is one cache line. zlib's own is faster in a loop and slower after
   20 ms without a quote, which is when it counts. */
#ifndef TANDEM_CHECKSUM_H
#define TANDEM_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

static const uint32_t CHECKSUM_NIBBLES[16] __attribute__((aligned(64))) = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

/* As crc32(body, start) in Python, which takes the low 32 bits of its start. */
static inline uint32_t checksum(const void *body, size_t size, int64_t start) {
    uint32_t sum = ~(uint32_t)start;
    for (const uint8_t *at = body, *end = at + size; at < end; at++) {
        sum ^= *at;
        sum = CHECKSUM_NIBBLES[sum & 15] ^ (sum >> 4);
        sum = CHECKSUM_NIBBLES[sum & 15] ^ (sum >> 4);
    }
    return ~sum;
}

#endif
