/* test_sip_render.c: the outgoing message. */
#include <stdlib.h>

#include "sip/sip.h"
#include "test.h"

#define LINE "INVITE sip:a@b SIP/2.0\r\n"
#define HEAD "Via: 1\r\nf: me\r\nv: 2\r\nVia: 3\r\nCall-ID: x\r\n"

static iso_str
literal(const char *text)
{
    return text ? (iso_str){text, strlen(text)} : (iso_str){NULL, 0};
}

/* Renders into a block of exactly the size it asked for. The caller frees it. */
static char *
render(const char *text, size_t text_n, const iso_edits *edits, int64_t *n_out)
{
    iso_msg msg;
    CHECK_INT(iso_msg_init(&msg, text, text_n), 0);
    int64_t n = iso_msg_render(&msg, edits, NULL, 0);
    char *to = malloc(n > 0 ? (size_t)n : 1);
    CHECK_INT(iso_msg_render(&msg, edits, to, n > 0 ? (size_t)n : 0), n);
    *n_out = n;
    return to;
}

static void
check_render(const char *text, const iso_edits *edits, const char *expected)
{
    int64_t n;
    char *to = render(text, strlen(text), edits, &n);
    if (!CHECK_TEXT(to, (size_t)n, expected))
        printf("  of '%s'\n", text);
    free(to);
}

static void
test_as_received(void)
{
    static const char *const cases[][2] = {
        {LINE "Via :  x \r\n\ty\r\nf: z\nl: 2\r\n\r\nok", LINE "Via :  x \r\n\ty\r\nf: z\nl: 2\r\n\r\nok"},
        {LINE "l: 2\r\n\r\nok surplus", LINE "l: 2\r\n\r\nok"},
        {LINE "\r\nall of it", LINE "\r\nall of it"},
        {"\r\n\r\n" LINE "A: b\r\n\r\n", LINE "A: b\r\n\r\n"},
        {"INVITE sip:a SIP/2.0\nA: b\n\n", "INVITE sip:a SIP/2.0\nA: b\n\n"},
        {LINE "l: 9\r\n\r\nshort", LINE "l: 9\r\n\r\nshort"},
        {LINE "l: x\r\n\r\nodd", LINE "l: x\r\n\r\nodd"},
        {LINE, LINE "\r\n"},
        {LINE "\r", LINE "\r\n"},
        {LINE "A: b", LINE "A: b\r\n\r\n"},
        {LINE "A: b\r", LINE "A: b\r\n\r\n"},
        {LINE "A: b\r\n", LINE "A: b\r\n\r\n"},
        {LINE "A: b\r\n\r", LINE "A: b\r\n\r\n"},
        {LINE "A: b\r\n c", LINE "A: b\r\n c\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_render(cases[i][0], NULL, cases[i][1]);
    iso_msg msg;
    CHECK_INT(iso_msg_init(&msg, "no SIP", 6), 0);
    CHECK_INT(iso_msg_render(&msg, NULL, NULL, 0), ISO_EPARSE);
}

struct edit {
    int kind;
    const char *name, *value;
};

static const struct {
    const char *head;
    struct edit edits[4];
    const char *expected;
} edit_cases[] = {
    {HEAD "\r\n", {{ISO_EDIT_SET_RURI, NULL, "sip:new@x"}}, "INVITE sip:new@x SIP/2.0\r\n" HEAD "\r\n"},
    {HEAD "\r\n",
     {{ISO_EDIT_SET_RURI, NULL, "sip:1"}, {ISO_EDIT_SET_RURI, NULL, "sip:2"}},
     "INVITE sip:2 SIP/2.0\r\n" HEAD "\r\n"},
    {HEAD "\r\n", {{ISO_EDIT_SET_RURI, NULL, "sip:1"}, {ISO_EDIT_SET_RURI, NULL, ""}}, LINE HEAD "\r\n"},
    {HEAD "\r\n", {{ISO_EDIT_SET_DST_URI, NULL, "sip:hop"}}, LINE HEAD "\r\n"},
    {HEAD "\r\n",
     {{ISO_EDIT_APPEND_HEADER, "X", "1"}, {ISO_EDIT_APPEND_HEADER, "Y", ""}},
     LINE HEAD "X: 1\r\nY:\r\n\r\n"},
    {HEAD "\r\n",
     {{ISO_EDIT_INSERT_HEADER, "X", "1"}, {ISO_EDIT_INSERT_HEADER, "Y", "2"}},
     LINE "Y: 2\r\nX: 1\r\n" HEAD "\r\n"},
    {HEAD "\r\n", {{ISO_EDIT_REMOVE_HEADER, "via", NULL}}, LINE "f: me\r\nCall-ID: x\r\n\r\n"},
    {HEAD "\r\n",
     {{ISO_EDIT_REMOVE_HEADER, "From", NULL}, {ISO_EDIT_REMOVE_HEADER, "i", NULL}},
     LINE "Via: 1\r\nv: 2\r\nVia: 3\r\n\r\n"},
    {HEAD "\r\n", {{ISO_EDIT_REPLACE_HEADER, "V", "new"}}, LINE "Via: new\r\nf: me\r\nCall-ID: x\r\n\r\n"},
    {HEAD "\r\n",
     {{ISO_EDIT_REPLACE_HEADER, "From", "you"}},
     LINE "Via: 1\r\nf: you\r\nv: 2\r\nVia: 3\r\nCall-ID: x\r\n\r\n"},
    {HEAD "\r\n", {{ISO_EDIT_REPLACE_HEADER, "To", "you"}}, LINE HEAD "To: you\r\n\r\n"},
    /* in order: what an edit wrote is seen by the next ones */
    {HEAD "\r\n",
     {{ISO_EDIT_INSERT_HEADER, "v", "0"}, {ISO_EDIT_REPLACE_HEADER, "Via", "9"}},
     LINE "v: 9\r\nf: me\r\nCall-ID: x\r\n\r\n"},
    {HEAD "\r\n", {{ISO_EDIT_APPEND_HEADER, "X", "1"}, {ISO_EDIT_REMOVE_HEADER, "x", NULL}}, LINE HEAD "\r\n"},
    {HEAD "\r\n",
     {{ISO_EDIT_REMOVE_HEADER, "Via", NULL}, {ISO_EDIT_APPEND_HEADER, "Via", "4"}},
     LINE "f: me\r\nCall-ID: x\r\nVia: 4\r\n\r\n"},
    {HEAD "\r\n",
     {{ISO_EDIT_REMOVE_HEADER, "Via", NULL}, {ISO_EDIT_REPLACE_HEADER, "Via", "4"}},
     LINE "f: me\r\nCall-ID: x\r\nVia: 4\r\n\r\n"},
    /* folds go with their row */
    {"A: b\r\n c\r\nD: e\r\n\r\n", {{ISO_EDIT_REMOVE_HEADER, "A", NULL}}, LINE "D: e\r\n\r\n"},
    {"A: b\n c\nD: e\n\n", {{ISO_EDIT_REPLACE_HEADER, "A", "x"}}, LINE "A: x\r\nD: e\n\n"},
    /* Content-Length follows the body, and only the body */
    {"l: 2\r\nX: y\r\n\r\nok", {{ISO_EDIT_SET_BODY, NULL, "longer body"}}, LINE "l: 11\r\nX: y\r\n\r\nlonger body"},
    {"A: b\r\n\r\n",
     {{ISO_EDIT_SET_BODY, "text/plain", "new"}},
     LINE "A: b\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nnew"},
    {"c: a/b\r\nContent-Length : 2\r\nl: 2\r\n\r\nok",
     {{ISO_EDIT_SET_BODY, "c/d", ""}},
     LINE "c: c/d\r\nContent-Length: 0\r\n\r\n"},
    {"l: 2\r\n\r\nok",
     {{ISO_EDIT_SET_BODY, NULL, "abc"}, {ISO_EDIT_REMOVE_HEADER, "Content-Length", NULL}},
     LINE "Content-Length: 3\r\n\r\nabc"},
    {"l: 9\r\n\r\nshort", {{ISO_EDIT_SET_BODY, NULL, "right"}}, LINE "l: 5\r\n\r\nright"},
    {"l: 2\r\n\r\nok surplus", {{ISO_EDIT_APPEND_HEADER, "X", "y"}}, LINE "l: 2\r\nX: y\r\n\r\nok"},
    {"\r\n", {{ISO_EDIT_INSERT_HEADER, "X", "y"}}, LINE "X: y\r\n\r\n"},
    {"A: b", {{ISO_EDIT_APPEND_HEADER, "X", "y"}}, LINE "A: b\r\nX: y\r\n\r\n"},
    {"A: b\r", {{ISO_EDIT_INSERT_HEADER, "X", "y"}}, LINE "X: y\r\nA: b\r\n\r\n"},
};

static void
test_edits(void)
{
    char text[512];
    for (size_t i = 0; i < sizeof(edit_cases) / sizeof(edit_cases[0]); i++) {
        iso_edits edits = {0};
        for (int k = 0; k < 4 && edit_cases[i].edits[k].kind; k++) {
            const struct edit *edit = &edit_cases[i].edits[k];
            CHECK_INT(iso__edits_add(&edits, edit->kind, literal(edit->name), literal(edit->value)), 0);
        }
        snprintf(text, sizeof(text), LINE "%s", edit_cases[i].head);
        check_render(text, &edits, edit_cases[i].expected);
        iso__edits_fini(&edits);
    }
}

static void
test_reply(void)
{
    iso_edits edits = {0};
    iso__edits_add(&edits, ISO_EDIT_SET_RURI, literal(NULL), literal("sip:x"));
    iso__edits_add(&edits, ISO_EDIT_REMOVE_HEADER, literal("A"), literal(NULL));
    check_render("SIP/2.0 200 OK\r\nA: b\r\n\r\n", &edits, "SIP/2.0 200 OK\r\n\r\n");
    iso__edits_fini(&edits);
}

/* Nothing above `size` is written, and the answer is the whole length. */
static void
test_small_buffer(void)
{
    static const char text[] = LINE "A: b\r\n\r\nbody";
    iso_edits edits = {0};
    iso_msg msg;
    iso__edits_add(&edits, ISO_EDIT_APPEND_HEADER, literal("X"), literal("y"));
    CHECK_INT(iso_msg_init(&msg, text, sizeof(text) - 1), 0);
    int64_t n = iso_msg_render(&msg, &edits, NULL, 0);
    CHECK_INT(n, sizeof(text) - 1 + 6);
    for (int64_t size = 0; size < n; size++) {
        char *to = malloc((size_t)size + 1);
        to[size] = '#';
        CHECK_INT(iso_msg_render(&msg, &edits, to, (size_t)size), n);
        CHECK_INT(to[size], '#');
        free(to);
    }
    iso__edits_fini(&edits);
}

static void
test_many(void)
{
    static char text[32768], name[16];
    iso_edits edits = {0};
    int64_t n;
    int length = snprintf(text, sizeof(text), LINE);
    for (int i = 0; i < 500; i++) {
        length += snprintf(text + length, sizeof(text) - (size_t)length, "X-%d: %d\r\n", i, i);
        snprintf(name, sizeof(name), "X-%d", i);
        iso__edits_add(&edits, i % 2 ? ISO_EDIT_REMOVE_HEADER : ISO_EDIT_REPLACE_HEADER, literal(name), literal("r"));
        iso__edits_add(&edits, i % 2 ? ISO_EDIT_INSERT_HEADER : ISO_EDIT_APPEND_HEADER, literal("Y"), literal("s"));
    }
    length += snprintf(text + length, sizeof(text) - (size_t)length, "\r\nbody");
    char *to = render(text, (size_t)length, &edits, &n);
    iso_msg msg;
    iso_index index;
    uint32_t cursor = 0, rows = 0, added = 0;
    iso_str row_name, value;
    CHECK_INT(iso_msg_init(&msg, to, (size_t)n), 0);
    CHECK_INT(iso_msg_index(&msg, &index), 0);
    while (iso_msg_header(&msg, &index, (iso_str){NULL, 0}, &cursor, &row_name, &value)) {
        rows++;
        added += row_name.p[0] == 'Y' && value.p[0] == 's';
        CHECK(row_name.p[0] == 'Y' || value.p[0] == 'r');
    }
    CHECK_INT(rows, 750);
    CHECK_INT(added, 500);
    CHECK_TEXT(to + index.body, (size_t)n - index.body, "body");
    free(to);
    iso__edits_fini(&edits);
}

/* An index that the host has is used as it is. */
static void
test_given_index(void)
{
    static const char text[] = LINE "A: b\r\n\r\n";
    iso_msg msg;
    iso_index index;
    char to[64];
    CHECK_INT(iso_msg_init(&msg, text, sizeof(text) - 1), 0);
    CHECK_INT(iso_msg_index(&msg, &index), 0);
    CHECK(msg.index == NULL);
    msg.index = &index;
    CHECK_INT(iso_msg_render(&msg, NULL, to, sizeof(to)), sizeof(text) - 1);
    CHECK(memcmp(to, text, sizeof(text) - 1) == 0);
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_as_received), TEST(test_edits), TEST(test_reply), TEST(test_small_buffer),
              TEST(test_many), TEST(test_given_index));
}
