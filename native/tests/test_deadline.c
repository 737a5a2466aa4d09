/* test_deadline.c: deadlines from a C host: batches, host functions, nested calls, the caller's memory after
 * an answer at the deadline, replaced ranks, events. The script is tests/handlers/deadlines.py. */
#include "queue_host.h"

extern const unsigned long Py_Version; /* of the Python that runs, as in PY_VERSION_HEX */

#define DEADLINE_NS 50000000
#define GRACE_NS 300000000 /* a stop has as long, on a machine that is busy */
#define AT_ONCE 4

static iso_rank *own; /* of the inline tests */
static atomic_int events[ISO_EVENT_RELOADED + 1];

static void
count_event(void *user, int event, int rank)
{
    (void)user;
    CHECK_INT(rank, 1);
    atomic_fetch_add(&events[event], 1);
}

/* Calls a method of the same rank, nested; its answer. */
static int
again(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err)
{
    char method[64];
    iso_result result;
    (void)argc;
    (void)user;
    (void)err;
    snprintf(method, sizeof method, "%.*s", (int)argv[0].str.n, argv[0].str.p);
    iso_python_exec(call->rank, method, call->msg, text_of(NULL), &result);
    return result.outcome == ISO_OUTCOME_DEADLINE ? -50 : result.code;
}

/* Waits for a call of rank 2, from inside a call of rank 1. */
static int
other(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err)
{
    iso_task *task = NULL;
    (void)argv;
    (void)argc;
    (void)user;
    (void)err;
    int code = iso_submit(engine, 2, "calls", call->msg, text_of("gate"), NULL, 0, &task);
    if (code == 0)
        code = iso_task_wait(task, LIMIT_NS);
    if (code == 0)
        code = iso_task_result(task)->code;
    iso_task_free(task);
    return code;
}

static const iso_function functions[] = {
    {.name = "other", .signature = "", .function = other, .flags = ISO_FUNCTION_BLOCKING},
    {.name = "gate", .signature = "", .function = gate, .flags = ISO_FUNCTION_BLOCKING},
    {.name = "again", .signature = "s", .function = again},
    {.name = "again_blocking", .signature = "s", .function = again, .flags = ISO_FUNCTION_BLOCKING},
};

static const iso_override *more_overrides; /* one row, for start */

static void
start(int ranks, int channel, int64_t deadline, int64_t grace)
{
    iso_config config;
    iso_error err;
    config_init(&config, ranks, channel);
    config_script(&config, "deadlines.py");
    config.deadline = deadline;
    config.grace = grace;
    config.functions = functions;
    config.function_count = sizeof functions / sizeof functions[0];
    config.timing = ISO_TIMING_FULL;
    config.log = count_leaving;
    config.event = count_event;
    atomic_store(&ranks_left, 0);
    config.overrides = more_overrides;
    config.override_count = more_overrides != NULL;
    for (int i = 0; i <= ISO_EVENT_RELOADED; i++)
        atomic_store(&events[i], 0);
    engine_start(&config);
    if (channel == ISO_CHANNEL_INLINE && iso_rank_open(engine, 1, &own, &err) < 0) {
        printf("no rank: %s\n%s\n", err.message, err.traceback);
        exit(1);
    }
}

static void
end_inline(void)
{
    gate_set(1);
    CHECK_INT(iso_rank_close(own), 0);
    CHECK_INT(iso_engine_destroy(engine), 0);
}

static iso_result
exec_on(iso_rank *rank, const char *method, const char *extra)
{
    iso_msg msg;
    iso_result result;
    iso_msg_init(&msg, octets, sizeof octets - 1);
    iso_python_exec(rank, method, &msg, text_of(extra), &result);
    return result;
}

static void
expect_on(iso_rank *rank, const char *method, const char *extra, int outcome)
{
    iso_result result = exec_on(rank, method, extra);
    if (!CHECK_INT(result.outcome, outcome))
        printf("%s: %.*s\n", method, (int)result.error.n, result.error.p != NULL ? result.error.p : "");
    CHECK_INT(result.code < 0, outcome != ISO_OUTCOME_RETURNED);
    CHECK(result.edits == NULL);
    for (int i = 0; i < 50; i++)
        CHECK_INT(run_in_time(rank, "one", DEADLINE_NS).code, 1);
}

/* ---- inline ---- */

static void
test_calls_are_ended(void)
{
    static const char *const methods[] = {"spin", "spin_with_edits", "in_del", "in_exit", "in_index", "bare_except"};
    start(1, ISO_CHANNEL_INLINE, DEADLINE_NS, 10 * SECOND_NS);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        expect_on(own, methods[i], NULL, ISO_OUTCOME_DEADLINE);
    end_inline();
}

static void
test_in_a_batch(void)
{
    start(1, ISO_CHANNEL_INLINE, DEADLINE_NS, 10 * SECOND_NS);
    CHECK_INT(iso_rank_begin(own), 0);
    for (int i = 0; i < 3; i++)
        expect_on(own, "spin", NULL, ISO_OUTCOME_DEADLINE);
    CHECK_INT(iso_rank_end(own), 0);
    expect_on(own, "spin", NULL, ISO_OUTCOME_DEADLINE);
    end_inline();
}

static void
test_nested(void)
{
    start(1, ISO_CHANNEL_INLINE, DEADLINE_NS, 10 * SECOND_NS);
    expect_on(own, "calls", "again spin", ISO_OUTCOME_DEADLINE);
    expect_on(own, "calls", "again_blocking spin", ISO_OUTCOME_DEADLINE);
    expect_on(own, "calls", "again calls_again_spin", ISO_OUTCOME_DEADLINE);
    expect_on(own, "calls_then_spins", "again one", ISO_OUTCOME_DEADLINE);
    expect_on(own, "calls", "again one", ISO_OUTCOME_RETURNED);
    end_inline();
}

static void *
open_gate_later(void *unused)
{
    pause_ms(DEADLINE_NS / 1000000 + 40);
    gate_set(1);
    return unused;
}

static void
test_a_blocking_host_function(void)
{
    start(1, ISO_CHANNEL_INLINE, DEADLINE_NS, 10 * SECOND_NS);
    pthread_t thread = thread_start(open_gate_later, NULL);
    expect_on(own, "calls_then_spins", "gate", ISO_OUTCOME_DEADLINE);
    pthread_join(thread, NULL);
    end_inline();
}

static void *
open_gate_once_stuck(void *unused)
{
    CHECK(reaches(&events[ISO_EVENT_STUCK], 1));
    gate_set(1);
    return unused;
}

static void
test_a_stuck_inline_rank(void)
{
    iso_rank_stats stats;
    start(1, ISO_CHANNEL_INLINE, DEADLINE_NS, GRACE_NS);
    pthread_t thread = thread_start(open_gate_once_stuck, NULL);
    expect_on(own, "calls", "gate", ISO_OUTCOME_DEADLINE);
    pthread_join(thread, NULL);
    CHECK(reaches(&events[ISO_EVENT_FREED], 1));
    CHECK_INT(atomic_load(&events[ISO_EVENT_STUCK]), 1);
    CHECK_INT(iso_engine_stats(engine, 1, &stats), 0);
    CHECK_INT(stats.stuck, 0);
    CHECK_INT(stats.restarts, 0);
    end_inline();
}

/* Calls that end just when their deadline comes, on several ranks: what misses them meets nobody. */
static void *
race(void *argument)
{
    int number = (int)(intptr_t)argument;
    iso_rank *rank = NULL;
    iso_error err;
    unsigned seed = (unsigned)number;
    if (!CHECK_INT(iso_rank_open(engine, number, &rank, &err), 0))
        return NULL;
    for (int i = 0; i < 2000 / SCALE; i++) {
        char ns[16];
        snprintf(ns, sizeof ns, "%d", 2000000 - 80000 + rand_r(&seed) % 160000);
        iso_result result = exec_on(rank, "until", ns);
        CHECK(result.outcome == ISO_OUTCOME_RETURNED || result.outcome == ISO_OUTCOME_DEADLINE);
        result = exec_on(rank, "one", NULL); /* on a busy machine it may be late itself */
        CHECK(result.outcome == ISO_OUTCOME_RETURNED ||
              (result.outcome == ISO_OUTCOME_DEADLINE && result.elapsed_ns > 2000000));
    }
    CHECK_INT(iso_rank_close(rank), 0);
    return NULL;
}

static pthread_t
rank_thread(void *(*work)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, argument) != 0)
        abort();
    return thread;
}

static void
test_calls_that_end_at_their_deadline(void)
{
    pthread_t threads[AT_ONCE];
    start(AT_ONCE, ISO_CHANNEL_INLINE, 2000000, 10 * SECOND_NS);
    CHECK_INT(iso_rank_close(own), 0);
    for (int i = 0; i < AT_ONCE; i++)
        threads[i] = rank_thread(race, (void *)(intptr_t)(i + 1));
    for (int i = 0; i < AT_ONCE; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(iso_engine_destroy(engine), 0);
}

/* ---- queue ---- */

/* The caller's octets lie in memory that it overwrites and frees when it has its answer. */
static void
test_the_callers_memory_is_its_own(void)
{
    start(1, ISO_CHANNEL_QUEUE, DEADLINE_NS, 10 * SECOND_NS);
    for (int i = 0; i < 3; i++) {
        char *mine = malloc(sizeof octets), *extra = malloc(8);
        int left = atomic_load(&gate_left);
        iso_task *task = NULL;
        iso_msg msg;
        if (mine == NULL || extra == NULL)
            abort();
        memcpy(mine, octets, sizeof octets);
        memcpy(extra, "gate", 5);
        gate_set(0);
        iso_msg_init(&msg, mine, sizeof octets - 1);
        CHECK_INT(iso_submit(engine, 1, "waits_then_reads", &msg, (iso_str){extra, 4}, NULL, 0, &task), 0);
        CHECK_INT(iso_task_wait(task, LIMIT_NS), 0);
        const iso_result *result = iso_task_result(task);
        if (CHECK(result != NULL)) {
            CHECK_INT(result->outcome, ISO_OUTCOME_DEADLINE);
            CHECK_INT(result->code, -1);
            CHECK(result->error.n > 0 && memchr(result->error.p, '2', result->error.n) != NULL);
        }
        iso_task_free(task);
        memset(mine, 'Z', sizeof octets);
        memset(extra, '9', 8);
        free(mine);
        free(extra);
        gate_set(1);
        CHECK(reaches(&gate_left, left + 1));
        CHECK_INT(call_in_time(1, "was_read", DEADLINE_NS), 1);
    }
    queue_end();
}

static void
test_a_stuck_rank_is_replaced(void)
{
    iso_task *waiting[20], *held = NULL;
    iso_rank_stats stats;
    start(1, ISO_CHANNEL_QUEUE, DEADLINE_NS, GRACE_NS);
    CHECK_INT(call(1, "identity", NULL), 1);
    CHECK_INT(submit(1, "calls", "gate", NULL, 0, &held), 0);
    for (int i = 0; i < 20; i++)
        CHECK_INT(submit(i % 2, "identity", NULL, NULL, 0, &waiting[i]), 0);
    expect(held, -1);
    int sum = 0;
    for (int i = 0; i < 20; i++) {
        CHECK_INT(iso_task_wait(waiting[i], LIMIT_NS), 0);
        sum += iso_task_result(waiting[i])->code;
        iso_task_free(waiting[i]);
    }
    CHECK_INT(sum, 20 * 21 / 2); /* of one new interpreter */
    CHECK_INT(atomic_load(&events[ISO_EVENT_STUCK]), 1);
    CHECK_INT(atomic_load(&events[ISO_EVENT_REPLACED]), 1);
    CHECK_INT(iso_engine_stats(engine, 1, &stats), 0);
    CHECK_INT(stats.restarts, 1);
    CHECK_INT(stats.stuck, 0);
    CHECK_INT(stats.outcomes[ISO_OUTCOME_DEADLINE], 1);
    gate_set(1); /* the old one comes back, and leaves */
    CHECK(reaches(&ranks_left, 1));
    CHECK_INT(call_in_time(1, "one", DEADLINE_NS), 1);
    CHECK_INT(iso_engine_destroy(engine), 0);
}

/* Rank 1 is stuck because it waits for rank 2; the one that replaces it may wait for rank 2 too. */
static void
test_a_stuck_rank_that_waits_for_another(void)
{
    static const iso_override patient = {2, 2, "deadline", "none"};
    iso_task *held[3];
    more_overrides = &patient;
    start(2, ISO_CHANNEL_QUEUE, DEADLINE_NS, GRACE_NS);
    more_overrides = NULL;
    for (int i = 0; i < 3; i++) {
        CHECK_INT(submit(1, "calls", "other", NULL, 0, &held[i]), 0);
        expect(held[i], -1);
        CHECK(reaches(&events[ISO_EVENT_REPLACED], i + 1));
    }
    CHECK_INT(call_in_time(1, "one", DEADLINE_NS), 1);
    gate_set(1);
    CHECK(reaches(&ranks_left, 3));
    CHECK_INT(call_in_time(2, "one", DEADLINE_NS), 1);
    CHECK_INT(call(1, "calls", "other"), 1);
    queue_end();
}

/* There is an end to it: the seventeenth stuck rank is kept, and serves when its call has ended. */
static void
test_too_many_stuck_ranks(void)
{
    iso_rank_stats stats;
    iso_task *held;
    start(1, ISO_CHANNEL_QUEUE, DEADLINE_NS, GRACE_NS);
    for (int i = 1; i <= 17; i++) {
        CHECK_INT(submit(1, "calls", "gate", NULL, 0, &held), 0);
        expect(held, -1);
        CHECK(reaches(&events[ISO_EVENT_STUCK], i));
    }
    CHECK_INT(iso_engine_stats(engine, 1, &stats), 0);
    CHECK_INT(stats.restarts, 16);
    CHECK_INT(stats.stuck, 1);
    gate_set(1);
    CHECK_INT(call_in_time(1, "one", DEADLINE_NS), 1);
    CHECK(reaches(&events[ISO_EVENT_FREED], 1));
    CHECK(reaches(&ranks_left, 16));
    queue_end();
}

static void
test_forgotten_calls(void)
{
    start(1, ISO_CHANNEL_QUEUE, DEADLINE_NS, GRACE_NS);
    for (int i = 0; i < 3; i++)
        CHECK_INT(submit(1, "spin", NULL, NULL, ISO_SUBMIT_FORGET, NULL), 0);
    CHECK_INT(submit(1, "calls", "gate", NULL, ISO_SUBMIT_FORGET, NULL), 0);
    CHECK_INT(call(1, "identity", NULL), 1);
    CHECK_INT(atomic_load(&events[ISO_EVENT_STUCK]), 1);
    CHECK(reaches(&events[ISO_EVENT_REPLACED], 1));
    gate_set(1);
    CHECK(reaches(&ranks_left, 1));
    queue_end();
}

static void
test_a_call_let_go_of(void)
{
    iso_task *task = NULL;
    start(1, ISO_CHANNEL_QUEUE, DEADLINE_NS, 10 * SECOND_NS);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(submit(1, "sleeps", "0.08", NULL, 0, &task), 0);
        pause_ms(12 * i);
        iso_task_free(task);
    }
    CHECK_INT(call_in_time(1, "one", DEADLINE_NS), 1);
    queue_end();
}

static void
test_destroy_with_a_stuck_rank(void)
{
    iso_task *held = NULL;
    start(2, ISO_CHANNEL_QUEUE, DEADLINE_NS, GRACE_NS);
    CHECK_INT(submit(1, "calls", "gate", NULL, 0, &held), 0);
    expect(held, -1);
    CHECK(reaches(&events[ISO_EVENT_REPLACED], 1));
    CHECK_INT(iso_engine_destroy(engine), 1);
    gate_set(1);
    CHECK(reaches(&ranks_left, 1)); /* its thread leaves an engine that stayed for it */
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_calls_are_ended), TEST(test_in_a_batch), TEST(test_nested),
              TEST(test_a_blocking_host_function), TEST(test_a_stuck_inline_rank),
              TEST(test_calls_that_end_at_their_deadline), TEST(test_the_callers_memory_is_its_own),
              TEST(test_a_stuck_rank_is_replaced), TEST(test_a_stuck_rank_that_waits_for_another),
              TEST(test_too_many_stuck_ranks), TEST(test_forgotten_calls), TEST(test_a_call_let_go_of),
              TEST(test_destroy_with_a_stuck_rank));
}
