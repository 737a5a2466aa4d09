/* scan.h: 64 octets at once as a bit mask, bit i for octet i. Two variants of the same functions, chosen
 * at build: SSE2, and 64-bit words for every other processor (or with ISO_SCAN_PORTABLE). */
#ifndef ISO_SIP_SCAN_H
#define ISO_SIP_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ISO__SCAN_BLOCK 64
#define ISO__SCAN_SHORT 16

#if defined(__SSE2__) && !defined(ISO_SCAN_PORTABLE)
#include <emmintrin.h>

static inline uint64_t
iso__scan_equal16(const char *p, char octet)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8(octet)));
}

/* Octets 0 to 0x20: the space and the control characters. */
static inline uint64_t
iso__scan_low16(const char *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x20)), x));
}

#else

#define ISO__SCAN_EACH 0x0101010101010101ull
#define ISO__SCAN_HIGH 0x8080808080808080ull

/* The first octet is the lowest one of the word, on every processor. */
static inline uint64_t
iso__scan_word(const char *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

/* Gathers the high bits of eight octets: bit 8i + 7 moves to bit 56 + i, and no two sums meet. */
static inline uint64_t
iso__scan_gather(uint64_t high)
{
    return (high & ISO__SCAN_HIGH) * 0x0002040810204081ull >> 56;
}

/* Sums of 7-bit values can not carry into the next octet, so both tests are exact for each octet. */
static inline uint64_t
iso__scan_equal8(const char *p, char octet)
{
    uint64_t x = iso__scan_word(p) ^ (ISO__SCAN_EACH * (unsigned char)octet);
    return iso__scan_gather(~(((x & ~ISO__SCAN_HIGH) + ISO__SCAN_EACH * 0x7f) | x));
}

static inline uint64_t
iso__scan_low8(const char *p)
{
    uint64_t x = iso__scan_word(p);
    return iso__scan_gather(~(((x & ~ISO__SCAN_HIGH) + ISO__SCAN_EACH * 0x5f) | x));
}

static inline uint64_t
iso__scan_equal16(const char *p, char octet)
{
    return iso__scan_equal8(p, octet) | iso__scan_equal8(p + 8, octet) << 8;
}

static inline uint64_t
iso__scan_low16(const char *p)
{
    return iso__scan_low8(p) | iso__scan_low8(p + 8) << 8;
}
#endif

static inline uint64_t
iso__scan_equal64(const char *p, char octet)
{
    return iso__scan_equal16(p, octet) | iso__scan_equal16(p + 16, octet) << 16 |
           iso__scan_equal16(p + 32, octet) << 32 | iso__scan_equal16(p + 48, octet) << 48;
}

static inline uint64_t
iso__scan_low64(const char *p)
{
    return iso__scan_low16(p) | iso__scan_low16(p + 16) << 16 | iso__scan_low16(p + 32) << 32 |
           iso__scan_low16(p + 48) << 48;
}

/* Where to read the block at `at`, of which fewer than 64 octets are there, so that nothing outside the
 * n octets is read: as their last 64, or from `copy`. *shift is how far the mask must be shifted down. */
static inline const char *
iso__scan_tail(const char *data, size_t n, size_t at, char copy[ISO__SCAN_BLOCK], unsigned *shift)
{
    if (n >= ISO__SCAN_BLOCK) {
        *shift = (unsigned)(ISO__SCAN_BLOCK - (n - at));
        return data + n - ISO__SCAN_BLOCK;
    }
    *shift = 0;
    memset(copy, 0xff, ISO__SCAN_BLOCK); /* is neither a line end nor low */
    memcpy(copy, data + at, n - at);
    return copy;
}

#endif
