/* address.c: IP addresses as text, without the operating system's sockets. */
#include "isoexec_sip.h"
#include "sip/text.h"

/* Reads "192.0.2.1": four decimal numbers without leading zeros (RFC 3986 3.2.2). */
static int
parse_ipv4(iso_str text, uint8_t ip[4])
{
    for (int i = 0; i < 4; i++) {
        const char *point = memchr(text.p, '.', text.n);
        if ((point == NULL) != (i == 3))
            return 0;
        iso_str number = {text.p, point ? (size_t)(point - text.p) : text.n};
        int64_t value = number.n > 1 && number.p[0] == '0' ? -1 : iso__text_number(number, 255);
        if (value < 0)
            return 0;
        ip[i] = (uint8_t)value;
        if (point) {
            text.n -= number.n + 1;
            text.p = point + 1;
        }
    }
    return 1;
}

/* One to four hexadecimal digits; -1 if it is something else. */
static int
parse_group(iso_str text)
{
    int value = 0;
    if (text.n == 0 || text.n > 4)
        return -1;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i], lower = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if (lower >= 'a' && lower <= 'f')
            value = value * 16 + (lower - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* Reads groups separated by ":" to ip, at most 16 octets; the last may be an IPv4 address if `tail`.
 * Returns the number of octets, -1 on anything else. */
static int
parse_groups(iso_str text, uint8_t ip[16], int tail)
{
    int n = 0;
    if (text.n == 0)
        return 0;
    for (;;) {
        const char *colon = memchr(text.p, ':', text.n);
        iso_str part = {text.p, colon ? (size_t)(colon - text.p) : text.n};
        if (!colon && tail && n <= 12 && parse_ipv4(part, ip + n))
            return n + 4;
        int group = parse_group(part);
        if (group < 0 || n == 16)
            return -1;
        ip[n++] = (uint8_t)(group >> 8);
        ip[n++] = (uint8_t)group;
        if (!colon)
            return n;
        text.n -= part.n + 1;
        text.p = colon + 1;
    }
}

/* RFC 4291 2.2. */
static int
parse_ipv6(iso_str text, uint8_t ip[16])
{
    uint8_t last[16] = {0};
    for (size_t i = 0; i + 1 < text.n; i++) {
        if (text.p[i] != ':' || text.p[i + 1] != ':')
            continue;
        int before = parse_groups((iso_str){text.p, i}, ip, 0);
        int after = parse_groups((iso_str){text.p + i + 2, text.n - i - 2}, last, 1);
        if (before < 0 || after < 0 || before + after > 14)
            return 0;
        memset(ip + before, 0, (size_t)(16 - before - after));
        memcpy(ip + 16 - after, last, (size_t)after);
        return 1;
    }
    return parse_groups(text, ip, 1) == 16;
}

int
iso_address_parse(iso_address *out, const char *text, size_t n, uint16_t port)
{
    iso_address address = {.port = port};
    iso_str ip = {text, n};
    if (n == 0)
        return ISO_EINVAL;
    int bracketed = n > 2 && text[0] == '[' && text[n - 1] == ']';
    if (bracketed)
        ip = (iso_str){text + 1, n - 2};
    if (memchr(ip.p, ':', ip.n))
        address.family = parse_ipv6(ip, address.ip) ? 6 : 0;
    else if (!bracketed)
        address.family = parse_ipv4(ip, address.ip) ? 4 : 0;
    if (address.family == 0)
        return ISO_EINVAL;
    *out = address;
    return 0;
}

static char *
put_number(char *to, unsigned value, unsigned base)
{
    char digits[8];
    int n = 0;
    do
        digits[n++] = "0123456789ABCDEF"[value % base];
    while ((value /= base) != 0);
    while (n > 0)
        *to++ = digits[--n];
    return to;
}

size_t
iso_address_format(const iso_address *address, char text[ISO_ADDRESS_TEXT])
{
    char *to = text;
    const uint8_t *ip = address->ip;
    for (int i = 0; address->family == 4 && i < 4; i++) {
        if (i > 0)
            *to++ = '.';
        to = put_number(to, ip[i], 10);
    }
    for (int i = 0; address->family == 6 && i < 16; i += 2) {
        if (i > 0)
            *to++ = ':';
        to = put_number(to, (unsigned)ip[i] << 8 | ip[i + 1], 16);
    }
    *to = '\0';
    return (size_t)(to - text);
}
