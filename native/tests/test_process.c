/* test_process.c: ranks with isolation process, as a C host has them: host functions that edit and answer, nested
 * calls, mixed levels, ends of the process, deadlines. The script is tests/handlers/process_rank.py.
 *
 * Under a sanitizer the process loads the same library, so that it gets the sanitizer's runtime first. */
#define _GNU_SOURCE
#include "queue_host.h"

#include <signal.h>

/* "LD_PRELOAD=..." of the runtime that this program has, "" without one. */
static const char *
preload(void)
{
    static char setting[4096];
    char line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (setting[0] == '\0' && maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        char *path = strchr(line, '/');
        if (path == NULL || (strstr(path, "/libasan.so") == NULL && strstr(path, "/libtsan.so") == NULL))
            continue;
        path[strcspn(path, "\n")] = '\0';
        snprintf(setting, sizeof setting, "LD_PRELOAD=%s", path);
    }
    if (maps != NULL)
        fclose(maps);
    return setting;
}

static iso_rank *open_rank; /* of the functions that call in again */

/* ask(text): what a host function can do. */
static int
ask(const iso_call *call_in, const iso_value *argv, int argc, void *user, iso_error *err)
{
    (void)user;
    const char *text = argc > 0 && argv[0].kind == ISO_VALUE_STR ? argv[0].str.p : "";
    size_t n = argc > 0 && argv[0].kind == ISO_VALUE_STR ? argv[0].str.n : 0;
    iso_result result;
    if (n == 4 && memcmp(text, "fail", 4) == 0) {
        snprintf(err->message, sizeof err->message, "the host says no");
        return err->code = ISO_EFUNCTION;
    }
    iso_call_edit(call_in, ISO_EDIT_APPEND_HEADER, text_of("X-Host"), text_of("first"), err);
    if (n == 6 && memcmp(text, "nested", 6) == 0) {
        CHECK_INT(iso_python_exec(open_rank, "inner", call_in->msg, text_of("kept"), &result), 0);
        CHECK_INT(result.code, 3);
        CHECK_INT(iso_edits_count(result.edits), 3); /* X-Before, X-Host, X-Inner */
        CHECK_INT(iso_python_exec(open_rank, "inner", call_in->msg, text_of("raise"), &result), 0);
        CHECK_INT(result.outcome, ISO_OUTCOME_RAISED);
        CHECK_INT(iso_edits_count(call_in->edits), 3);
    }
    iso_call_edit(call_in, ISO_EDIT_APPEND_HEADER, text_of("X-Host"), text_of("second"), err);
    if (n == 4 && memcmp(text, "kill", 4) == 0) {
        iso_rank_stats stats;
        iso_engine_stats(engine, call_in->rank_number, &stats);
        kill(stats.pid, SIGKILL);
    }
    return 42;
}

static int
variable(const iso_call *call_in, const iso_value *argv, int argc, void *user, iso_error *err)
{
    (void)argv;
    (void)argc;
    (void)user;
    (void)err;
    return iso_call_answer(call_in, text_of("of the host"));
}

static const iso_function functions[] = {
    {.name = "ask", .signature = "|v", .function = ask},
    {.name = "get_pseudoVar", .signature = "s", .function = variable},
    {.name = "gate", .signature = "", .function = gate, .flags = ISO_FUNCTION_BLOCKING},
};

static void
process_start(int ranks, int channel, const iso_override *overrides, size_t override_count)
{
    iso_config config;
    config_init(&config, ranks, channel);
    config_script(&config, "process_rank.py");
    config.isolation = ISO_ISOLATION_PROCESS;
    config.environment = preload()[0] != '\0' ? preload() : NULL;
    config.restart_delay = SECOND_NS / 100;
    config.functions = functions;
    config.function_count = sizeof functions / sizeof functions[0];
    config.overrides = overrides;
    config.override_count = override_count;
    engine_start(&config);
}

static void
open_one(void)
{
    iso_error err;
    if (iso_rank_open(engine, 1, &open_rank, &err) < 0) {
        printf("no rank: %s\n%s\n", err.message, err.traceback);
        exit(1);
    }
}

static void
run(const char *method, const char *extra, iso_result *out)
{
    *out = run_on(open_rank, method, extra);
}

static void
expect_header(const iso_edits *edits, size_t i, const char *name, const char *value)
{
    iso_edit edit = {0};
    if (!CHECK_INT(iso_edits_get(edits, i, &edit), 0))
        return;
    CHECK_TEXT(edit.name.p, edit.name.n, name);
    CHECK_TEXT(edit.value.p, edit.value.n, value);
}

static int
pid_of(int rank)
{
    iso_rank_stats stats;
    iso_engine_stats(engine, rank, &stats);
    return stats.pid;
}

/* ---- host functions ---- */

static void
test_functions_edit_in_order(void)
{
    iso_result result;
    process_start(1, ISO_CHANNEL_INLINE, NULL, 0);
    open_one();
    run("edit_and_ask", "plain", &result);
    CHECK_INT(result.code, 42);
    CHECK_INT(iso_edits_count(result.edits), 4);
    expect_header(result.edits, 0, "X-Before", "1");
    expect_header(result.edits, 1, "X-Host", "first");
    expect_header(result.edits, 2, "X-Host", "second");
    expect_header(result.edits, 3, "X-After", "1");
    run("edit_and_ask", "nested", &result);
    CHECK_INT(iso_edits_count(result.edits), 5);
    expect_header(result.edits, 1, "X-Host", "first");
    expect_header(result.edits, 2, "X-Inner", "kept");
    expect_header(result.edits, 3, "X-Host", "second");
    expect_header(result.edits, 4, "X-After", "1");
    CHECK_INT(iso_rank_close(open_rank), 0);
    queue_end();
}

static void
test_functions_fail_and_answer(void)
{
    iso_result result;
    process_start(1, ISO_CHANNEL_INLINE, NULL, 0);
    open_one();
    run("ask", "fail", &result);
    CHECK_INT(result.outcome, ISO_OUTCOME_RAISED);
    CHECK(result.error.p != NULL && strstr(result.error.p, "the host says no") != NULL);
    CHECK_INT(iso_edits_count(result.edits), 0);
    run("variable", NULL, &result);
    CHECK_INT(result.code, (int)strlen("of the host"));
    run("ask", "kill", &result);
    CHECK_INT(result.outcome, ISO_OUTCOME_CRASHED);
    run("one", NULL, &result);
    CHECK_INT(result.code, 1);
    CHECK_INT(iso_rank_close(open_rank), 0);
    queue_end();
}

/* ---- levels and ends ---- */

static void
test_levels_mix_on_the_queue(void)
{
    static const iso_override own[] = {{1, 1, "isolation", "own_gil"}};
    process_start(2, ISO_CHANNEL_QUEUE, own, 1);
    for (int i = 0; i < 2000 / SCALE; i++) {
        if (call(1, "one", NULL) != 1 || call(2, "one", NULL) != 1)
            CHECK(0);
    }
    CHECK_INT(call(2, "pid", NULL), pid_of(2));
    CHECK(pid_of(2) != getpid());
    queue_end();
}

#define CALLS (SCALE == 1 ? 400 : 40)
#define ENDS_EVERY 20

static atomic_int wrong;

static void *
call_again_and_again(void *argument)
{
    for (int i = 0; i < CALLS; i++) {
        int ends = argument != NULL && i % ENDS_EVERY == ENDS_EVERY - 1;
        if (call(ISO_ANY_RANK, ends ? "end" : "one", ends ? "exit" : NULL) != (ends ? -1 : 1))
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

static void
test_crashes_under_load(void)
{
    pthread_t threads[4];
    iso_rank_stats stats;
    uint64_t crashed = 0, calls = 0;
    process_start(3, ISO_CHANNEL_QUEUE, NULL, 0);
    for (intptr_t i = 0; i < 4; i++)
        threads[i] = thread_start(call_again_and_again, (void *)(i & 1));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&wrong), 0);
    for (int number = 1; number <= 3; number++) {
        iso_engine_stats(engine, number, &stats);
        crashed += stats.outcomes[ISO_OUTCOME_CRASHED];
        calls += stats.calls;
    }
    CHECK_INT(calls, 4 * CALLS);
    CHECK_INT(crashed, 2 * (CALLS / ENDS_EVERY));
    queue_end();
}

/* The caller is answered at the deadline; its buffer is its own again. */
static void
test_a_late_call_reads_its_own_copy(void)
{
    static const iso_override deadline[] = {{1, 1, "deadline", "100ms"}, {1, 1, "grace", "20s"}};
    char *buffer = malloc(sizeof octets);
    iso_msg msg;
    iso_result result;
    process_start(1, ISO_CHANNEL_INLINE, deadline, 2);
    open_one();
    int before = pid_of(1);
    memcpy(buffer, octets, sizeof octets);
    iso_msg_init(&msg, buffer, sizeof octets - 1);
    CHECK_INT(iso_python_exec(open_rank, "sleep", &msg, text_of("0.3"), &result), 0);
    CHECK_INT(result.outcome, ISO_OUTCOME_DEADLINE);
    memset(buffer, 'Z', sizeof octets);
    free(buffer);
    for (int64_t end = now_ns() + LIMIT_NS; now_ns() < end && result.code != 1; pause_ms(5))
        run("one", NULL, &result);
    CHECK_INT(result.code, 1);
    CHECK_INT(pid_of(1), before);
    CHECK_INT(iso_rank_close(open_rank), 0);
    queue_end();
}

static void
test_open_and_close_again(void)
{
    iso_result result;
    process_start(1, ISO_CHANNEL_INLINE, NULL, 0);
    for (int i = 0; i < 3; i++) {
        open_one();
        CHECK_INT(iso_rank_begin(open_rank), 0);
        run("one", NULL, &result);
        CHECK_INT(result.code, 1);
        CHECK_INT(iso_rank_end(open_rank), 0);
        CHECK_INT(iso_rank_close(open_rank), 0);
        CHECK_INT(pid_of(1), 0);
    }
    queue_end();
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_functions_edit_in_order), TEST(test_functions_fail_and_answer),
              TEST(test_levels_mix_on_the_queue), TEST(test_crashes_under_load),
              TEST(test_a_late_call_reads_its_own_copy), TEST(test_open_and_close_again));
}
