/* test_queue.c: calls through the queue channel, as a host makes them: every order of submit, wait and free,
 * full queues, completions, and a million tasks that leave nothing behind. */
#define _GNU_SOURCE
#include "queue_host.h"

#define GROWTH (8L << 20) /* of the whole process; one task left behind a call is a hundred times that */

/* ---- one call ---- */

static void
test_a_call_and_what_it_says(void)
{
    iso_task *task = NULL;
    int mark;
    queue_start(2);
    CHECK_INT(submit(2, "own", "queue@192.0.2.1", &mark, 0, &task), 0);
    CHECK_INT(iso_task_wait(task, LIMIT_NS), 0);
    const iso_result *result = iso_task_result(task);
    iso_edit edit;
    CHECK(result == iso_task_result(task));
    CHECK_INT(result->code, 15);
    CHECK_INT(result->outcome, ISO_OUTCOME_RETURNED);
    CHECK_TEXT(result->dst_uri.p, result->dst_uri.n, "sip:queue@192.0.2.1@example.net");
    CHECK_INT(iso_edits_count(result->edits), 2);
    CHECK_INT(iso_edits_get(result->edits, 0, &edit), 0);
    CHECK_TEXT(edit.value.p, edit.value.n, "queue@192.0.2.1");
    CHECK_INT(iso_task_rank(task), 2);
    CHECK(iso_task_user(task) == &mark);
    CHECK_INT(iso_task_wait(task, 0), 0);
    /* Another call of the same rank does not touch a result that is still held. */
    CHECK_INT(call(2, "number", "77"), 77);
    CHECK_TEXT(result->dst_uri.p, result->dst_uri.n, "sip:queue@192.0.2.1@example.net");
    iso_task_free(task);
    iso_task_free(NULL);
    queue_end();
}

static void
test_failures_are_results(void)
{
    iso_task *task = NULL;
    queue_start(1);
    CHECK_INT(submit(1, "raises", NULL, NULL, 0, &task), 0);
    CHECK_INT(iso_task_wait(task, -1), 0);
    const iso_result *result = iso_task_result(task);
    CHECK_INT(result->outcome, ISO_OUTCOME_RAISED);
    CHECK(result->error.n > 0 && memmem(result->error.p, result->error.n, "in the rank", 11) != NULL);
    iso_task_free(task);
    CHECK_INT(call(1, "absent", NULL), -1);
    CHECK_INT(call(1, "number", "5"), 5);
    queue_end();
}

/* A host may build the name in one buffer, or name many methods: what a thread remembers of names is never another's. */
static void
test_a_name_is_what_its_text_is_now(void)
{
    static const char *const names[] = {"number", "absent", "raises", "number_", "num"};
    char text[64];
    queue_start(1);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            snprintf(text, sizeof text, "%s", names[i]);
            CHECK_INT(call(1, text, "7"), i == 0 ? 7 : -1);
        }
    }
    for (int i = 0; i < 200; i++) { /* more than are kept */
        snprintf(text, sizeof text, "absent_%d", i);
        CHECK_INT(call(1, text, NULL), -1);
        snprintf(text, sizeof text, "number");
        CHECK_INT(call(1, text, "8"), 8);
    }
    queue_end();
}

static void
test_arguments_are_refused(void)
{
    iso_task *task = NULL;
    iso_msg msg;
    iso_config config;
    queue_start(2);
    CHECK_INT(submit(3, "one", NULL, NULL, 0, &task), ISO_EINVAL);
    CHECK_INT(submit(-1, "one", NULL, NULL, 0, &task), ISO_EINVAL);
    CHECK_INT(submit(1, NULL, NULL, NULL, 0, &task), ISO_EINVAL);
    CHECK_INT(submit(1, "one", NULL, NULL, 0, NULL), ISO_EINVAL);
    iso_msg_init(&msg, octets, sizeof octets - 1);
    msg.version = 99;
    CHECK_INT(iso_submit(engine, 1, "one", &msg, text_of(NULL), NULL, 0, &task), ISO_EINVAL);
    CHECK(task == NULL);
    CHECK_INT(call(1, "one", NULL), 1);
    queue_end();
    config_init(&config, 1, ISO_CHANNEL_INLINE);
    engine_start(&config);
    CHECK_INT(submit(1, "one", NULL, NULL, 0, &task), ISO_ESTATE);
    CHECK_INT(iso_engine_fd(engine), ISO_ESTATE);
    queue_end();
}

static void
test_a_submit_before_the_start(void)
{
    iso_task *task = NULL;
    iso_config config;
    iso_error err;
    config_init(&config, 1, ISO_CHANNEL_QUEUE);
    CHECK_INT(iso_engine_create(&engine, &config, &err), 0);
    CHECK_INT(submit(1, "one", NULL, NULL, 0, &task), ISO_ESTATE);
    CHECK_INT(iso_engine_start(engine, &err), 0);
    CHECK_INT(iso_engine_start(engine, &err), ISO_ESTATE);
    CHECK_INT(call(ISO_ANY_RANK, "one", NULL), 1);
    queue_end();
}

/* The caller's memory is its own again when the submit returned. */
static void
test_arguments_are_copied(void)
{
    iso_task *held = NULL, *task = NULL;
    iso_msg msg;
    size_t n = 100000;
    char *big = calloc(1, n + sizeof octets), method[] = "own", extra[] = "queue@192.0.2.1";
    queue_start(1);
    hold(1, &held);
    memcpy(big, octets, sizeof octets - 1);
    memset(big + sizeof octets - 1, 'b', n);
    iso_msg_init(&msg, big, sizeof octets - 1 + n);
    CHECK_INT(iso_submit(engine, 1, method, &msg, text_of(extra), NULL, 0, &task), 0);
    memset(big, 'Z', n);
    memset(method, 'Z', sizeof method - 1);
    memset(extra, 'Z', sizeof extra - 1);
    free(big);
    gate_set(1);
    expect(held, 1);
    expect(task, 15);
    queue_end();
}

/* ---- orders of wait and free ---- */

static void
test_freed_while_it_waits(void)
{
    iso_task *held = NULL, *task = NULL;
    queue_start(1);
    hold(1, &held);
    CHECK_INT(submit(1, "count", NULL, NULL, 0, &task), 0);
    CHECK_INT(iso_task_rank(task), 0);
    iso_task_free(task);
    gate_set(1);
    expect(held, 1);
    CHECK_INT(call(1, "counts", NULL), 0);
    queue_end();
}

static void
test_freed_while_it_runs(void)
{
    iso_task *held = NULL;
    queue_start(1);
    hold(1, &held);
    iso_task_free(held);
    gate_set(1);
    CHECK_INT(call(1, "number", "9"), 9);
    CHECK_INT(atomic_load(&gate_left), 1);
    queue_end();
}

static void
test_a_wait_that_ends_too_early(void)
{
    iso_task *held = NULL, *task = NULL;
    queue_start(1);
    hold(1, &held);
    CHECK_INT(submit(1, "number", "8", NULL, 0, &task), 0);
    for (int64_t ns = 0; ns <= 10000000; ns += 5000000) {
        CHECK_INT(iso_task_wait(held, ns), ISO_ETIMEDOUT);
        CHECK_INT(iso_task_wait(task, ns), ISO_ETIMEDOUT);
    }
    CHECK(iso_task_result(held) == NULL && iso_task_result(task) == NULL);
    gate_set(1);
    expect(task, 8);
    expect(held, 1);
    queue_end();
}

static void
test_freed_at_any_moment(void)
{
    queue_start(2);
    for (int i = 0; i < 20000 / SCALE; i++) {
        iso_task *task = NULL;
        CHECK_INT(submit(ISO_ANY_RANK, "own", "queue@192.0.2.1", NULL, 0, &task), 0);
        int rc = i % 3 == 0 ? 0 : iso_task_wait(task, i % 3 == 1 ? i % 50 * 200 : LIMIT_NS);
        CHECK(rc == 0 || rc == ISO_ETIMEDOUT);
        if (i % 3 == 2)
            CHECK_INT(iso_task_result(task)->code, 15);
        iso_task_free(task);
    }
    queue_end();
}

static void
test_forget(void)
{
    iso_task *task = NULL;
    queue_start(1);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(submit(1, "count", NULL, NULL, ISO_SUBMIT_FORGET, i % 2 ? &task : NULL), 0);
    CHECK(task == NULL);
    CHECK_INT(call(1, "count", NULL), 1001);
    queue_end();
}

/* ---- full queues ---- */

static int
fill(unsigned flags, iso_task **tasks, int most)
{
    int count = 0;
    while (count < most && submit(1, "number", "3", NULL, flags, &tasks[count]) == 0)
        count++;
    return count;
}

static void
test_a_full_queue_rejects(void)
{
    iso_task *held = NULL, *tasks[64] = {NULL};
    for (int by_setting = 0; by_setting < 2; by_setting++) {
        iso_config config;
        config_init(&config, 1, ISO_CHANNEL_QUEUE);
        config.queue_size = 16;
        config.on_overload = by_setting ? ISO_OVERLOAD_REJECT : ISO_OVERLOAD_WAIT;
        engine_start(&config);
        hold(1, &held);
        unsigned flags = by_setting ? 0 : ISO_SUBMIT_REJECT;
        int count = fill(flags, tasks, 64);
        CHECK(count >= 16 && count < 64);
        iso_task *none = NULL;
        CHECK_INT(submit(1, "number", "4", NULL, flags, &none), ISO_EOVERLOAD);
        CHECK_INT(submit(1, "number", "4", NULL, flags | ISO_SUBMIT_FORGET, NULL), ISO_EOVERLOAD);
        CHECK(none == NULL);
        gate_set(1);
        expect(held, 1);
        for (int i = 0; i < count; i++)
            expect(tasks[i], 3);
        CHECK_INT(call(1, "number", "5"), 5);
        queue_end();
    }
}

#define CALLERS 2000

static atomic_int wrong;

static void *
call_one(void *argument)
{
    char text[16];
    int number = (int)(intptr_t)argument;
    snprintf(text, sizeof text, "%d", number);
    if (call(1, "number", text) != number)
        atomic_fetch_add(&wrong, 1);
    return NULL;
}

static void
test_two_thousand_callers_on_one_rank(void)
{
    static pthread_t threads[CALLERS];
    iso_task *held = NULL;
    iso_config config;
    config_init(&config, 1, ISO_CHANNEL_QUEUE);
    config.queue_size = 64;
    engine_start(&config);
    atomic_store(&wrong, 0);
    hold(1, &held);
    for (int i = 0; i < CALLERS; i++)
        threads[i] = thread_start(call_one, (void *)(intptr_t)(i + 1));
    gate_set(1);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    expect(held, 1);
    CHECK_INT(atomic_load(&wrong), 0);
    iso_rank_stats stats;
    CHECK_INT(iso_engine_stats(engine, 1, &stats), 0);
    CHECK_INT(stats.calls, CALLERS + 1);
    CHECK_INT(stats.waiting, 0);
    queue_end();
}

/* ---- any rank ---- */

static void
test_any_rank_takes_an_idle_one(void)
{
    iso_task *tasks[4] = {NULL};
    int seen = 0;
    queue_start(4);
    for (int i = 0; i < 4; i++)
        CHECK_INT(submit(ISO_ANY_RANK, "calls", "gate", NULL, 0, &tasks[i]), 0);
    CHECK(reaches(&gate_entered, 4));
    gate_set(1);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(iso_task_wait(tasks[i], LIMIT_NS), 0);
        seen |= 1 << iso_task_rank(tasks[i]);
        iso_task_free(tasks[i]);
    }
    CHECK_INT(seen, 0x1e);
    queue_end();
}

static void
test_a_busy_rank_is_passed_by(void)
{
    iso_task *held = NULL;
    queue_start(2);
    hold(1, &held);
    for (int i = 0; i < 100; i++)
        CHECK_INT(call(ISO_ANY_RANK, "who", NULL), 2);
    gate_set(1);
    expect(held, 1);
    queue_end();
}

/* ---- completions ---- */

static int
readable(int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    return poll(&item, 1, 0) == 1;
}

static int
becomes_readable(int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    return poll(&item, 1, 60000) == 1;
}

/* Submits `count` calls to rank 1 that notify, numbered from `first`. */
static void
submit_numbered(int first, int count)
{
    for (int i = first; i < first + count; i++) {
        char text[16];
        iso_task *task = NULL;
        snprintf(text, sizeof text, "%d", i);
        CHECK_INT(submit(1, "number", text, (void *)(intptr_t)i, ISO_SUBMIT_NOTIFY, &task), 0);
    }
}

static void
test_completions_in_order(void)
{
    iso_task *held = NULL, *tasks[8];
    int next = 1;
    queue_start(1);
    int fd = iso_engine_fd(engine);
    CHECK(fd >= 0 && !readable(fd));
    hold(1, &held);
    submit_numbered(1, 100);
    CHECK(!readable(fd));
    CHECK_INT(iso_engine_completions(engine, tasks, 8), 0);
    gate_set(1);
    while (next <= 100 && CHECK(becomes_readable(fd))) {
        size_t count = iso_engine_completions(engine, tasks, 8);
        for (size_t i = 0; i < count; i++, next++) {
            CHECK_INT((intptr_t)iso_task_user(tasks[i]), next);
            CHECK_INT(iso_task_result(tasks[i])->code, next);
            iso_task_free(tasks[i]);
        }
    }
    CHECK_INT(call(1, "number", "0"), 0); /* or the rank may still be about to make fd readable for what is taken */
    CHECK_INT(iso_engine_completions(engine, tasks, 8), 0);
    CHECK(!readable(fd));
    expect(held, 1);
    queue_end();
}

/* Readable exactly while completions wait: a batch that leaves some behind leaves it readable. */
static void
test_the_descriptor_says_what_waits(void)
{
    iso_task *task = NULL;
    queue_start(1);
    int fd = iso_engine_fd(engine);
    for (int round = 0; round < 500 / SCALE + 20; round++) {
        submit_numbered(1, 3);
        CHECK_INT(call(1, "number", "4"), 4); /* the three are done */
        CHECK(becomes_readable(fd));
        for (int left = 3; left > 0; left--) {
            CHECK(readable(fd));
            CHECK_INT(iso_engine_completions(engine, &task, 1), 1);
            iso_task_free(task);
        }
        CHECK(!readable(fd));
    }
    queue_end();
}

static void
test_a_completion_nobody_wants_is_dropped(void)
{
    iso_task *held = NULL, *tasks[3], *out = NULL;
    queue_start(1);
    int fd = iso_engine_fd(engine);
    hold(1, &held);
    for (int i = 0; i < 3; i++)
        CHECK_INT(submit(1, "count", NULL, NULL, ISO_SUBMIT_NOTIFY, &tasks[i]), 0);
    iso_task_free(tasks[0]); /* it still waits: it is not made */
    gate_set(1);
    expect(held, 1);
    CHECK_INT(call(1, "counts", NULL), 2);
    iso_task_free(tasks[1]); /* it is done: its completion goes */
    CHECK_INT(iso_engine_completions(engine, &out, 1), 1);
    CHECK(out == tasks[2]);
    CHECK_INT(iso_engine_completions(engine, &out, 1), 0);
    CHECK(!readable(fd));
    iso_task_free(tasks[2]);
    queue_end();
}

/* ---- long runs ---- */

static void
run_many(int count)
{
    iso_task *window[64] = {NULL};
    for (int i = 0; i < count; i++) {
        iso_task **slot = &window[i % 64];
        if (*slot != NULL && (iso_task_wait(*slot, LIMIT_NS) < 0 || iso_task_result(*slot)->code != 15))
            atomic_fetch_add(&wrong, 1);
        iso_task_free(*slot);
        if (submit(ISO_ANY_RANK, "own", "queue@192.0.2.1", NULL, 0, slot) < 0)
            atomic_fetch_add(&wrong, 1);
    }
    for (int i = 0; i < 64; i++)
        iso_task_free(window[i]);
}

static void
test_a_million_tasks_leave_nothing(void)
{
    queue_start(2);
    atomic_store(&wrong, 0);
    run_many(200000 / SCALE);
    long before = resident();
    run_many(1000000 / SCALE);
    if (SCALE == 1) /* a sanitizer keeps freed memory back */
        CHECK(resident() - before < GROWTH);
    CHECK_INT(atomic_load(&wrong), 0);
    queue_end();
}

static void
test_a_thousand_freed_in_flight(void)
{
    static iso_task *tasks[1000];
    queue_start(2);
    for (int round = 0; round < 40 / SCALE + 1; round++) {
        unsigned flags = round % 2 ? ISO_SUBMIT_NOTIFY : 0;
        for (int i = 0; i < 1000; i++)
            CHECK_INT(submit(ISO_ANY_RANK, "own", "queue@192.0.2.1", NULL, flags, &tasks[i]), 0);
        for (int i = 999; i >= 0; i--)
            iso_task_free(tasks[i]);
    }
    iso_task *out = NULL;
    CHECK_INT(call(1, "number", "6"), 6);
    CHECK_INT(call(2, "number", "6"), 6);
    CHECK_INT(iso_engine_completions(engine, &out, 1), 0);
    CHECK(!readable(iso_engine_fd(engine)));
    queue_end();
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_a_call_and_what_it_says), TEST(test_failures_are_results),
              TEST(test_a_name_is_what_its_text_is_now), TEST(test_arguments_are_refused),
              TEST(test_a_submit_before_the_start), TEST(test_arguments_are_copied), TEST(test_freed_while_it_waits),
              TEST(test_freed_while_it_runs), TEST(test_a_wait_that_ends_too_early), TEST(test_freed_at_any_moment),
              TEST(test_forget), TEST(test_a_full_queue_rejects), TEST(test_two_thousand_callers_on_one_rank),
              TEST(test_any_rank_takes_an_idle_one), TEST(test_a_busy_rank_is_passed_by),
              TEST(test_completions_in_order), TEST(test_the_descriptor_says_what_waits),
              TEST(test_a_completion_nobody_wants_is_dropped), TEST(test_a_million_tasks_leave_nothing),
              TEST(test_a_thousand_freed_in_flight));
}
