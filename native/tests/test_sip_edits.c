/* test_sip_edits.c: recording and checking edits. */
#include <stdlib.h>

#include "sip/sip.h"
#include "test.h"

static const iso_str none = {NULL, 0};

static iso_str
literal(const char *text)
{
    return (iso_str){text, strlen(text)};
}

static void
test_record(void)
{
    iso_edits edits = {0};
    iso_edit edit;
    CHECK_INT(iso_edits_count(NULL), 0);
    CHECK_INT(iso_edits_get(NULL, 0, &edit), ISO_EINVAL);
    for (int i = 0; i < 1000; i++) {
        char text[64];
        snprintf(text, sizeof(text), "value %d", i);
        CHECK_INT(iso__edits_add(&edits, ISO_EDIT_APPEND_HEADER, literal("X-Name"), literal(text)), 0);
    }
    CHECK_INT(iso__edits_add(&edits, ISO_EDIT_SET_BODY, none, literal("")), 0);
    CHECK_INT(iso__edits_add(&edits, ISO_EDIT_SET_BODY, literal(""), none), 0);
    CHECK_INT(iso_edits_count(&edits), 1002);
    CHECK_INT(iso_edits_get(&edits, 777, &edit), 0);
    CHECK_INT(edit.kind, ISO_EDIT_APPEND_HEADER);
    CHECK_TEXT(edit.name.p, edit.name.n, "X-Name");
    CHECK_TEXT(edit.value.p, edit.value.n, "value 777");
    CHECK_INT(iso_edits_get(&edits, 1000, &edit), 0);
    CHECK(edit.name.p == NULL && edit.value.p != NULL && edit.value.n == 0);
    CHECK_INT(iso_edits_get(&edits, 1001, &edit), 0);
    CHECK(edit.name.p != NULL && edit.name.n == 0);
    CHECK_INT(iso_edits_get(&edits, 1002, &edit), ISO_EINVAL);
    iso__edits_clear(&edits);
    CHECK_INT(iso_edits_count(&edits), 0);
    iso__edits_fini(&edits);
    iso__edits_fini(&edits);
}

static void
test_uris(void)
{
    iso_edits edits = {0};
    CHECK(iso__edits_uri(&edits, ISO_EDIT_SET_RURI).p == NULL);
    iso__edits_add(&edits, ISO_EDIT_SET_RURI, none, literal("sip:one"));
    iso__edits_add(&edits, ISO_EDIT_SET_DST_URI, none, literal("sip:hop"));
    iso__edits_mark mark = iso__edits_save(&edits);
    iso__edits_add(&edits, ISO_EDIT_SET_RURI, none, literal("sip:two"));
    iso__edits_add(&edits, ISO_EDIT_SET_DST_URI, none, literal(""));
    CHECK_TEXT(iso__edits_uri(&edits, ISO_EDIT_SET_RURI).p, iso__edits_uri(&edits, ISO_EDIT_SET_RURI).n, "sip:two");
    CHECK(iso__edits_uri(&edits, ISO_EDIT_SET_DST_URI).p == NULL);
    iso__edits_restore(&edits, mark);
    CHECK_TEXT(iso__edits_uri(&edits, ISO_EDIT_SET_RURI).p, iso__edits_uri(&edits, ISO_EDIT_SET_RURI).n, "sip:one");
    iso_str hop = iso__edits_uri(&edits, ISO_EDIT_SET_DST_URI);
    CHECK_TEXT(hop.p, hop.n, "sip:hop");
    iso__edits_fini(&edits);
}

/* A value may be borrowed from the list that it is added to, while its text moves. */
static void
test_own_text(void)
{
    iso_edits edits = {0};
    iso_edit edit;
    iso__edits_add(&edits, ISO_EDIT_SET_RURI, none, literal("sip:someone@example.com"));
    for (int i = 0; i < 300; i++)
        CHECK_INT(iso__edits_add(&edits, ISO_EDIT_SET_RURI, none, iso__edits_uri(&edits, ISO_EDIT_SET_RURI)), 0);
    CHECK_INT(iso__edits_add_all(&edits, &edits), 0);
    CHECK_INT(iso_edits_count(&edits), 602);
    CHECK_INT(iso_edits_get(&edits, 601, &edit), 0);
    CHECK_TEXT(edit.value.p, edit.value.n, "sip:someone@example.com");
    CHECK_INT(edits.ruri, 602);
    iso__edits_fini(&edits);
}

static void
test_copy(void)
{
    iso_edits edits = {0};
    iso_edit edit;
    CHECK(iso_edits_copy(NULL) == NULL);
    iso_edits_free(NULL);
    iso__edits_add(&edits, ISO_EDIT_SET_RURI, none, literal("sip:a"));
    iso__edits_add(&edits, ISO_EDIT_INSERT_HEADER, literal("A"), literal("b"));
    iso_edits *copy = iso_edits_copy(&edits);
    iso__edits_fini(&edits);
    CHECK_INT(iso_edits_count(copy), 2);
    CHECK_INT(iso_edits_get(copy, 1, &edit), 0);
    CHECK_TEXT(edit.name.p, edit.name.n, "A");
    CHECK_TEXT(iso__edits_uri(copy, ISO_EDIT_SET_RURI).p, 5, "sip:a");
    iso_edits_free(copy);
}

static void
test_edit_check(void)
{
    static const struct {
        int kind;
        const char *name, *value;
        int good;
    } cases[] = {
        {ISO_EDIT_SET_RURI, NULL, "sip:bob@example.org;x=\xc3\xa9", 1},
        {ISO_EDIT_SET_RURI, NULL, "", 1},
        {ISO_EDIT_SET_RURI, NULL, "sip:a b", 0},
        {ISO_EDIT_SET_RURI, NULL, "sip:a\r\nX: y", 0},
        {ISO_EDIT_SET_RURI, NULL, "sip:a\tb", 0},
        {ISO_EDIT_SET_RURI, NULL, "sip:a\x7f", 0},
        {ISO_EDIT_SET_DST_URI, NULL, "sip:a b", 1},
        {ISO_EDIT_SET_DST_URI, NULL, "sip:a\nb", 0},
        {ISO_EDIT_SET_DST_URI, NULL, "sip:a\rb", 0},
        {ISO_EDIT_APPEND_HEADER, "X-Token.!%*_+`'~", "any \t \x01 value \xff", 1},
        {ISO_EDIT_APPEND_HEADER, "X", "", 1},
        {ISO_EDIT_APPEND_HEADER, "X", "a\r\nB: c", 0},
        {ISO_EDIT_APPEND_HEADER, "X", "a\r\n b", 0},
        {ISO_EDIT_INSERT_HEADER, "X", "a\n", 0},
        {ISO_EDIT_REPLACE_HEADER, "X", "a\r", 0},
        {ISO_EDIT_APPEND_HEADER, "X:", "a", 0},
        {ISO_EDIT_APPEND_HEADER, "X Y", "a", 0},
        {ISO_EDIT_APPEND_HEADER, "X\r\nY", "a", 0},
        {ISO_EDIT_APPEND_HEADER, "", "a", 0},
        {ISO_EDIT_INSERT_HEADER, NULL, "a", 0},
        {ISO_EDIT_REMOVE_HEADER, "X", NULL, 1},
        {ISO_EDIT_REMOVE_HEADER, "", NULL, 0},
        {ISO_EDIT_SET_BODY, NULL, "a\r\nb", 1},
        {ISO_EDIT_SET_BODY, "text/plain; charset=utf-8", "a", 1},
        {ISO_EDIT_SET_BODY, "text/plain\r\nX: y", "a", 0},
        {0, "X", "a", 0},
        {99, "X", "a", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        iso_str name = cases[i].name ? literal(cases[i].name) : none;
        iso_str value = cases[i].value ? literal(cases[i].value) : none;
        if (!CHECK_INT(iso__edit_check(cases[i].kind, name, value) == NULL, cases[i].good))
            printf("  case %zu\n", i);
    }
    CHECK(iso__edit_check(ISO_EDIT_APPEND_HEADER, literal("X"), (iso_str){"a\0b", 3}) != NULL);
    CHECK(iso__edit_check(ISO_EDIT_SET_DST_URI, none, (iso_str){"a\0b", 3}) != NULL);
    CHECK(iso__edit_check(ISO_EDIT_SET_BODY, none, (iso_str){"a\0b", 3}) == NULL);
    char *name = malloc(70000);
    memset(name, 'x', 70000);
    CHECK(iso__edit_check(ISO_EDIT_REMOVE_HEADER, (iso_str){name, 65535}, none) == NULL);
    CHECK(iso__edit_check(ISO_EDIT_REMOVE_HEADER, (iso_str){name, 65536}, none) != NULL);
    free(name);
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_record), TEST(test_uris), TEST(test_own_text), TEST(test_copy),
              TEST(test_edit_check));
}
