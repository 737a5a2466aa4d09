/* test_queue_nested.c: host functions that submit: to their own rank (nested), to others, round in a circle;
 * and the end of an engine with calls queued and running. */
#include "queue_host.h"

#define RANKS 3

/* The function `pass RANK METHOD [EXTRA]`: makes that call and answers what it answered, or a code below
 * -1000 if it was not made. */
static int
pass(const iso_call *from, const iso_value *argv, int argc, void *user, iso_error *err)
{
    char number[16], method[32], extra[256];
    (void)from;
    (void)user;
    (void)err;
    snprintf(number, sizeof number, "%.*s", (int)argv[0].str.n, argv[0].str.p);
    snprintf(method, sizeof method, "%.*s", (int)argv[1].str.n, argv[1].str.p);
    join_words(argv + 2, argc - 2, extra, sizeof extra);
    return call(atoi(number), method, argc > 2 ? extra : NULL);
}

/* The same with a submit that nobody waits for. */
static int
leave(const iso_call *from, const iso_value *argv, int argc, void *user, iso_error *err)
{
    (void)argc;
    (void)user;
    (void)err;
    (void)argv;
    return submit(from->rank_number % RANKS + 1, "count", NULL, NULL, ISO_SUBMIT_FORGET, NULL) + 1;
}

/* iso_python_exec on the calling rank, the way of an inline host. */
static int
again(const iso_call *from, const iso_value *argv, int argc, void *user, iso_error *err)
{
    iso_result result;
    (void)argv;
    (void)argc;
    (void)user;
    (void)err;
    return iso_python_exec(from->rank, "who", from->msg, text_of(NULL), &result) < 0 ? -1 : result.code + 100;
}

/* `deeper METHOD EXTRA...`: the next call on the calling rank. */
static int
deeper(const iso_call *from, const iso_value *argv, int argc, void *user, iso_error *err)
{
    iso_result result;
    char method[32], extra[256] = "";
    (void)user;
    (void)err;
    snprintf(method, sizeof method, "%.*s", (int)argv[0].str.n, argv[0].str.p);
    join_words(argv + 1, argc - 1, extra, sizeof extra);
    return iso_python_exec(from->rank, method, from->msg, text_of(extra), &result) < 0 ? -1 : result.code;
}

static const iso_function functions[] = {
    {.name = "gate", .signature = "", .function = gate, .flags = ISO_FUNCTION_BLOCKING},
    {.name = "pass", .signature = "ss*", .function = pass, .flags = ISO_FUNCTION_BLOCKING},
    {.name = "hold", .signature = "ss*", .function = pass}, /* keeps the rank attached meanwhile */
    {.name = "leave", .signature = "", .function = leave},
    {.name = "again", .signature = "", .function = again},
    {.name = "deeper", .signature = "ss*", .function = deeper, .flags = ISO_FUNCTION_BLOCKING},
};

static void
nested_start(iso_config *config)
{
    config_init(config, RANKS, ISO_CHANNEL_QUEUE);
    config->functions = functions;
    config->function_count = sizeof functions / sizeof functions[0];
    engine_start(config);
}

/* ---- nesting ---- */

static void
test_nested_on_the_same_rank(void)
{
    iso_config config;
    nested_start(&config);
    for (int i = 0; i < 2000 / SCALE; i++) {
        CHECK_INT(call(1, "calls", "pass 1 who"), 1);
        CHECK_INT(call(2, "calls", "hold 2 number 44"), 44);
        CHECK_INT(call(3, "calls", "pass 3 calls hold 3 calls pass 3 who"), 3);
        CHECK_INT(call(2, "calls", "again"), 102);
    }
    queue_end();
}

static void
test_nested_on_other_ranks(void)
{
    iso_config config;
    nested_start(&config);
    for (int i = 0; i < 2000 / SCALE; i++) {
        CHECK_INT(call(1, "calls", "pass 2 who"), 2);
        CHECK_INT(call(1, "calls", "hold 2 calls pass 3 who"), 3);
        CHECK_INT(call(3, "calls", "hold 2 calls hold 1 number 12"), 12);
        CHECK_INT(call(1, "calls", "pass 2 raises"), -1);
        int who = call(1, "calls", "pass 0 who"); /* any rank, never one that waits in this chain */
        CHECK(who == 2 || who == 3);
        CHECK_INT(call(1, "calls", "pass 2 calls pass 0 who"), 3);
    }
    queue_end();
}

static void
test_nested_beside_a_busy_thread(void)
{
    iso_config config;
    nested_start(&config);
    for (int rank = 1; rank <= RANKS; rank++)
        CHECK_INT(call(rank, "start", NULL), 1);
    for (int i = 0; i < 100; i++) {
        CHECK_INT(call(1, "calls", "pass 2 calls hold 3 who"), 3);
        CHECK_INT(call(1, "calls", "pass 1 calls hold 1 who"), 1);
    }
    for (int rank = 1; rank <= RANKS; rank++)
        CHECK_INT(call(rank, "stop", NULL), 1);
    queue_end();
}

static void
test_a_submit_that_nobody_waits_for(void)
{
    iso_config config;
    nested_start(&config);
    for (int i = 0; i < 100; i++)
        CHECK_INT(call(1, "calls", "leave"), 1);
    CHECK_INT(call(2, "counts", NULL), 100);
    queue_end();
}

/* The same functions on a rank that its host opened: a submit is no way into it, iso_python_exec is. */
static void
test_nested_on_an_inline_rank(void)
{
    iso_config config;
    iso_rank *rank = NULL;
    iso_error err;
    iso_msg msg;
    iso_result result;
    config_init(&config, RANKS, ISO_CHANNEL_INLINE);
    config.functions = functions;
    config.function_count = sizeof functions / sizeof functions[0];
    engine_start(&config);
    CHECK_INT(iso_rank_open(engine, 1, &rank, &err), 0);
    iso_msg_init(&msg, octets, sizeof octets - 1);
    for (int i = 0; i < 2000 / SCALE; i++) {
        CHECK_INT(iso_python_exec(rank, "calls", &msg, text_of("deeper calls deeper calls again"), &result), 0);
        CHECK_INT(result.code, 101);
    }
    CHECK_INT(iso_python_exec(rank, "start", &msg, text_of(NULL), &result), 0);
    for (int i = 0; i < 50; i++) {
        CHECK_INT(iso_python_exec(rank, "calls", &msg, text_of("deeper calls deeper calls again"), &result), 0);
        CHECK_INT(result.code, 101);
    }
    CHECK_INT(iso_python_exec(rank, "stop", &msg, text_of(NULL), &result), 0);
    CHECK_INT(iso_rank_close(rank), 0);
    queue_end();
}

/* ---- cycles ---- */

static void
test_a_cycle_is_an_error(void)
{
    iso_config config;
    nested_start(&config);
    for (int i = 0; i < 200 / SCALE + 5; i++) {
        CHECK_INT(call(1, "calls", "pass 2 calls pass 1 who"), ISO_ECYCLE - 1000);
        CHECK_INT(call(1, "calls", "hold 2 calls hold 3 calls hold 1 who"), ISO_ECYCLE - 1000);
        CHECK_INT(call(2, "calls", "pass 3 calls hold 2 who"), ISO_ECYCLE - 1000);
    }
    CHECK_INT(call(1, "calls", "pass 1 calls pass 2 who"), 2);
    queue_end();
}

static atomic_int odd;

static void *
cross(void *argument)
{
    int own = (int)(intptr_t)argument;
    char text[64];
    snprintf(text, sizeof text, "hold %d who", own % RANKS + 1);
    for (int i = 0; i < 2000 / SCALE; i++) {
        int code = call(own, "calls", text);
        if (code != own % RANKS + 1 && code != ISO_ECYCLE - 1000)
            atomic_fetch_add(&odd, 1);
    }
    return NULL;
}

/* Ranks that call each other at once, in a ring: each call is answered or refused as a cycle; none hangs. */
static void
test_ranks_that_call_each_other(void)
{
    pthread_t threads[RANKS];
    iso_config config;
    nested_start(&config);
    atomic_store(&odd, 0);
    for (int i = 0; i < RANKS; i++)
        threads[i] = thread_start(cross, (void *)(intptr_t)(i + 1));
    for (int i = 0; i < RANKS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&odd), 0);
    queue_end();
}

/* ---- the end of an engine ---- */

static atomic_int waiters, ended, refused, served;

static void *
wait_for_one(void *argument)
{
    iso_task *task = argument;
    atomic_fetch_add(&waiters, 1);
    if (iso_task_wait(task, LIMIT_NS) == 0)
        atomic_fetch_add(iso_task_result(task)->outcome == ISO_OUTCOME_REFUSED ? &refused : &served, 1);
    iso_task_free(task);
    atomic_fetch_add(&ended, 1);
    return NULL;
}

static void *
destroy(void *argument)
{
    int *abandoned = argument;
    *abandoned = iso_engine_destroy(engine);
    return NULL;
}

#define WAITERS 100

static void
start_waiters(pthread_t *threads)
{
    atomic_store(&waiters, 0);
    atomic_store(&ended, 0);
    atomic_store(&refused, 0);
    atomic_store(&served, 0);
    for (int i = 0; i < WAITERS; i++) {
        iso_task *task = NULL;
        CHECK_INT(submit(i % 2, "one", NULL, NULL, i % 3 == 0 ? ISO_SUBMIT_NOTIFY : 0, &task), 0);
        threads[i] = thread_start(wait_for_one, task);
    }
    CHECK(reaches(&waiters, WAITERS));
}

static void
test_the_end_with_calls_queued_and_running(void)
{
    pthread_t threads[WAITERS], destroyer;
    iso_task *held = NULL, *late = NULL;
    int abandoned = -1, rc = 0;
    queue_start(1);
    hold(1, &held);
    start_waiters(threads);
    destroyer = thread_start(destroy, &abandoned);
    /* The gate keeps the engine from going, so it may still be asked. */
    for (int64_t end = now_ns() + 4 * SECOND_NS; rc == 0 && now_ns() < end; pause_ms(1)) {
        rc = submit(1, "one", NULL, NULL, ISO_SUBMIT_REJECT, &late);
        if (rc == 0)
            iso_task_free(late);
    }
    CHECK_INT(rc, ISO_ESTATE);
    CHECK(reaches(&ended, WAITERS)); /* queued calls end at once, not when the rank is free */
    gate_set(1);
    pthread_join(destroyer, NULL);
    CHECK_INT(abandoned, 0);
    expect(held, 1); /* it ran to its end; a task outlives its engine */
    for (int i = 0; i < WAITERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&refused), WAITERS);
    CHECK_INT(atomic_load(&served), 0);
}

/* A call that waits for a call of another rank ends too: that one is refused, and the first goes on. */
static void
test_the_end_while_a_rank_waits_for_a_rank(void)
{
    pthread_t destroyer;
    iso_task *held = NULL, *outer = NULL;
    iso_config config;
    int abandoned = -1;
    nested_start(&config);
    hold(2, &held);
    CHECK_INT(submit(1, "calls", "pass 2 who", NULL, 0, &outer), 0);
    for (int64_t end = now_ns() + LIMIT_NS; now_ns() < end; pause_ms(1)) {
        iso_rank_stats stats;
        if (iso_engine_stats(engine, 2, &stats) == 0 && stats.waiting == 1)
            break;
    }
    destroyer = thread_start(destroy, &abandoned);
    CHECK_INT(iso_task_wait(outer, LIMIT_NS), 0);
    CHECK_INT(iso_task_result(outer)->code, -1);
    iso_task_free(outer);
    gate_set(1);
    pthread_join(destroyer, NULL);
    CHECK_INT(abandoned, 0);
    expect(held, 1);
}

static void *
submit_until_refused(void *argument)
{
    (void)argument;
    atomic_fetch_add(&waiters, 1);
    for (;;) {
        iso_task *task = NULL;
        int rc = submit(ISO_ANY_RANK, "own", "queue@192.0.2.1", NULL, 0, &task);
        if (rc != 0) {
            atomic_fetch_add(rc == ISO_ESTATE ? &refused : &odd, 1);
            return NULL;
        }
        if (iso_task_wait(task, LIMIT_NS) < 0)
            atomic_fetch_add(&odd, 1);
        iso_task_free(task);
    }
}

/* Threads that wait for a place in a full queue are refused as well. */
static void
test_the_end_with_a_full_queue(void)
{
    pthread_t threads[20], destroyer;
    iso_task *held = NULL;
    iso_config config;
    int abandoned = -1;
    config_init(&config, 1, ISO_CHANNEL_QUEUE);
    config.queue_size = 4;
    engine_start(&config);
    atomic_store(&waiters, 0);
    atomic_store(&refused, 0);
    atomic_store(&odd, 0);
    hold(1, &held);
    for (int i = 0; i < 20; i++)
        threads[i] = thread_start(submit_until_refused, NULL);
    CHECK(reaches(&waiters, 20));
    pause_ms(50); /* most of them wait for a place by now; all are right in any order */
    destroyer = thread_start(destroy, &abandoned);
    for (int i = 0; i < 20; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&refused), 20);
    CHECK_INT(atomic_load(&odd), 0);
    gate_set(1);
    pthread_join(destroyer, NULL);
    CHECK_INT(abandoned, 0);
    expect(held, 1);
}

static void
test_completions_at_the_end(void)
{
    iso_task *held = NULL, *task = NULL;
    queue_start(1);
    hold(1, &held);
    iso_task_free(held);
    for (int i = 0; i < 10; i++)
        CHECK_INT(submit(1, "one", NULL, NULL, ISO_SUBMIT_NOTIFY, &task), 0);
    queue_end(); /* takes what nobody will ask for any more */
    iso_task_free(task);
}

/* Last, for two ranks stay in the gate for ever, one in a nested call: they are abandoned, and their calls end
 * refused. */
static void
test_the_end_with_stuck_ranks(void)
{
    pthread_t threads[2];
    iso_task *held[2] = {NULL};
    iso_config config;
    config_init(&config, RANKS, ISO_CHANNEL_QUEUE);
    config.functions = functions;
    config.function_count = sizeof functions / sizeof functions[0];
    config.grace = 200000000;
    engine_start(&config);
    hold(2, &held[0]);
    CHECK_INT(submit(3, "calls", "pass 3 calls gate", NULL, 0, &held[1]), 0);
    CHECK(reaches(&gate_entered, 2));
    atomic_store(&ended, 0);
    atomic_store(&refused, 0);
    for (int i = 0; i < 2; i++)
        threads[i] = thread_start(wait_for_one, held[i]);
    CHECK_INT(iso_engine_destroy(engine), 2);
    CHECK(reaches(&ended, 2));
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&refused), 2);
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_nested_on_the_same_rank), TEST(test_nested_on_other_ranks),
              TEST(test_nested_beside_a_busy_thread), TEST(test_a_submit_that_nobody_waits_for),
              TEST(test_nested_on_an_inline_rank), TEST(test_a_cycle_is_an_error),
              TEST(test_ranks_that_call_each_other), TEST(test_the_end_with_calls_queued_and_running),
              TEST(test_the_end_while_a_rank_waits_for_a_rank), TEST(test_the_end_with_a_full_queue),
              TEST(test_completions_at_the_end), TEST(test_the_end_with_stuck_ranks));
}
