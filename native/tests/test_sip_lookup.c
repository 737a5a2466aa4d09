/* test_sip_lookup.c: headers by name, bodies, folds, lists and parameters. */
#include <stdlib.h>

#include "sip/sip.h"
#include "test.h"

#define LINE "OPTIONS sip:a@b SIP/2.0\r\n"

static iso_msg msg;
static iso_index sip_index;

static iso_str
literal(const char *text)
{
    return (iso_str){text, strlen(text)};
}

static int
index_text(const char *text)
{
    return iso_msg_init(&msg, text, strlen(text)) < 0 ? ISO_EINVAL : iso_msg_index(&msg, &sip_index);
}

/* The first value of a header; p == NULL if it is not there. */
static iso_str
first(const char *name)
{
    uint32_t cursor = 0;
    iso_str value = {NULL, 0};
    iso_msg_header(&msg, &sip_index, literal(name), &cursor, NULL, &value);
    return value;
}

static const struct {
    char letter;
    const char *name;
} compact[] = {
    {'a', "Accept-Contact"},
    {'b', "Referred-By"},
    {'c', "Content-Type"},
    {'d', "Request-Disposition"},
    {'e', "Content-Encoding"},
    {'f', "From"},
    {'i', "Call-ID"},
    {'j', "Reject-Contact"},
    {'k', "Supported"},
    {'l', "Content-Length"},
    {'m', "Contact"},
    {'n', "Identity-Info"},
    {'o', "Event"},
    {'r', "Refer-To"},
    {'s', "Subject"},
    {'t', "To"},
    {'u', "Allow-Events"},
    {'v', "Via"},
    {'x', "Session-Expires"},
    {'y', "Identity"},
};

static void
test_compact_forms(void)
{
    char text[256], shouted[32];
    int known = 0;
    for (size_t i = 0; i < sizeof(compact) / sizeof(compact[0]); i++) {
        char letter[2] = {compact[i].letter, 0}, upper[2] = {(char)(compact[i].letter & ~0x20), 0};
        iso_str full = iso__compact_long(compact[i].letter);
        CHECK_TEXT(full.p, full.n, compact[i].name);
        CHECK(iso__compact_long(upper[0]).p == full.p);
        for (size_t k = 0; k <= full.n; k++)
            shouted[k] = (char)(full.p[k] >= 'a' && full.p[k] <= 'z' ? full.p[k] - 32 : full.p[k]);
        const char *const names[] = {letter, upper, compact[i].name, shouted};
        for (int row = 0; row < 4; row++) {
            snprintf(text, sizeof(text), LINE "X: no\r\nZ: no\r\n%s: yes\r\n\r\n", names[row]);
            CHECK_INT(index_text(text), 0);
            int shadowed = compact[i].letter == 'x';
            for (int ask = 0; ask < 4; ask++)
                CHECK_TEXT(first(names[ask]).p, first(names[ask]).n, shadowed ? "no" : "yes");
        }
    }
    for (int c = 0; c < 256; c++)
        known += iso__compact_long((char)c).p != NULL;
    CHECK_INT(known, 40);
}

static void
test_names(void)
{
    CHECK_INT(index_text(LINE "X{a}`: one\r\nX[b]@12: two\r\nz: three\r\nC%6Fntact: four\r\nFROM : five\r\n"
                              "P-Asserted-Identity: six\r\nX-\xc3\xa9: seven\r\nTp: eight\r\n\r\n"),
              0);
    CHECK(first("X[a]`").p == NULL && first("X{a}@").p == NULL && first("x{b}`12").p == NULL);
    CHECK_TEXT(first("x{A}`").p, first("x{A}`").n, "one");
    CHECK_TEXT(first("x[B]@12").p, first("x[B]@12").n, "two");
    CHECK_TEXT(first("Z").p, first("Z").n, "three");
    CHECK(first("Contact").p == NULL && first("m").p == NULL && first("To").p == NULL && first("t").p == NULL);
    CHECK_TEXT(first("f").p, first("f").n, "five");
    CHECK_TEXT(first("p-asserted-IDENTITY").p, first("p-asserted-IDENTITY").n, "six");
    CHECK(first("P-Asserted-Identitz").p == NULL && first("Q-Asserted-Identity").p == NULL);
    CHECK_TEXT(first("x-\xc3\xa9").p, first("x-\xc3\xa9").n, "seven");
    CHECK(first("x-\xe3\xa9").p == NULL && first("x-\xc3\x89").p == NULL); /* ASCII letters only */
}

static void
test_rows_of_a_name(void)
{
    static const char *const values[] = {"1", "2", "", "4"};
    uint32_t cursor = 0;
    iso_str name, value;
    CHECK_INT(index_text(LINE "Via: 1\r\nA: x\r\nv:\t2 \r\nVIA:\r\nV : \r\n 4\r\n\r\n"), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(iso_msg_header(&msg, &sip_index, literal("via"), &cursor, &name, &value), 1);
        CHECK_TEXT(value.p, value.n, values[i]);
    }
    CHECK_TEXT(name.p, name.n, "V");
    CHECK_INT(iso_msg_header(&msg, &sip_index, literal("via"), &cursor, NULL, NULL), 0);
    CHECK_INT(iso_msg_header(&msg, &sip_index, literal("via"), &cursor, NULL, NULL), 0);
}

static void
test_500_rows(void)
{
    static char text[32768];
    char name[16], value[16];
    iso_str found;
    int n = snprintf(text, sizeof(text), LINE);
    for (int i = 0; i < 500; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "X-%d: v\r\n %d\r\n", i, i);
    snprintf(text + n, sizeof(text) - (size_t)n, "l: 2\r\nX-1: last\r\n\r\nok?");
    CHECK_INT(index_text(text), 0);
    CHECK_INT(sip_index.row_count, ISO_INDEX_ROWS);
    CHECK(sip_index.overflow > 0 && sip_index.complete);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "x-%d", i);
        snprintf(value, sizeof(value), "v\r\n %d", i);
        found = first(name);
        CHECK_TEXT(found.p, found.n, value);
    }
    CHECK(first("X-500").p == NULL);
    uint32_t cursor = 0;
    int count = 0;
    while (iso_msg_header(&msg, &sip_index, literal("X-1"), &cursor, NULL, &found))
        count++;
    CHECK_INT(count, 2);
    CHECK_TEXT(found.p, found.n, "last");
    for (cursor = 0, count = 0; iso_msg_header(&msg, &sip_index, literal(""), &cursor, NULL, NULL); count++)
        ;
    CHECK_INT(count, 502);
    CHECK_INT(iso_msg_body(&msg, &sip_index, &found), 0);
    CHECK_TEXT(found.p, found.n, "ok");
}

static void
test_bodies(void)
{
    static const struct {
        const char *head, *body; /* body NULL: refused */
    } cases[] = {
        {"Content-Length: 3\r\n\r\nabc", "abc"},
        {"l:3\r\n\r\nabc", "abc"},
        {"l:0002 \r\n\r\nabc", "ab"},
        {"l:\r\n 2\r\n\r\nabc", "ab"},
        {"l: 0\r\n\r\nabc", ""},
        {"\r\nabc", "abc"},
        {"A:b\r\n\r\n", ""},
        {"l: 1\r\nl: 2\r\n\r\nabc", "a"},
        {"l: 4\r\n\r\nabc", NULL},
        {"l: -1\r\n\r\nabc", NULL},
        {"l: +1\r\n\r\nabc", NULL},
        {"l: 1x\r\n\r\nabc", NULL},
        {"l: 0x1\r\n\r\nabc", NULL},
        {"l:\r\n\r\nabc", NULL},
        {"l: 18446744073709551617\r\n\r\nabc", NULL},
        {"l: 99999999999999999999999999999999999999999999\r\n\r\nabc", NULL},
        {"l: 5\r\n", NULL},
    };
    char text[256];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        iso_str body = {"untouched", 9};
        snprintf(text, sizeof(text), LINE "%s", cases[i].head);
        CHECK_INT(index_text(text), 0);
        CHECK_INT(iso_msg_body(&msg, &sip_index, &body), cases[i].body ? 0 : ISO_EPARSE);
        CHECK_TEXT(body.p, body.n, cases[i].body ? cases[i].body : "untouched");
    }
    iso_str body = {"x", 1};
    CHECK_INT(index_text(LINE "A:b\r\n"), 0);
    CHECK_INT(iso_msg_body(&msg, &sip_index, &body), 0);
    CHECK(body.p == NULL && body.n == 0);
}

static void
test_unfold(void)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"plain  text", "plain  text"},
        {"a\r\n b", "a b"},
        {"a\n\tb", "a b"},
        {"a \t\r\n \t b", "a b"},
        {"a\r\n \r\n\t\r\n b", "a b"},
        {"\"a\r\n  b\" ;\r\n tag", "\"a b\" ; tag"},
        {"a\rb", "a\rb"},
    };
    char to[64];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t n = iso_unfold(literal(cases[i][0]), to);
        CHECK_TEXT(to, n, cases[i][1]);
        strcpy(to, cases[i][0]);
        n = iso_unfold((iso_str){to, strlen(to)}, to);
        CHECK_TEXT(to, n, cases[i][1]);
    }
}

static void
test_lists(void)
{
    static const char *const cases[][2] = {
        {"", ""},
        {" , ,", ""},
        {"a", "a|"},
        {"a,b , c", "a|b|c|"},
        {"a,\r\n b", "a|b|"},
        {"\"x, y\" <sip:a,b@c>;p=1, <sip:d>", "\"x, y\" <sip:a,b@c>;p=1|<sip:d>|"},
        {"\"x\\\", y\",b", "\"x\\\", y\"|b|"},
        {"\"x\\\\\",b", "\"x\\\\\"|b|"},
        {"<sip:a?b=\",c>,d", "<sip:a?b=\",c>|d|"},
        {"\"never closed, a", "\"never closed, a|"},
        {"\"ends in \\", "\"ends in \\|"},
        {"<never closed, a", "<never closed, a|"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        iso_str list = literal(cases[i][0]), element;
        char joined[128] = "";
        size_t n = 0;
        while (iso_list_next(&list, &element))
            n += (size_t)snprintf(joined + n, sizeof(joined) - n, "%.*s|", (int)element.n, element.p);
        CHECK_TEXT(joined, n, cases[i][1]);
    }
    iso_str nothing = {NULL, 0}, element;
    CHECK_INT(iso_list_next(&nothing, &element), 0);
}

static void
test_parameters(void)
{
    static const struct {
        const char *text, *name;
        int found;
        const char *value;
    } cases[] = {
        {";a=b;c", "a", 1, "b"},
        {";a=b;c", "c", 1, NULL},
        {";a=b;c", "d", 0, NULL},
        {"a=b", "A", 1, "b"},
        {"; TAG = x y ;z", "tag", 1, "x y"},
        {";a=\"1;b=2\";b=3", "b", 1, "3"},
        {";a=\"1;b=2\"", "a", 1, "\"1;b=2\""},
        {";a=", "a", 1, ""},
        {";ab=1;a=2", "a", 1, "2"},
        {";=x", "", 0, NULL},
        {"", "a", 0, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        iso_str value = {NULL, 0};
        CHECK_INT(iso_parameter(literal(cases[i].text), literal(cases[i].name), &value), cases[i].found);
        CHECK((value.p == NULL) == (cases[i].value == NULL));
        if (cases[i].value)
            CHECK_TEXT(value.p, value.n, cases[i].value);
    }
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_compact_forms), TEST(test_names), TEST(test_rows_of_a_name), TEST(test_500_rows),
              TEST(test_bodies), TEST(test_unfold), TEST(test_lists), TEST(test_parameters));
}
