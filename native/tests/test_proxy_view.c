/* test_proxy_view.c: what the proxy reads in a message, and the patches it writes over one. */
#include <stdlib.h>

#include "build.h"
#include "test.h"

static proxy_view view;
static char out[70000];

#define START "INVITE sip:bob@example.org SIP/2.0\r\n"
#define REST "Call-ID: c@h\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n"
#define PEOPLE "From: \"a;tag=no\" <sip:a@h;tag=no>;tag=yes\r\nTo: sip:bob@h;tag=to\r\n"
#define VIA "Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1;rport\r\n"

/* The octets lie at the end of their memory, so that a sanitizer sees a read beyond them. */
static const char *
read_text(const char *text, int *reply)
{
    static char *memory;
    size_t n = strlen(text);
    iso_msg msg;
    free(memory);
    memory = memcpy(malloc(n), text, n);
    iso_msg_init(&msg, memory, n);
    iso_address_parse(&msg.source, "192.0.2.1", 9, 4000);
    return proxy_view_read(&view, &msg, reply);
}

static void
patched(void (*patch)(proxy_patches *, const proxy_view *))
{
    proxy_patches patches;
    patches.count = 0;
    patches.used = 0;
    patch(&patches, &view);
    proxy_writer to = {out, 0, sizeof out};
    proxy_patches_apply(&patches, &view, &to);
    out[to.n] = '\0';
}

static void
test_values(void)
{
    int reply;
    CHECK(read_text(START VIA "v: SIP/2.0/TCP h2\r\nMax-Forwards: 9\r\n" PEOPLE REST, &reply) == NULL);
    CHECK_TEXT(view.call_id.p, view.call_id.n, "c@h");
    iso_str tag = proxy_tag_of(view.from);
    CHECK_TEXT(tag.p, tag.n, "yes");
    CHECK_TEXT(view.to_tag.p, view.to_tag.n, "to");
    CHECK_TEXT(view.via.host.p, view.via.host.n, "192.0.2.9");
    CHECK_TEXT(view.via.branch.p, view.via.branch.n, "z9hG4bK1");
    CHECK(view.via.rport.p != NULL && view.via.rport.n == 0 && view.via.received.p == NULL);
    CHECK_INT(view.via.port, 5062);
    CHECK_INT(view.hops, 9);
    CHECK_INT(view.cseq_number, 7);
    CHECK_INT(view.method, ISO_METHOD_INVITE);
    CHECK_INT(view.first_via, 0);
}

static void
test_vias(void)
{
    static const struct {
        const char *text, *host, *branch;
        int port, more;
    } good[] = {
        {"SIP/2.0/UDP h", "h", NULL, 0, 0},
        {"SIP / 2.0 / UDP  h : 5061 ;branch = z9 ;x=\"a;,b\" , SIP/2.0/UDP k", "h", "z9", 5061, 1},
        {"SIP/2.0/TLS [2001:db8::1]:5061;branch=b;received=192.0.2.2", "2001:db8::1", "b", 5061, 0},
        {"sip/2.0/udp h;branch=b,SIP/2.0/UDP k", "h", "b", 0, 1},
        {"SIP/7.0/UDP h;branch=b", "h", "b", 0, 0},
    };
    static const char *const bad[] = {"",
                                      "SIP",
                                      "SIP/2.0",
                                      "SIP/2.0/UDP",
                                      "SIP//UDP h",
                                      "SIP/2.0/UDP [::1",
                                      "SIP/2.0/UDP h:",
                                      "SIP/2.0/UDP h:0",
                                      "SIP/2.0/UDP h:99999",
                                      "SIP/2.0/UDP h h2",
                                      "HTTP/2.0/UDP h",
                                      "SIP/2.0/UDP ;branch=b"};
    proxy_via via;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(proxy_via_read(good[i].text, proxy_text_of(good[i].text), &via));
        CHECK_TEXT(via.host.p, via.host.n, good[i].host);
        CHECK_INT(via.port, good[i].port);
        CHECK_INT(via.more, good[i].more);
        if (good[i].branch != NULL)
            CHECK_TEXT(via.branch.p, via.branch.n, good[i].branch);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (!CHECK(!proxy_via_read(bad[i], proxy_text_of(bad[i]), &via)))
            printf("%s\n", bad[i]);
    }
}

static void
test_refused(void)
{
    static const struct {
        const char *text;
        int reply; /* whether a 400 can be sent */
    } cases[] = {
        {"hello\r\n\r\n", 0},
        {START PEOPLE REST, 0},
        {START "Via: nonsense\r\n" PEOPLE REST, 0},
        {START VIA PEOPLE "Call-ID: c\r\nCSeq: x INVITE\r\n\r\n", 1},
        {START VIA PEOPLE "Call-ID: c\r\nCSeq: 1 BYE\r\n\r\n", 1},
        {START VIA PEOPLE "Call-ID: c\r\nCSeq: 4294967296 INVITE\r\n\r\n", 1},
        {START VIA PEOPLE "Max-Forwards: many\r\n" REST, 1},
        {START VIA PEOPLE "Content-Length: 9\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\nshort", 1},
        {START VIA PEOPLE "Call-ID: c\r\nCSeq: 1 INVITE\r\n", 1},
        {"SIP/2.0 99 Low\r\n" VIA PEOPLE REST, 0},
        {"SIP/2.0 200 OK\r\n" VIA PEOPLE "Call-ID: c\r\nCSeq: 1\r\n\r\n", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int reply;
        if (!CHECK(read_text(cases[i].text, &reply) != NULL) || !CHECK_INT(reply, cases[i].reply))
            printf("case %zu\n", i);
    }
}

static void
pop_one(proxy_patches *patches, const proxy_view *of)
{
    proxy_patch_pop_routes(patches, of, 1);
}

static void
pop_two(proxy_patches *patches, const proxy_view *of)
{
    proxy_patch_pop_routes(patches, of, 2);
}

static void
test_patches(void)
{
    int reply;
    CHECK(read_text(START "Route: <sip:p1;lr>, <sip:p2;lr>\r\n" VIA PEOPLE "Max-Forwards: 70\r\n" REST, &reply) ==
          NULL);
    patched(proxy_patch_hops);
    CHECK(strstr(out, "\r\nMax-Forwards: 69\r\n") != NULL);
    patched(proxy_patch_received);
    CHECK(strstr(out, ":5062;branch=z9hG4bK1;rport=4000;received=192.0.2.1\r\n") != NULL);
    patched(pop_one);
    CHECK(strstr(out, "\r\nRoute: <sip:p2;lr>\r\n") != NULL);
    patched(pop_two);
    CHECK(strncmp(out, START VIA, sizeof START VIA - 1) == 0);
    CHECK(read_text(START "Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>,<sip:p3;lr>\r\n" VIA PEOPLE REST, &reply) == NULL);
    patched(pop_one);
    CHECK(strncmp(out, START "Route: <sip:p2;lr>,", sizeof START + 18) == 0);
    patched(pop_two);
    CHECK(strncmp(out, START "Route: <sip:p3;lr>\r\nVia", sizeof START + 22) == 0);
    patched(proxy_patch_hops);
    CHECK(strstr(out, "\r\nMax-Forwards: 70\r\nVia: ") != NULL);
}

static void
test_pop_via(void)
{
    static const char *const cases[][2] = {
        {VIA "Via: SIP/2.0/UDP k\r\n", "\r\nVia: SIP/2.0/UDP k\r\nFrom"},
        {"Via: SIP/2.0/UDP h;branch=b , SIP/2.0/UDP k;branch=c\r\n", "\r\nVia: SIP/2.0/UDP k;branch=c\r\nFrom"},
        {"v: SIP/2.0/UDP h;branch=b,\r\n SIP/2.0/UDP k\r\n", "k\r\nFrom"},
        {"X: 1\r\n" VIA, "\r\nX: 1\r\nFrom"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        int reply;
        snprintf(text, sizeof text, "SIP/2.0 200 OK\r\n%s" PEOPLE REST, cases[i][0]);
        CHECK(read_text(text, &reply) == NULL);
        patched(proxy_patch_pop_via);
        if (!CHECK(strstr(out, cases[i][1]) != NULL) || !CHECK(strstr(out, "branch=b") == NULL))
            printf("case %zu: %s\n", i, out);
        CHECK(read_text(strcpy(text, out), &reply) == NULL || i == 3); /* what is left is SIP */
    }
}

static void
test_reply(void)
{
    int reply;
    CHECK(read_text(START VIA "v: SIP/2.0/TCP h2;branch=z\r\n"
                              "From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n" REST,
                    &reply) == NULL);
    proxy_writer to = {out, 0, sizeof out};
    proxy_build_reply(&to, &view, 404, proxy_reason(404), PROXY_TEXT("T"), (iso_str){NULL, 0}, PROXY_TEXT("X-A: 1\r\n"),
                      (iso_str){NULL, 0});
    CHECK_TEXT(out, to.n,
               "SIP/2.0 404 Not Found\r\n"
               "Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1;rport=4000;received=192.0.2.1\r\n"
               "Via: SIP/2.0/TCP h2;branch=z\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=T\r\nCall-ID: c@h\r\n"
               "CSeq: 7 INVITE\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n");
    proxy_writer little = {out, 0, 40};
    proxy_build_reply(&little, &view, 404, proxy_reason(404), PROXY_TEXT("T"), (iso_str){NULL, 0},
                      PROXY_TEXT("X-A: 1\r\n"), (iso_str){NULL, 0});
    CHECK_INT(little.n, to.n);
}

static void
test_many_rows(void)
{
    static char text[40000];
    int reply;
    strcpy(text, START VIA PEOPLE);
    for (int i = 0; i < 400; i++)
        strcat(text, "X-Row: 1\r\n");
    strcat(text, REST);
    CHECK(read_text(text, &reply) == NULL);
    CHECK_TEXT(view.call_id.p, view.call_id.n, "c@h");
    strcpy(text, START);
    for (int i = 0; i < 100; i++)
        strcat(text, "X-Row: 1\r\n");
    strcat(text, VIA PEOPLE REST);
    CHECK(read_text(text, &reply) != NULL);
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_values), TEST(test_vias), TEST(test_refused), TEST(test_patches),
              TEST(test_pop_via), TEST(test_reply), TEST(test_many_rows));
}
