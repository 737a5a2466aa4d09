/* text.h: small work with octets: compare, numbers, and a writer into memory that somebody else owns. */
#ifndef PROXY_TEXT_H
#define PROXY_TEXT_H

#include <string.h>

#include "isoexec.h"

#define PROXY_TEXT(literal) ((iso_str){(literal), sizeof(literal) - 1})

static inline iso_str
proxy_text_of(const char *text)
{
    return (iso_str){text, text != NULL ? strlen(text) : 0};
}

static inline int
proxy_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n'; /* line ends are inside folded values only */
}

static inline char
proxy_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* The same, with no regard to case. */
static inline int
proxy_same(iso_str a, iso_str b)
{
    if (a.n != b.n)
        return 0;
    for (size_t i = 0; i < a.n; i++) {
        if (proxy_lower(a.p[i]) != proxy_lower(b.p[i]))
            return 0;
    }
    return 1;
}

static inline int
proxy_equal(iso_str a, iso_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline iso_str
proxy_trim(iso_str text)
{
    while (text.n > 0 && proxy_is_blank(text.p[0]))
        text.p++, text.n--;
    while (text.n > 0 && proxy_is_blank(text.p[text.n - 1]))
        text.n--;
    return text;
}

/* A decimal number up to max, or -1. */
static inline int64_t
proxy_number(iso_str text, int64_t max)
{
    int64_t value = 0;
    if (text.n == 0)
        return -1;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -1;
        value = value * 10 + (text.p[i] - '0');
        if (value > max)
            return -1;
    }
    return value;
}

/* n hexadecimal digits of lower case at p, or -1. n is at most 15. */
static inline int64_t
proxy_read_hex(const char *p, size_t n)
{
    int64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* ---- writer ---- */

/* Writes up to `size`, counts on when it is full: n > size says that it did not fit. */
typedef struct proxy_writer {
    char *p;
    size_t n, size;
} proxy_writer;

static inline void
proxy_put(proxy_writer *to, iso_str text)
{
    if (text.n > 0 && text.n <= to->size && to->n <= to->size - text.n)
        memcpy(to->p + to->n, text.p, text.n);
    to->n += text.n;
}

#define proxy_put_text(to, literal) proxy_put(to, PROXY_TEXT(literal))

static inline void
proxy_put_number(proxy_writer *to, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    proxy_put(to, (iso_str){digits + at, sizeof digits - at});
}

static inline void
proxy_put_hex(proxy_writer *to, uint64_t value, size_t digits)
{
    char text[16];
    for (size_t i = digits; i-- > 0; value >>= 4)
        text[i] = "0123456789abcdef"[value & 15];
    proxy_put(to, (iso_str){text, digits});
}

static inline iso_str
proxy_written(const proxy_writer *to)
{
    return (iso_str){to->p, to->n};
}

#endif
