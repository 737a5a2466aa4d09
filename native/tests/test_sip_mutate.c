/* test_sip_mutate.c: cut and damaged messages through fuzz_sip.c, which aborts on a broken promise.
 *
 *     test_sip_mutate [TEST ...]
 *
 * Runs over the messages below and, if ISOEXEC_SIP_FILES names files (separated by ":"), over those too.
 * The same octets in every run. */
#include <stdlib.h>

#include "test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUTATIONS 200000
#define MAX_LENGTH 70000

static const char *const messages[] = {
    "INVITE sip:bob.builder@biloxi.example.com;transport=udp SIP/2.0\r\n"
    "Via: SIP/2.0/UDP pc33.atlanta.example.com:5060;branch=z9hG4bK776asdhds;rport\r\n"
    "v: SIP/2.0/TCP [2001:db8::1]:5060;branch=z9hG4bK2, SIP/2.0/UDP 192.0.2.1\r\n"
    "Max-Forwards: 70\r\nTo: \"Bob, \\\"B\\\"\" <sip:bob@biloxi.example.com>\r\n"
    "f \t: Alice <sip:alice@atlanta.example.com>\r\n ;tag=1928\r\n"
    "Call-ID: a84b4c76e66710\r\nCSeq: 314159 INVITE\r\nSubject:\r\n \t\r\nk: replaces, timer\r\n"
    "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello surplus",
    "SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP 192.0.2.1\r\nFrom: <sip:a@b>\r\nTo: <sip:b@a>\r\nl: 0\r\n\r\n",
    "\r\n\r\nREGISTER sip:[2001:db8::10]:5070 SIP/2.0\nContact: *\nExpires: 0\nContent-Length: 0\n\n"
    "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 2\r\n\r\nok",
    "X y sip/2.0\r\na:b\r\n\r\n",
};
#define MESSAGE_COUNT (sizeof(messages) / sizeof(messages[0]))

static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static uint32_t
random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 32) * limit >> 32);
}

static size_t
mutate(uint8_t *data, size_t n)
{
    static const char octets[] = "\r\n \t:;,<>\"@=/.0123456789abcSIP[]\\";
    static const char *const pieces[] = {"\r\n", "\r\n ", "\n\n", "\r\n\r\n", ": ", "l:9\r\n", "SIP/2.0", "\r\nv:x"};
    for (uint32_t i = 1 + random_below(4); i > 0 && n > 0; i--) {
        size_t at = random_below((uint32_t)n);
        switch (random_below(6)) {
        case 0:
            data[at] = (uint8_t)random_below(256);
            break;
        case 1:
            data[at] = (uint8_t)octets[random_below(sizeof(octets) - 1)];
            break;
        case 2: /* cut */
            n = at;
            break;
        case 3: { /* remove */
            size_t gone = 1 + random_below(8);
            gone = gone > n - at ? n - at : gone;
            memmove(data + at, data + at + gone, n - at - gone);
            n -= gone;
            break;
        }
        case 4: { /* insert */
            const char *piece = pieces[random_below(8)];
            size_t length = strlen(piece);
            memmove(data + at + length, data + at, n - at);
            memcpy(data + at, piece, length);
            n += length;
            break;
        }
        default: { /* repeat a piece, which makes many rows at times */
            size_t length = 1 + random_below(40);
            length = length > n - at ? n - at : length;
            for (uint32_t times = random_below(4) ? 1 : random_below(90); times > 0 && n < 4000; times--) {
                memmove(data + at + length, data + at, n - at);
                n += length;
            }
            break;
        }
        }
    }
    return n;
}

static void
run_cuts(const uint8_t *data, size_t n)
{
    size_t step = n > 4096 ? n / 4096 : 1;
    for (size_t length = 0; length <= n; length += step)
        LLVMFuzzerTestOneInput(data, length);
    LLVMFuzzerTestOneInput(data, n);
}

static void
test_every_length(void)
{
    for (size_t i = 0; i < MESSAGE_COUNT; i++)
        run_cuts((const uint8_t *)messages[i], strlen(messages[i]));
}

static void
test_mutations(void)
{
    static uint8_t data[8192];
    for (int i = 0; i < MUTATIONS; i++) {
        const char *message = messages[(size_t)i % MESSAGE_COUNT];
        size_t n = strlen(message);
        memcpy(data, message, n);
        LLVMFuzzerTestOneInput(data, mutate(data, n));
    }
}

static void
test_many_rows(void)
{
    static char data[MAX_LENGTH];
    for (int rows = 60; rows <= 500; rows += rows < 70 ? 1 : 43) {
        int n = snprintf(data, sizeof(data), "OPTIONS sip:a@b SIP/2.0\r\n");
        for (int i = 0; i < rows; i++)
            n += snprintf(data + n, sizeof(data) - (size_t)n, "X-%d: value %d\r\n%s", i, i, i % 7 ? "" : "\tfold\r\n");
        n += snprintf(data + n, sizeof(data) - (size_t)n, "\r\n");
        for (int cut = 0; cut < 24; cut++)
            LLVMFuzzerTestOneInput((const uint8_t *)data, (size_t)(n - cut));
    }
}

static void
test_files(void)
{
    static uint8_t data[MAX_LENGTH];
    const char *list = getenv("ISOEXEC_SIP_FILES");
    char path[1024];
    while (list && *list) {
        size_t n = strcspn(list, ":");
        snprintf(path, sizeof(path), "%.*s", (int)n, list);
        list += n + (list[n] == ':');
        FILE *file = fopen(path, "rb");
        if (!CHECK(file != NULL))
            continue;
        n = fread(data, 1, sizeof(data), file);
        fclose(file);
        run_cuts(data, n);
    }
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_every_length), TEST(test_mutations), TEST(test_many_rows), TEST(test_files));
}
