/* method.c: numbers of the methods that have an interned str ready in each rank. */
#include "sip/method.h"

const char iso__method_names[ISO_METHOD_COUNT][16] = {
    [ISO_METHOD_OTHER] = "",
    [ISO_METHOD_INVITE] = "INVITE",
    [ISO_METHOD_ACK] = "ACK",
    [ISO_METHOD_BYE] = "BYE",
    [ISO_METHOD_CANCEL] = "CANCEL",
    [ISO_METHOD_OPTIONS] = "OPTIONS",
    [ISO_METHOD_REGISTER] = "REGISTER",
    [ISO_METHOD_PRACK] = "PRACK",
    [ISO_METHOD_SUBSCRIBE] = "SUBSCRIBE",
    [ISO_METHOD_NOTIFY] = "NOTIFY",
    [ISO_METHOD_PUBLISH] = "PUBLISH",
    [ISO_METHOD_INFO] = "INFO",
    [ISO_METHOD_REFER] = "REFER",
    [ISO_METHOD_MESSAGE] = "MESSAGE",
    [ISO_METHOD_UPDATE] = "UPDATE",
};

/* SUBSCRIBE and REGISTER do not fit a word with their space; their rows match no message. */
#define PARTS(number, n)                                                                                               \
    {.headers = 10,                                                                                                    \
     .first_n = (n),                                                                                                   \
     .second = (n) + 1,                                                                                                \
     .second_n = -(uint32_t)((n) + 1),                                                                                 \
     .third = 1,                                                                                                       \
     .third_n = 7,                                                                                                     \
     .type = ISO_TYPE_REQUEST,                                                                                         \
     .method = (number)}
#define START(number, name, mask) [number] = {name " ", mask "\xff", {PARTS(number, sizeof name - 1)}, sizeof name - 1}
const iso__line_start iso__line_starts[ISO_METHOD_COUNT] = {
    START(ISO_METHOD_INVITE, "INVITE", "\xff\xff\xff\xff\xff\xff"),
    START(ISO_METHOD_ACK, "ACK", "\xff\xff\xff"),
    START(ISO_METHOD_BYE, "BYE", "\xff\xff\xff"),
    START(ISO_METHOD_CANCEL, "CANCEL", "\xff\xff\xff\xff\xff\xff"),
    START(ISO_METHOD_OPTIONS, "OPTIONS", "\xff\xff\xff\xff\xff\xff\xff"),
    START(ISO_METHOD_PRACK, "PRACK", "\xff\xff\xff\xff\xff"),
    START(ISO_METHOD_NOTIFY, "NOTIFY", "\xff\xff\xff\xff\xff\xff"),
    START(ISO_METHOD_PUBLISH, "PUBLISH", "\xff\xff\xff\xff\xff\xff\xff"),
    START(ISO_METHOD_INFO, "INFO", "\xff\xff\xff\xff"),
    START(ISO_METHOD_REFER, "REFER", "\xff\xff\xff\xff\xff"),
    START(ISO_METHOD_MESSAGE, "MESSAGE", "\xff\xff\xff\xff\xff\xff\xff"),
    START(ISO_METHOD_UPDATE, "UPDATE", "\xff\xff\xff\xff\xff\xff"),
    [ISO_METHOD_OTHER] = {.octets = "?"},
    [ISO_METHOD_REGISTER] = {.octets = "?", .method_n = 8, .parts = PARTS(ISO_METHOD_REGISTER, 8)},
    [ISO_METHOD_SUBSCRIBE] = {.octets = "?", .method_n = 9, .parts = PARTS(ISO_METHOD_SUBSCRIBE, 9)},
};

int
iso__method_number(const char *p, size_t n)
{
    char padded[16] = "";
    if (n == 0 || n > ISO__METHOD_LONGEST)
        return ISO_METHOD_OTHER;
    memcpy(padded, p, n);
    return iso__method_at(padded, n);
}
