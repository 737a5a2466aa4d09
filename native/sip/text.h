/* text.h: comparing, trimming and checking short texts, shared by the files of sip/. */
#ifndef ISO_SIP_TEXT_H
#define ISO_SIP_TEXT_H

#include <string.h>

#include "isoexec_sip.h"

/* A literal as text; the first form initialises static tables. */
#define ISO__TEXT_OF(literal) {literal, sizeof(literal) - 1}
#define ISO__TEXT(literal) ((iso_str)ISO__TEXT_OF(literal))

/* Classes of octets (RFC 3261 25.1). */
enum {
    ISO__CLASS_TOKEN = 1,
    ISO__CLASS_DIGIT = 2,
    ISO__CLASS_HOST = 4, /* of a host name; "_" is none in the RFC but is found in the field */
    ISO__CLASS_IPV6 = 8, /* hexadecimal digits, ":" and "." */
};
extern const unsigned char iso__octet_class[256];

static inline int
iso__text_is(iso_str text, unsigned char octet_class)
{
    for (size_t i = 0; i < text.n; i++) {
        if (!(iso__octet_class[(unsigned char)text.p[i]] & octet_class))
            return 0;
    }
    return text.n > 0;
}

/* Digits as a number; above `max` it is -1, as is anything else than 1 or more digits. */
int64_t iso__text_number(iso_str text, int64_t max);

static inline int
iso__is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline int
iso__is_line_end(char c)
{
    return c == '\r' || c == '\n';
}

/* Without white space and folds at both ends. */
static inline iso_str
iso__trim(iso_str text)
{
    while (text.n > 0 && (iso__is_blank(text.p[0]) || iso__is_line_end(text.p[0]))) {
        text.p++;
        text.n--;
    }
    while (text.n > 0 && (iso__is_blank(text.p[text.n - 1]) || iso__is_line_end(text.p[text.n - 1])))
        text.n--;
    return text;
}

static inline uint64_t
iso__load8(const char *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

/* A word that holds each of 0 to 7 octets, some twice: two texts of one length are the same if and
 * only if their words are. Reads nothing outside the text. */
static inline uint64_t
iso__load_short(const char *p, size_t n)
{
    if (n >= 4) {
        uint32_t first, last;
        memcpy(&first, p, 4);
        memcpy(&last, p + n - 4, 4);
        return (uint64_t)first << 32 | last;
    }
    if (n == 0)
        return 0;
    return (uint64_t)((uint32_t)(unsigned char)p[0] << 16 | (uint32_t)(unsigned char)p[n / 2] << 8 |
                      (unsigned char)p[n - 1]);
}

/* The high bit of each octet that is an ASCII letter. */
static inline uint64_t
iso__letters8(uint64_t x)
{
    const uint64_t each = 0x0101010101010101ull, high = 0x8080808080808080ull;
    uint64_t low = (x | each * 0x20) & ~high;
    return (low + each * (0x80 - 'a')) & ~(low + each * (0x7f - 'z')) & ~x & high;
}

/* Eight octets, but for the case of letters. "[" is not "{": the 0x20 bit may differ in letters only. */
static inline int
iso__same8(uint64_t x, uint64_t y)
{
    const uint64_t each = 0x0101010101010101ull;
    uint64_t difference = x ^ y;
    if (difference & ~(each * 0x20))
        return 0;
    return ((difference << 2) & ~iso__letters8(x)) == 0;
}

/* Two texts of n octets, but for the case of letters. */
static inline int
iso__same(const char *p, const char *q, size_t n)
{
    if (n < 8)
        return iso__same8(iso__load_short(p, n), iso__load_short(q, n));
    for (size_t i = 0; i + 8 <= n; i += 8) {
        if (!iso__same8(iso__load8(p + i), iso__load8(q + i)))
            return 0;
    }
    return iso__same8(iso__load8(p + n - 8), iso__load8(q + n - 8));
}

static inline int
iso__same_text(iso_str a, iso_str b)
{
    return a.n == b.n && iso__same(a.p, b.p, a.n);
}

#endif
