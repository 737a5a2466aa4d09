/* test_reload.c: new code for ranks that work: rank after rank, by timeout, by signal, while the engine ends.
 * The script is a copy of queue_basic.py that the tests edit. */
#define _GNU_SOURCE
#include "queue_host.h"

#include <signal.h>

static char folder[] = "/tmp/isoexec-reload-XXXXXX";
static char script[64];
static atomic_int wrong, stopping, events;

/* The script, with methods `version` and `hold` that tell the version. */
static void
write_script(int version, const char *mod_init)
{
    FILE *file = fopen(script, "w");
    if (file == NULL)
        abort();
    fprintf(file,
            "class Handler:\n"
            "    def child_init(self, rank):\n        return 0\n"
            "    def version(self, msg):\n        return %d\n"
            "    def calls(self, msg, name):\n        return msg.call_function(name) * %d\n"
            "def mod_init():\n    %s\n    return Handler()\n",
            version, version, mod_init);
    fclose(file);
}

static void
count_event(void *user, int event, int rank)
{
    (void)user;
    (void)rank;
    if (event == ISO_EVENT_RELOADED)
        atomic_fetch_add(&events, 1);
}

static int
reload_in_a_call(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err)
{
    (void)call;
    (void)argv;
    (void)argc;
    (void)user;
    (void)err;
    return iso_engine_reload(engine, 1000, NULL) == ISO_ESTATE ? 1 : 0;
}

static void
reload_config(iso_config *config, int ranks, int channel)
{
    static iso_function functions[2];
    config_init(config, ranks, channel);
    functions[0] = gate_function;
    functions[1] = (iso_function){.name = "reload", .signature = "", .function = reload_in_a_call};
    config->functions = functions;
    config->function_count = 2;
    config->script_name = script;
    config->event = count_event;
    atomic_store(&events, 0);
    atomic_store(&wrong, 0);
    atomic_store(&stopping, 0);
    write_script(1, "pass");
}

static void
reload_start(int ranks, int channel)
{
    iso_config config;
    reload_config(&config, ranks, channel);
    engine_start(&config);
}

static uint32_t
reloads(int rank)
{
    iso_rank_stats stats;
    CHECK_INT(iso_engine_stats(engine, rank, &stats), 0);
    return stats.reloads;
}

static void
test_every_rank_takes_new_code(void)
{
    iso_error err;
    reload_start(3, ISO_CHANNEL_QUEUE);
    for (int version = 2; version < 5; version++) {
        write_script(version, "pass");
        CHECK_INT(iso_engine_reload(engine, 60000, &err), 0);
        for (int rank = 1; rank <= 3; rank++) {
            CHECK_INT(call(rank, "version", NULL), version);
            CHECK_INT(reloads(rank), version - 1);
        }
    }
    CHECK_INT(atomic_load(&events), 9);
    queue_end();
}

static void
test_what_fails_leaves_the_old_code(void)
{
    iso_error err;
    reload_start(2, ISO_CHANNEL_QUEUE);
    write_script(2, "raise LookupError('not today')");
    CHECK_INT(iso_engine_reload(engine, 60000, &err), ISO_EINIT);
    CHECK_INT(err.code, ISO_EINIT);
    CHECK(strstr(err.traceback, "not today") != NULL && strstr(err.message, "rank 1") != NULL);
    write_script(2, "(");
    CHECK_INT(iso_engine_reload(engine, 60000, &err), ISO_ESCRIPT);
    CHECK(strstr(err.traceback, "SyntaxError") != NULL);
    CHECK_INT(iso_engine_reload(engine, 60000, NULL), ISO_ESCRIPT);
    for (int rank = 1; rank <= 2; rank++) {
        CHECK_INT(call(rank, "version", NULL), 1);
        CHECK_INT(reloads(rank), 0);
    }
    CHECK_INT(atomic_load(&events), 0);
    queue_end();
}

static void
test_new_code_that_does_not_end(void)
{
    iso_error err;
    reload_start(2, ISO_CHANNEL_QUEUE);
    for (int i = 0; i < 3; i++) {
        write_script(2, "while True: pass");
        CHECK_INT(iso_engine_reload(engine, 100, &err), ISO_EINIT);
        CHECK(strstr(err.message, "rank 1: the new code did not load within 100 ms") != NULL);
        CHECK(strstr(err.traceback, "DeadlineExceeded") != NULL);
        CHECK_INT(call(1, "version", NULL), 1);
        CHECK_INT(call(2, "version", NULL), 1);
    }
    write_script(2, "pass");
    CHECK_INT(iso_engine_reload(engine, 60000, &err), 0);
    CHECK_INT(call(2, "version", NULL), 2);
    queue_end();
}

static void
test_what_is_refused(void)
{
    iso_error err;
    CHECK_INT(iso_engine_reload(NULL, 1000, &err), ISO_EINVAL);
    reload_start(1, ISO_CHANNEL_QUEUE);
    CHECK_INT(iso_engine_reload(engine, -1, &err), ISO_EINVAL);
    CHECK_INT(call(1, "calls", "reload"), 1); /* in a call of the rank */
    iso_engine_closing(engine);
    iso_engine_closing(engine);
    CHECK_INT(iso_engine_reload(engine, 60000, &err), ISO_ESTATE);
    CHECK_INT(call(1, "version", NULL), 1);
    queue_end();
}

static void
test_a_busy_rank_reloads_before_its_next_call(void)
{
    iso_task *held = NULL;
    iso_error err;
    reload_start(2, ISO_CHANNEL_QUEUE);
    hold(1, &held);
    write_script(2, "pass");
    CHECK_INT(iso_engine_reload(engine, 800, &err), ISO_ETIMEDOUT); /* rank 2 has as long to load, on a busy machine */
    CHECK(strstr(err.message, "rank 1") != NULL);
    CHECK_INT(call(2, "version", NULL), 2);
    gate_set(1);
    expect(held, 1); /* by the code that it began with */
    CHECK_INT(call(1, "version", NULL), 2);
    CHECK_INT(reloads(1), 1);
    queue_end();
}

/* What comes late, of a reload that has failed elsewhere meanwhile, is not tried. */
static void
test_a_late_rank_does_not_try_what_failed(void)
{
    iso_task *held = NULL;
    iso_error err;
    reload_start(2, ISO_CHANNEL_QUEUE);
    hold(1, &held);
    write_script(2, "(");
    CHECK_INT(iso_engine_reload(engine, 60000, &err), ISO_ESCRIPT); /* rank 2 has its turn while 1 is busy */
    CHECK(strstr(err.message, "rank 2") != NULL);
    write_script(3, "pass");
    gate_set(1);
    expect(held, 1);
    CHECK_INT(call(1, "version", NULL), 1);
    CHECK_INT(iso_engine_reload(engine, 60000, &err), 0);
    CHECK_INT(call(1, "version", NULL), 3);
    queue_end();
}

/* As by a host that has no patience. */
static void
test_a_busy_rank_that_is_asked_often_reloads_once(void)
{
    iso_task *held = NULL;
    reload_start(2, ISO_CHANNEL_QUEUE);
    hold(1, &held);
    write_script(2, "(");
    CHECK_INT(iso_engine_reload(engine, 60000, NULL), ISO_ESCRIPT); /* of rank 2: what waits for rank 1 has failed */
    write_script(3, "pass");
    for (int i = 0; i < 100; i++)
        CHECK_INT(iso_engine_reload(engine, 0, NULL), ISO_ETIMEDOUT);
    gate_set(1);
    expect(held, 1);
    CHECK_INT(call(1, "version", NULL), 3);
    CHECK_INT(reloads(1), 1);
    CHECK_INT(iso_engine_reload(engine, 60000, NULL), 0);
    write_script(4, "pass");
    CHECK_INT(iso_engine_reload(engine, 60000, NULL), 0);
    CHECK_INT(call(1, "version", NULL), 4);
    CHECK_INT(call(2, "version", NULL), 4);
    CHECK_INT(reloads(1), 3);
    queue_end();
}

static void *
reload_once(void *argument)
{
    *(int *)argument = iso_engine_reload(engine, 60000, NULL);
    return NULL;
}

/* Beside another thread that asks too: until it has its turn. */
static void *
reload_in_turn(void *argument)
{
    int *code = argument;
    while ((*code = iso_engine_reload(engine, 60000, NULL)) == ISO_ESTATE && !atomic_load(&stopping))
        ;
    return NULL;
}

static void
test_one_at_a_time(void)
{
    iso_task *held = NULL;
    iso_error err;
    int first = 1;
    reload_start(1, ISO_CHANNEL_QUEUE);
    hold(1, &held);
    pthread_t thread = thread_start(reload_in_turn, &first);
    int code = 0;
    for (int64_t end = now_ns() + LIMIT_NS; now_ns() < end && code != ISO_ESTATE; pause_ms(1))
        code = iso_engine_reload(engine, 0, &err);
    CHECK_INT(code, ISO_ESTATE);
    atomic_store(&stopping, 1);
    gate_set(1);
    pthread_join(thread, NULL);
    CHECK_INT(first, 0);
    expect(held, 1);
    queue_end();
}

static void
test_the_end_of_an_engine_ends_its_reload(void)
{
    iso_task *held = NULL;
    int code = 1;
    reload_start(2, ISO_CHANNEL_QUEUE);
    hold(1, &held);
    pthread_t thread = thread_start(reload_once, &code);
    pause_ms(20);
    iso_engine_closing(engine);
    pthread_join(thread, NULL);
    CHECK_INT(code, ISO_ESTATE);
    gate_set(1);
    expect(held, 1);
    queue_end();
}

/* ---- inline ranks ---- */

static int
call_inline(iso_rank *rank, const char *method)
{
    iso_msg msg;
    iso_result result;
    iso_msg_init(&msg, octets, sizeof octets - 1);
    CHECK_INT(iso_python_exec(rank, method, &msg, text_of(NULL), &result), 0);
    return result.code;
}

static void
test_inline_ranks(void)
{
    iso_rank *ranks[2];
    iso_error err;
    int code = 1;
    reload_start(3, ISO_CHANNEL_INLINE);
    CHECK_INT(iso_engine_reload(engine, 0, &err), 0); /* none is open */
    for (int i = 0; i < 2; i++)
        CHECK_INT(iso_rank_open(engine, i + 1, &ranks[i], &err), 0);
    write_script(2, "pass");
    CHECK_INT(iso_engine_reload(engine, 60000, &err), 0); /* on the thread of both */
    CHECK_INT(call_inline(ranks[0], "version"), 2);
    CHECK_INT(call_inline(ranks[1], "version"), 2);
    write_script(3, "pass");
    CHECK_INT(iso_rank_begin(ranks[0]), 0);
    CHECK_INT(iso_engine_reload(engine, 60000, &err), ISO_ESTATE); /* within a burst */
    CHECK_INT(iso_rank_end(ranks[0]), 0);
    CHECK_INT(iso_engine_reload(engine, 60000, &err), 0);
    CHECK_INT(call_inline(ranks[0], "version"), 3);
    write_script(4, "pass");
    pthread_t thread = thread_start(reload_once, &code);
    while (reloads(2) < 3) { /* one by its service, the other by its call */
        CHECK_INT(iso_rank_service(ranks[0]), 0);
        call_inline(ranks[1], "version");
    }
    pthread_join(thread, NULL);
    CHECK_INT(code, 0);
    CHECK_INT(call_inline(ranks[0], "version"), 4);
    CHECK_INT(call_inline(ranks[1], "version"), 4);
    CHECK_INT(atomic_load(&events), 6);
    for (int i = 0; i < 2; i++)
        CHECK_INT(iso_rank_close(ranks[i]), 0);
    CHECK_INT(iso_engine_reload(engine, 0, &err), 0);
    queue_end();
}

/* ---- by signal ---- */

static atomic_int own_signals;

static void
own_handler(int number)
{
    (void)number;
    atomic_fetch_add(&own_signals, 1);
}

static void
test_a_signal_reloads(void)
{
    iso_config config;
    iso_engine *engines[2];
    struct sigaction own = {.sa_handler = own_handler}, now;
    atomic_store(&own_signals, 0);
    sigaction(SIGUSR1, &own, NULL);
    reload_config(&config, 2, ISO_CHANNEL_QUEUE);
    config.reload_signal = SIGUSR1;
    for (int i = 0; i < 2; i++) {
        engine_start(&config);
        engines[i] = engine;
    }
    write_script(2, "pass");
    CHECK_INT(raise(SIGUSR1), 0);
    CHECK(reaches(&events, 4));
    for (int i = 0; i < 2; i++) {
        engine = engines[i];
        CHECK_INT(call(1, "version", NULL), 2);
    }
    CHECK_INT(iso_engine_destroy(engines[1]), 0);
    CHECK_INT(raise(SIGUSR1), 0); /* may come while the reload before is not over: then it is a second one */
    CHECK(reaches(&events, 6));
    CHECK_INT(atomic_load(&own_signals), 0);
    CHECK_INT(iso_engine_destroy(engines[0]), 0);
    CHECK_INT(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_handler == own_handler);
    CHECK_INT(raise(SIGUSR1), 0);
    CHECK_INT(atomic_load(&own_signals), 1);
    engine = NULL;
}

/* A storm of signals while an engine comes and goes. */
static void *
keep_raising(void *argument)
{
    while (!atomic_load(&stopping)) {
        kill(getpid(), SIGUSR2);
        pause_ms(1);
    }
    return argument;
}

static void
test_signals_while_engines_come_and_go(void)
{
    struct sigaction own = {.sa_handler = own_handler};
    iso_config config;
    sigaction(SIGUSR2, &own, NULL);
    reload_config(&config, 1, ISO_CHANNEL_QUEUE);
    config.reload_signal = SIGUSR2;
    pthread_t thread = thread_start(keep_raising, NULL);
    for (int i = 0; i < 5; i++) {
        engine_start(&config);
        CHECK(reaches(&events, i + 1));
        CHECK_INT(call(1, "version", NULL), 1);
        queue_end();
    }
    atomic_store(&stopping, 1);
    pthread_join(thread, NULL);
}

/* ---- under load ---- */

static void *
keep_calling(void *argument)
{
    int rank = (int)(intptr_t)argument + 1, last = 0;
    while (!atomic_load(&stopping)) {
        int version = call(rank, "version", NULL);
        if (version < last || version < 1)
            atomic_fetch_add(&wrong, 1);
        last = version;
    }
    return NULL;
}

static void
test_no_call_is_lost(void)
{
    pthread_t threads[4];
    iso_error err;
    int last = 100 / SCALE + 3;
    reload_start(4, ISO_CHANNEL_QUEUE);
    for (int i = 0; i < 4; i++)
        threads[i] = thread_start(keep_calling, (void *)(intptr_t)i);
    for (int version = 2; version <= last; version++) {
        write_script(version, "pass");
        if (!CHECK_INT(iso_engine_reload(engine, 60000, &err), 0))
            printf("%s\n%s\n", err.message, err.traceback);
    }
    atomic_store(&stopping, 1);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&wrong), 0);
    for (int rank = 1; rank <= 4; rank++)
        CHECK_INT(call(rank, "version", NULL), last);
    queue_end();
}

int
main(int argc, char **argv)
{
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(script, sizeof script, "%s/handler.py", folder);
    static const struct test tests[] = {
        TEST(test_every_rank_takes_new_code),
        TEST(test_what_fails_leaves_the_old_code),
        TEST(test_new_code_that_does_not_end),
        TEST(test_what_is_refused),
        TEST(test_a_busy_rank_reloads_before_its_next_call),
        TEST(test_a_late_rank_does_not_try_what_failed),
        TEST(test_a_busy_rank_that_is_asked_often_reloads_once),
        TEST(test_one_at_a_time),
        TEST(test_the_end_of_an_engine_ends_its_reload),
        TEST(test_inline_ranks),
        TEST(test_a_signal_reloads),
        TEST(test_signals_while_engines_come_and_go),
        TEST(test_no_call_is_lost),
    };
    int failed = test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
    unlink(script);
    rmdir(folder);
    return failed;
}
