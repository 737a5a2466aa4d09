/* uri.c: the parts of a SIP, SIPS or tel URI (RFC 3261 19.1, RFC 3966). */
#include "isoexec_sip.h"
#include "sip/text.h"

/* Takes the text up to `separator` off *rest, and what follows it becomes *rest; 0 without one. */
static int
cut(iso_str *rest, char separator, iso_str *before_out)
{
    const char *found = memchr(rest->p, separator, rest->n);
    if (!found)
        return 0;
    *before_out = (iso_str){rest->p, (size_t)(found - rest->p)};
    *rest = (iso_str){found + 1, rest->n - before_out->n - 1};
    return 1;
}

/* Splits what follows the first `separator` off *text into *after_out. */
static void
split_off(iso_str *text, char separator, iso_str *after_out)
{
    iso_str rest = *text, before;
    if (cut(&rest, separator, &before)) {
        *text = before;
        *after_out = rest;
    }
}

/* hostport = host [":" port]. An IPv6 address without brackets is no host, and no port is read from it
 * (RFC 5118 4.2). What stands inside brackets is not checked further (RFC 5118 4.10 wants ":::" tolerated). */
static int
parse_hostport(iso_str text, iso_uri *uri)
{
    iso_str port = {NULL, 0};
    uri->host = text;
    if (text.n > 0 && text.p[0] == '[') {
        iso_str rest = {text.p + 1, text.n - 1};
        if (!cut(&rest, ']', &uri->host) || !iso__text_is(uri->host, ISO__CLASS_IPV6))
            return 0;
        uri->bracketed = 1;
        if (rest.n > 0) {
            if (rest.p[0] != ':')
                return 0;
            port = (iso_str){rest.p + 1, rest.n - 1};
        }
    } else {
        split_off(&uri->host, ':', &port);
        if (!iso__text_is(uri->host, ISO__CLASS_HOST))
            return 0;
    }
    int64_t number = port.p ? iso__text_number(port, UINT16_MAX) : 0;
    if (number < 0 || (port.p && number == 0))
        return 0;
    uri->port = (uint16_t)number;
    return 1;
}

/* "@" must be escaped in every part, so the first one ends the userinfo; the user part may hold ";" and
 * "?", which is why it is cut off first (RFC 3261 19.1.1, 25.1). */
static int
parse_sip(iso_str rest, iso_uri *uri)
{
    if (cut(&rest, '@', &uri->user)) {
        split_off(&uri->user, ':', &uri->password);
        if (uri->user.n == 0)
            return 0;
    }
    split_off(&rest, '?', &uri->headers);
    split_off(&rest, ';', &uri->parameters);
    return parse_hostport(rest, uri);
}

static int
has_low(iso_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] <= ' ' || text.p[i] == 0x7f)
            return 1;
    }
    return 0;
}

int
iso_uri_parse(iso_str text, iso_uri *out)
{
    iso_uri uri = {0};
    iso_str rest = text;
    if (text.n == 0 || has_low(text) || !cut(&rest, ':', &uri.scheme))
        return ISO_EPARSE;
    if (iso__same_text(uri.scheme, ISO__TEXT("sip")) || iso__same_text(uri.scheme, ISO__TEXT("sips"))) {
        if (!parse_sip(rest, &uri))
            return ISO_EPARSE;
    } else if (iso__same_text(uri.scheme, ISO__TEXT("tel"))) {
        uri.user = rest;
        split_off(&uri.user, ';', &uri.parameters);
        if (uri.user.n == 0)
            return ISO_EPARSE;
    } else {
        return ISO_EPARSE;
    }
    *out = uri;
    return 0;
}
