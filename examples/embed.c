/* embed.c: a multi-threaded C host. Each thread opens one rank and runs a SIP message through a handler script.
 *
 *   cc embed.c $(isoexec config --cflags --libs) -o embed
 *   ./embed handler.py [METHOD [MESSAGE-FILE [RANKS [CALLS]]]]
 */
#include <isoexec.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RANKS = 64, STACK = 8 << 20 }; /* Python code of a rank needs the stack of a main thread */

struct worker {
    pthread_t thread;
    int number, broken; /* broken: the rank did not open, close, or take a call */
    long calls, failed;
};

static iso_engine *engine;
static const char *method = "route";
static long calls = 1000;
static size_t length;
static char message[65536] = "INVITE sip:bob@example.org SIP/2.0\r\n"
                             "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKembed\r\n"
                             "From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.org>\r\n"
                             "Call-ID: embed@192.0.2.1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";

static void
log_line(void *user, int level, int rank, const char *text)
{
    (void)user;
    fprintf(stderr, "[%d] rank %d: %s\n", level, rank, text);
}

/* A proxy would receive a message for each call; this host runs the same one again and again. */
static void *
work(void *argument)
{
    struct worker *self = argument;
    iso_error err;
    iso_rank *rank;
    if (iso_rank_open(engine, self->number, &rank, &err) < 0) {
        fprintf(stderr, "rank %d: %s\n%s\n", self->number, err.message, err.traceback);
        self->broken = 1;
        return NULL;
    }
    iso_msg msg;
    self->broken = iso_msg_init(&msg, message, length) < 0 || iso_address_parse(&msg.source, "192.0.2.1", 9, 5060) < 0;
    while (!self->broken && self->calls < calls) {
        iso_result result;
        self->broken = iso_python_exec(rank, method, &msg, (iso_str){NULL, 0}, &result) < 0;
        self->calls++;
        self->failed += result.outcome != ISO_OUTCOME_RETURNED;
    }
    self->broken |= iso_rank_close(rank) < 0;
    return NULL;
}

int
main(int argc, char **argv)
{
    FILE *file = argc > 3 ? fopen(argv[3], "rb") : NULL;
    int ranks = argc > 4 ? atoi(argv[4]) : 4;
    calls = argc > 5 ? atol(argv[5]) : calls;
    length = file != NULL ? fread(message, 1, sizeof message, file) : strlen(message);
    if (argc < 2 || (argc > 3 && file == NULL) || ranks < 1 || ranks > MAX_RANKS) {
        fprintf(stderr, "usage: %s HANDLER.py [METHOD [MESSAGE-FILE [RANKS [CALLS]]]]\n", argv[0]);
        return 2;
    }
    method = argc > 2 ? argv[2] : method;
    iso_config config;
    iso_config_init(&config);
    config.script_name = argv[1];
    config.ranks = ranks;
    config.log = log_line;
    iso_error err;
    if (iso_engine_create(&engine, &config, &err) < 0) {
        fprintf(stderr, "%s\n%s\n", err.message, err.traceback);
        return 1;
    }
    struct worker workers[MAX_RANKS] = {{0}}, total = {0};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    for (int i = 0; i < ranks; i++) {
        workers[i].number = i + 1;
        if (pthread_create(&workers[i].thread, &attributes, work, &workers[i]) != 0)
            abort();
    }
    for (int i = 0; i < ranks; i++) {
        pthread_join(workers[i].thread, NULL);
        total.calls += workers[i].calls;
        total.failed += workers[i].failed;
        total.broken |= workers[i].broken;
    }
    total.broken |= iso_engine_destroy(engine) != 0;
    printf("ranks %d, calls %ld, failed %ld\n", ranks, total.calls, total.failed);
    return total.broken || total.failed > 0;
}
