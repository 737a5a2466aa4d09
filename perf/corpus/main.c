/* main.c: indexes and renders the messages in files, and prints one line a sample: ns per message. Started by the case
 * corpus of the suite, which builds it. */
#include <isoexec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../floor/measure.h"

enum { MESSAGES = 4096, LONGEST = 65536 };

static iso_msg messages[MESSAGES];
static iso_index indexes[MESSAGES];
static int count;
static iso_edits *edits; /* what the forwarding method of the suite's handler asks for */

static void
read_message(const char *path)
{
    static char text[LONGEST];
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(text, 1, sizeof text, file) : 0;
    char *data = n > 0 && count < MESSAGES ? malloc(n) : NULL;

    if (file) {
        fclose(file);
    }
    if (!data) {
        return;
    }
    memcpy(data, text, n);
    iso_msg_init(&messages[count], data, n);
    if (iso_msg_index(&messages[count], &indexes[count])) {
        free(data); /* what is no message says nothing here */
        return;
    }
    count++;
}

static void
make_edits(const char *script)
{
    iso_config config;
    iso_engine *engine;
    iso_rank *rank;
    iso_result result;
    iso_error err = {0};
    int i = 0;

    while (i < count && indexes[i].type != ISO_TYPE_REQUEST) {
        i++;
    }
    iso_config_init(&config);
    config.script_name = script;
    if (i == count || iso_engine_create(&engine, &config, &err) || iso_rank_open(engine, 1, &rank, &err) ||
        iso_python_exec(rank, "forward", &messages[i], (iso_str){NULL, 0}, &result) || result.edits == NULL) {
        fprintf(stderr, "corpus: no edits: %s\n", err.message);
        exit(2);
    }
    edits = iso_edits_copy(result.edits);
    iso_rank_close(rank);
    iso_engine_destroy(engine);
}

static double
index_all(long rounds)
{
    uint64_t begin = floor_clock(CLOCK_THREAD_CPUTIME_ID);

    for (long round = 0; round < rounds; round++) {
        for (int i = 0; i < count; i++) {
            if (iso_msg_index(&messages[i], &indexes[i])) {
                exit(3);
            }
        }
    }
    return (double)(floor_clock(CLOCK_THREAD_CPUTIME_ID) - begin) / (double)(rounds * count);
}

static double
render_all(long rounds)
{
    static char out[2 * LONGEST];
    uint64_t begin = floor_clock(CLOCK_THREAD_CPUTIME_ID);

    for (long round = 0; round < rounds; round++) {
        for (int i = 0; i < count; i++) {
            if (iso_msg_render(&messages[i], edits, out, sizeof out) <= 0) {
                exit(3);
            }
        }
    }
    return (double)(floor_clock(CLOCK_THREAD_CPUTIME_ID) - begin) / (double)(rounds * count);
}

int
main(int argc, char **argv)
{
    long rounds;
    int repeats;

    if (argc < 5) {
        fprintf(stderr, "usage: corpus SCRIPT REPEATS ROUNDS FILE...\n");
        return 2;
    }
    repeats = atoi(argv[2]);
    rounds = atol(argv[3]);
    for (int i = 4; i < argc; i++) {
        read_message(argv[i]);
    }
    if (count == 0 || rounds < 1) {
        fprintf(stderr, "corpus: no file is a SIP message\n");
        return 2;
    }
    make_edits(argv[1]);
    for (int i = 0; i < repeats; i++) {
        floor_sample("index", "isoexec", index_all(rounds));
        floor_sample("render", "isoexec", render_all(rounds));
    }
    return 0;
}
