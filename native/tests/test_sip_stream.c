/* test_sip_stream.c: framing. */
#include <stdlib.h>

#include "isoexec.h"
#include "test.h"

#define ONE "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 4\r\n\r\nbody"
#define TWO "SIP/2.0 200 OK\nl:0\n\n"

static int64_t
next(const char *text, size_t n, size_t max, size_t *skip_out)
{
    char *copy = malloc(n + (n == 0));
    memcpy(copy, text, n);
    int64_t length = iso_stream_next(copy, n, max, skip_out);
    free(copy);
    return length;
}

static void
test_frames(void)
{
    static const struct {
        const char *text;
        int64_t length;
        size_t skip;
    } cases[] = {
        {"", 0, 0},
        {"\r\n\r\n", 0, 4},
        {"\r", 0, 1},
        {ONE, sizeof(ONE) - 1, 0},
        {ONE TWO, sizeof(ONE) - 1, 0},
        {"\r\n\r\n" TWO ONE, sizeof(TWO) - 1, 4},
        {"OPTIONS sip:a@b SIP/2.0\r\nl: 9\r\n\r\nshort", 0, 0},
        {"OPTIONS sip:a@b SIP/2.0\r\nl:\r\n 2\r\nX: y\r\n\r\nok", 43, 0},
        {"OPTIONS sip:a@b SIP/2.0\r\nl: 1\r\nContent-Length: 01\r\n\r\nx", 54, 0},
        {"OPTIONS sip:a@b SIP/2.0\r\nContent-Le", 0, 0},
        {"OPTIONS", 0, 0},
        {"OPTIONS sip:a@b SIP/2.0\r\n\r\n", ISO_EPARSE, 0},
        {"OPTIONS sip:a@b SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\nxy", ISO_EPARSE, 0},
        {"OPTIONS sip:a@b SIP/2.0\r\nl: -1\r\n\r\n", ISO_EPARSE, 0},
        {"OPTIONS sip:a@b SIP/2.0\r\nl: 1001\r\n\r\n", ISO_EPARSE, 0},
        {"OPTIONS sip:a@b SIP/2.0\r\nl: 4294967296\r\n\r\n", ISO_EPARSE, 0},
        {"OPTIONS sip:a@b SIP/2.0\r\nl: 99999999999999999999999\r\n\r\n", ISO_EPARSE, 0},
        {"OPTIONS sip:a@b SIP/2.0\r\nno header\r\nl: 0\r\n\r\n", ISO_EPARSE, 0},
        {"GET / HTTP/1.1\r\n", ISO_EPARSE, 0},
        {"\r\n\x16\x03\x01\n", ISO_EPARSE, 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t skip = 99;
        if (!CHECK_INT(next(cases[i].text, strlen(cases[i].text), 1000, &skip), cases[i].length) ||
            !CHECK_INT(skip, cases[i].skip))
            printf("  '%s'\n", cases[i].text);
    }
}

static void
test_max(void)
{
    size_t skip, n = sizeof(ONE) - 1;
    CHECK_INT(next(ONE, n, n, &skip), n);
    CHECK_INT(next(ONE, n, n - 1, &skip), ISO_EPARSE);
    CHECK_INT(next("\r\n\r\n" ONE, n + 4, n, &skip), n); /* what belongs to no message does not count */
    CHECK_INT(next(ONE, 20, 21, &skip), 0);
    CHECK_INT(next(ONE, 20, 20, &skip), ISO_EPARSE);
}

/* Octet by octet: the same messages as in one piece, and each only when it is whole. */
static void
test_one_octet_at_a_time(void)
{
    static const char text[] = "\r\n" ONE "\r\n\r\n" TWO ONE TWO;
    static const size_t lengths[] = {sizeof(ONE) - 1, sizeof(TWO) - 1, sizeof(ONE) - 1, sizeof(TWO) - 1};
    size_t at = 0, found = 0, skip = 0;
    for (size_t n = 0; n < sizeof(text); n++) {
        int64_t length = next(text + at, n - at, 1000, &skip);
        CHECK(length >= 0);
        if (length > 0) {
            CHECK_INT(length, lengths[found % 4]);
            CHECK_INT(at + skip + (size_t)length, n);
            at = n;
            found++;
        }
    }
    CHECK_INT(found, 4);
    CHECK_INT(at, sizeof(text) - 1);
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_frames), TEST(test_max), TEST(test_one_octet_at_a_time));
}
