/* test_sip_uri.c: URIs and addresses. */
#include "isoexec.h"
#include "test.h"

static void
check_part(iso_str part, const char *expected)
{
    if (expected)
        CHECK_TEXT(part.p, part.n, expected);
    else
        CHECK(part.p == NULL && part.n == 0);
}

static void
test_uris(void)
{
    static const struct {
        const char *text, *scheme, *user, *password, *host, *parameters, *headers;
        int port, bracketed;
    } cases[] = {
        {"sip:example.org", "sip", NULL, NULL, "example.org", NULL, NULL, 0, 0},
        {"SIPS:bob:secret@example.org:5061;transport=tcp;lr?Subject=x&y=z", "SIPS", "bob", "secret", "example.org",
         "transport=tcp;lr", "Subject=x&y=z", 5061, 0},
        {"sip:+12025550100;postd=pp22@example.org;user=phone", "sip", "+12025550100;postd=pp22", NULL, "example.org",
         "user=phone", NULL, 0, 0},
        {"sip:sips%3Auser%40example.com@example.net", "sip", "sips%3Auser%40example.com", NULL, "example.net", NULL,
         NULL, 0, 0},
        {"sip:user@example.com?Route=%3Csip:example.com%3E", "sip", "user", NULL, "example.com", NULL,
         "Route=%3Csip:example.com%3E", 0, 0},
        {"sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
         "sip", "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*", "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)",
         "example.com", NULL, NULL, 0, 0},
        {"sip:[2001:db8::10]", "sip", NULL, NULL, "2001:db8::10", NULL, NULL, 0, 1},
        {"sip:[2001:db8::10:5070]", "sip", NULL, NULL, "2001:db8::10:5070", NULL, NULL, 0, 1},
        {"sip:u@[2001:db8::10]:5070;lr", "sip", "u", NULL, "2001:db8::10", "lr", NULL, 5070, 1},
        {"sip:user@[2001:db8:::192.0.2.1]", "sip", "user", NULL, "2001:db8:::192.0.2.1", NULL, NULL, 0, 1},
        {"sip:u:@h_1.x:65535", "sip", "u", "", "h_1.x", NULL, NULL, 65535, 0},
        {"tel:+1-201-555-0123;phone-context=x", "tel", "+1-201-555-0123", NULL, NULL, "phone-context=x", NULL, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        iso_uri uri;
        if (!CHECK_INT(iso_uri_parse((iso_str){cases[i].text, strlen(cases[i].text)}, &uri), 0)) {
            printf("  %s\n", cases[i].text);
            continue;
        }
        check_part(uri.scheme, cases[i].scheme);
        check_part(uri.user, cases[i].user);
        check_part(uri.password, cases[i].password);
        check_part(uri.host, cases[i].host);
        check_part(uri.parameters, cases[i].parameters);
        check_part(uri.headers, cases[i].headers);
        CHECK_INT(uri.port, cases[i].port);
        CHECK_INT(uri.bracketed, cases[i].bracketed);
    }
}

static void
test_bad_uris(void)
{
    static const char *const bad[] = {
        "",
        "sip",
        "sip:",
        "sip:@h",
        "sip:a@",
        "sip:a@b@c",
        "sip:h:",
        "sip:h:0",
        "sip:h:65536",
        "sip:h:x",
        "sip:h:-1",
        "sip:2001:db8::10",
        "sip:[2001:db8::10",
        "sip:[]",
        "sip:[2001:db8::10]x",
        "sip:[2001:db8::10]:",
        "sip:[zz]",
        "sip:a b@h",
        "sip:a@h\r\n",
        "sip:a\x7f@h",
        "<sip:a@h>",
        "sip:h<x",
        "soap.beep://192.0.2.103:3002",
        "tel:",
        "tel:;x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        iso_uri uri;
        if (!CHECK_INT(iso_uri_parse((iso_str){bad[i], strlen(bad[i])}, &uri), ISO_EPARSE))
            printf("  '%s'\n", bad[i]);
    }
    iso_uri uri;
    CHECK_INT(iso_uri_parse((iso_str){NULL, 0}, &uri), ISO_EPARSE);
}

static void
test_addresses(void)
{
    static const char *const cases[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"2001:db8::1", "2001:DB8:0:0:0:0:0:1"},
        {"[2001:db8::1]", "2001:DB8:0:0:0:0:0:1"},
        {"::", "0:0:0:0:0:0:0:0"},
        {"::1", "0:0:0:0:0:0:0:1"},
        {"fe80::", "FE80:0:0:0:0:0:0:0"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::ffff:192.0.2.1", "0:0:0:0:0:FFFF:C000:201"},
        {"1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:C000:201"},
        {"ABCD:EF01:2345:6789:abcd:ef01:2345:6789", "ABCD:EF01:2345:6789:ABCD:EF01:2345:6789"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        iso_address address;
        char text[ISO_ADDRESS_TEXT];
        if (CHECK_INT(iso_address_parse(&address, cases[i][0], strlen(cases[i][0]), 5060), 0)) {
            size_t n = iso_address_format(&address, text);
            CHECK_TEXT(text, n, cases[i][1]);
            CHECK_INT(strlen(text), n);
            CHECK(address.port == 5060 && address.protocol == ISO_PROTOCOL_UNKNOWN);
            CHECK_INT(address.family, memchr(cases[i][0], ':', strlen(cases[i][0])) ? 6 : 4);
        } else {
            printf("  %s\n", cases[i][0]);
        }
    }
}

static void
test_bad_addresses(void)
{
    static const char *const bad[] = {
        "",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.3.",
        ".1.2.3",
        "01.2.3.4",
        "1.2.3.4 ",
        "1.2.3.+4",
        "a.b.c.d",
        "[1.2.3.4]",
        ":",
        ":::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1::2::3",
        "1:2:3:4:5:6:7:8::",
        "12345::",
        "g::",
        "::1.2.3",
        "1.2.3.4::",
        "::1.2.3.4:5",
        "[::1",
        "::1]",
        "[]",
        "fe80::1%eth0",
        "1:2:3:4:5:6:7:1.2.3.4",
        ":1",
        "1:",
        "::99999999999999999999",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        iso_address address;
        if (!CHECK_INT(iso_address_parse(&address, bad[i], strlen(bad[i]), 0), ISO_EINVAL))
            printf("  '%s'\n", bad[i]);
    }
    iso_address none = {0};
    char text[ISO_ADDRESS_TEXT] = "x";
    CHECK_INT(iso_address_format(&none, text), 0);
    CHECK_INT(text[0], 0);
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_uris), TEST(test_bad_uris), TEST(test_addresses), TEST(test_bad_addresses));
}
