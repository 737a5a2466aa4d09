/* test_sip_index.c: start lines, header rows, methods. */
#include <stdbool.h>
#include <stdlib.h>

#include "sip/sip.h"
#include "sip/start_line.h"
#include "test.h"

/* Indexes text from a block of exactly its size. The block lives until the next call. */
static char *block;
static iso_msg msg;
static iso_index sip_index;

static int
index_text(const char *text, size_t n)
{
    free(block);
    block = malloc(n);
    memcpy(block, text, n);
    CHECK_INT(iso_msg_init(&msg, block, n), 0);
    memset(&sip_index, 0xee, sizeof(sip_index));
    return iso_msg_index(&msg, &sip_index);
}

static void
test_request_lines(void)
{
    static const struct {
        const char *line, *method, *uri, *version;
    } good[] = {
        {"INVITE sip:bob@example.org SIP/2.0\r\n", "INVITE", "sip:bob@example.org", "SIP/2.0"},
        {"invite sip:bob@example.org sip/2.0\r\n", "invite", "sip:bob@example.org", "sip/2.0"},
        {"OPTIONS <sip:b@c> SIP/2.0\n", "OPTIONS", "<sip:b@c>", "SIP/2.0"},
        {"\r\n\n\r\nACK x SIP/2.0\r\n", "ACK", "x", "SIP/2.0"},
        {"RE%47IST%45R sip:a SIP/7.0\r\n", "RE%47IST%45R", "sip:a", "SIP/7.0"},
        {"SUBSCRIBE sip:a SIP/12.34\r\n", "SUBSCRIBE", "sip:a", "SIP/12.34"},
        {"X sip:a SIP/2.0\r\n", "X", "sip:a", "SIP/2.0"},
        {"!interesting-Method0123456789_*+`.%indeed'~ sip:u\xc3\xa9 SIP/2.0\r\n",
         "!interesting-Method0123456789_*+`.%indeed'~", "sip:u\xc3\xa9", "SIP/2.0"},
        {"MESSAGE sip:1234567890123456789012345678901234567890123456789012345678901234567890@example.org SIP/2.0\r\n",
         "MESSAGE", "sip:1234567890123456789012345678901234567890123456789012345678901234567890@example.org",
         "SIP/2.0"},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!CHECK_INT(index_text(good[i].line, strlen(good[i].line)), 0))
            continue;
        CHECK_INT(sip_index.type, ISO_TYPE_REQUEST);
        CHECK_TEXT(block + sip_index.start, sip_index.first_n, good[i].method);
        CHECK_TEXT(block + sip_index.second, sip_index.second_n, good[i].uri);
        CHECK_TEXT(block + sip_index.third, sip_index.third_n, good[i].version);
        CHECK_INT(sip_index.headers, strlen(good[i].line));
    }
}

/* What the crossing asks first, for the method of the last message: it says the same as the whole search, or
 * nothing. */
static void
test_the_line_of_the_last_method(void)
{
    char text[512];
    for (int method = 0; method < ISO_METHOD_COUNT; method++) {
        for (int other = 0; other < ISO_METHOD_COUNT; other++) {
            const char *name = other == ISO_METHOD_OTHER ? "INVITES" : iso__method_names[other];
            int n = snprintf(text, sizeof text, "%s sip:bob@example.org SIP/2.0\r\nTo: %0300d\r\n\r\n", name, 1);
            iso_index expected, found;
            memset(&expected, 0xee, sizeof expected);
            memset(&found, 0xee, sizeof found);
            iso_msg_init(&msg, text, (size_t)n);
            CHECK_INT(iso_msg_start_line(&msg, &expected), 0);
            int usual = iso__usual_line_again(&msg, &iso__line_starts[method], &found);
            bool fits = method != ISO_METHOD_OTHER && strlen(iso__method_names[method]) < 8;
            CHECK_INT(usual, method == other && fits);
            if (usual)
                CHECK_INT(memcmp(&expected, &found, sizeof found), 0);
        }
    }
}

static void
test_reply_lines(void)
{
    static const struct {
        const char *line, *status, *reason;
    } good[] = {
        {"SIP/2.0 200 OK\r\n", "200", "OK"},
        {"sip/2.0 480 \r\n", "480", ""},
        {"SIP/2.0 480\r\n", "480", ""},
        {"SIP/2.0 480\n", "480", ""},
        {"SIP/2.0 4294967301 better not break the receiver\r\n", "4294967301", "better not break the receiver"},
        {"SIP/2.0 486 Busy  Here \r\n", "486", "Busy  Here "},
        {"SIP/2.0 200 a\tb\rc\r\n", "200", "a\tb\rc"},
        {"SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe 1234567890123456789012345678901234567890 1234567890\n", "200",
         "= 2**3 * 5**2 \xd0\xbd\xd0\xbe 1234567890123456789012345678901234567890 1234567890"},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!CHECK_INT(index_text(good[i].line, strlen(good[i].line)), 0))
            continue;
        CHECK_INT(sip_index.type, ISO_TYPE_REPLY);
        CHECK_INT(sip_index.first_n, 7);
        CHECK_TEXT(block + sip_index.second, sip_index.second_n, good[i].status);
        CHECK_TEXT(block + sip_index.third, sip_index.third_n, good[i].reason);
    }
}

static void
test_refused(void)
{
    static const char *const bad[] = {
        "\r\n\r\n",
        "\n",
        " ",
        "x",
        "INVITE",
        "INVITE sip:a",
        "INVITE sip:a SIP/2.0",
        "INVITE sip:a SIP/2.0\r",
        " INVITE sip:a SIP/2.0\r\n",
        "\tINVITE sip:a SIP/2.0\r\n",
        "INVITE  sip:a SIP/2.0\r\n",
        "INVITE sip:a  SIP/2.0\r\n",
        "INVITE sip:a SIP/2.0 \r\n",
        "INVITE sip:a; b SIP/2.0\r\n",
        "INVITE\tsip:a SIP/2.0\r\n",
        "INVITE sip:a\tSIP/2.0\r\n",
        "INVITE sip:a\x01z SIP/2.0\r\n",
        "INVITE sip:a HTTP/1.1\r\n",
        "INVITE sip:a SIP/2\r\n",
        "INVITE sip:a SIP/2.\r\n",
        "INVITE sip:a SIP/.0\r\n",
        "INVITE sip:a SIP2.0\r\n",
        "INVITE sip:a SIP/2.0x\r\n",
        "INVITE sip:a SIP/2.0\rX\r\n",
        "INV(ITE sip:a SIP/2.0\r\n",
        "INV[TE sip:a SIP/2.0\r\n",
        "INVIT\xc3 sip:a SIP/2.0\r\n",
        "SIP/2.0  200 OK\r\n",
        "SIP/2.0 20x OK\r\n",
        "SIP/2.0 \r\n",
        "SIP/2.0 200 OK",
        "SIP/2.0 200\tOK\r\n",
        "SIP/2.0 -1 OK\r\n",
        "SIP/x.0 200 OK\r\n",
        "\x01\x01 \x21\x12 \r\n",
        "GET / HTTP/1.1\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (!CHECK_INT(index_text(bad[i], strlen(bad[i])), ISO_EPARSE))
            printf("  '%s'\n", bad[i]);
    }
    CHECK_INT(index_text("INVITE sip:a\0b SIP/2.0\r\n", 24), ISO_EPARSE);
}

static void
test_msg_init(void)
{
    iso_msg m;
    CHECK_INT(iso_msg_init(&m, "", 0), ISO_EINVAL);
    CHECK_INT(iso_msg_init(&m, NULL, 4), ISO_EINVAL);
    CHECK_INT(iso_msg_init(&m, "x", (size_t)ISO_MSG_MAX_LENGTH + 1), ISO_EINVAL);
    CHECK_INT(iso_msg_init(&m, "x", 1), 0);
    CHECK(m.version == ISO_MSG_VERSION && m.route == ISO_ROUTE_REQUEST && m.length == 1 && !m.index);
    CHECK(m.source.family == 0 && m.destination.family == 0);
}

#define LINE "OPTIONS sip:a@b SIP/2.0\r\n"

static void
test_rows(void)
{
    static const struct {
        const char *head;
        int result, rows, complete, after;
    } cases[] = {
        {"\r\n", 0, 0, 1, 0},
        {"", 0, 0, 0, 0},
        {"\r", 0, 0, 0, 0},
        {"A:b\r\n\r\nbody", 0, 1, 1, 4},
        {"A:b\nB:c\n\nbody", 0, 2, 1, 4},
        {"A:b\r\nB:c\n\r\n", 0, 2, 1, 0},
        {"A:b\r\n c\r\n\td\r\nB:\r\n\r\n", 0, 2, 1, 0},
        {"A:\r\n \t\r\nB: c\r\n\r\n", 0, 2, 1, 0}, /* a line that only looks blank */
        {"A:b", 0, 1, 0, 0},
        {"A:b\r", 0, 1, 0, 0},
        {"A:b\r\n", 0, 1, 0, 0},
        {"A:b\r\n\r", 0, 1, 0, 0},
        {"A:b\r\n c", 0, 1, 0, 0},
        {"A:b\r\n ", 0, 1, 0, 0},
        {"A", ISO_EPARSE, 0, 0, 0},
        {"A:b\r\nB", ISO_EPARSE, 0, 0, 0},
        {" A:b\r\n\r\n", ISO_EPARSE, 0, 0, 0}, /* a fold of nothing */
        {"A b\r\n\r\n", ISO_EPARSE, 0, 0, 0},
        {"A\r\n :b\r\n\r\n", ISO_EPARSE, 0, 0, 0},
        {":b\r\n\r\n", ISO_EPARSE, 0, 0, 0},
        {"A:b\r\n\rB:c\r\n\r\n", ISO_EPARSE, 0, 0, 0},
        {"A:b\r\n\x01:c\r\n\r\n", ISO_EPARSE, 0, 0, 0},
        {"A:b\r\nno colon in this long row\r\nC:d\r\n\r\n", ISO_EPARSE, 0, 0, 0},
    };
    char text[256];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int n = snprintf(text, sizeof(text), LINE "%s", cases[i].head);
        int good = CHECK_INT(index_text(text, (size_t)n), cases[i].result);
        if (good && cases[i].result == 0) {
            good &= CHECK_INT(sip_index.row_count, cases[i].rows);
            good &= CHECK_INT(sip_index.complete, cases[i].complete);
            good &= CHECK_INT(msg.length - sip_index.body, cases[i].after);
            good &= CHECK_INT(sip_index.overflow, 0);
        }
        if (!good)
            printf("  '%s'\n", cases[i].head);
    }
}

static void
test_row_parts(void)
{
    const char text[] = LINE "Via \t: one\r\n two \r\nA-very-long-header-name-indeed: x\r\nE:\r\n\r\n";
    static const char *const names[] = {"Via", "A-very-long-header-name-indeed", "E"};
    static const char *const values[] = {" one\r\n two ", " x", ""};
    CHECK_INT(index_text(text, sizeof(text) - 1), 0);
    CHECK_INT(sip_index.row_count, 3);
    for (int i = 0; i < 3; i++) {
        const iso_row *row = &sip_index.rows[i];
        CHECK_TEXT(block + row->name, row->name_length, names[i]);
        CHECK_TEXT(block + row->value, row->end - row->value, values[i]);
    }
}

static void
test_name_too_long(void)
{
    static char text[70000];
    static const struct {
        size_t length;
        int result;
    } cases[] = {{1, 0}, {65535, 0}, {65536, ISO_EPARSE}, {65537, ISO_EPARSE}, {69000, ISO_EPARSE}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t n = sizeof(LINE) - 1;
        memcpy(text, LINE, n);
        memset(text + n, 'n', cases[i].length);
        n += cases[i].length;
        memcpy(text + n, ":v\r\n\r\n", 6);
        CHECK_INT(index_text(text, n + 6), cases[i].result);
        if (cases[i].result == 0)
            CHECK_INT(sip_index.rows[0].name_length, cases[i].length);
    }
}

static void
test_start_line_only(void)
{
    const char text[] = LINE "no header at all\r\n\r\n";
    CHECK_INT(index_text(text, sizeof(text) - 1), ISO_EPARSE);
    CHECK_INT(iso_msg_start_line(&msg, &sip_index), 0);
    CHECK_INT(sip_index.type, ISO_TYPE_REQUEST);
    CHECK_INT(sip_index.row_count, 0);
    CHECK_INT(sip_index.complete, 0);
    CHECK_INT(iso__index_rows(&msg, &sip_index), ISO_EPARSE);
}

static void
test_methods(void)
{
    static const char *const others[] = {"",       "I",         "invite",   "INVITEX", "INVITF",
                                         "XNVITE", "SUBSCRIBF", "REGISTEX", "ACJ",     "BY"};
    for (int i = 1; i < ISO_METHOD_COUNT; i++)
        CHECK_INT(iso__method_number(iso__method_names[i], strlen(iso__method_names[i])), i);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        CHECK_INT(iso__method_number(others[i], strlen(others[i])), ISO_METHOD_OTHER);
    CHECK_TEXT(iso__method_names[0], 0, "");
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_request_lines), TEST(test_reply_lines), TEST(test_refused), TEST(test_msg_init),
              TEST(test_the_line_of_the_last_method), TEST(test_rows), TEST(test_row_parts), TEST(test_name_too_long),
              TEST(test_start_line_only), TEST(test_methods));
}
