/* test_queue_together.c: calls for any rank that one rank took together, with more threads than cores: the process has
 * one. They wait behind a call of that rank, and whoever has time may have them. */
#define _GNU_SOURCE
#include <sched.h>

#include "queue_host.h"

#define WAITING 6 /* calls that are taken together with a slow one */
#define TRIES 50
#define GRACE_NS 300000000

/* The function `door`: as the gate, for another rank. */
static atomic_int door_is_open, door_entered;

static int
door(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err)
{
    (void)call;
    (void)argv;
    (void)argc;
    (void)user;
    (void)err;
    atomic_fetch_add(&door_entered, 1);
    while (!atomic_load(&door_is_open))
        pause_ms(1);
    return 1;
}

/* `pass METHOD [EXTRA]`: a call of any rank, from inside a call; its answer, or a code below -1000. */
static int
pass(const iso_call *from, const iso_value *argv, int argc, void *user, iso_error *err)
{
    char method[16], extra[64];
    (void)from;
    (void)user;
    (void)err;
    snprintf(method, sizeof method, "%.*s", (int)argv[0].str.n, argv[0].str.p);
    join_words(argv + 1, argc - 1, extra, sizeof extra);
    return call(ISO_ANY_RANK, method, extra);
}

static const iso_function functions[] = {
    {.name = "gate", .signature = "", .function = gate, .flags = ISO_FUNCTION_BLOCKING},
    {.name = "door", .signature = "", .function = door, .flags = ISO_FUNCTION_BLOCKING},
    {.name = "pass", .signature = "ss*", .function = pass, .flags = ISO_FUNCTION_BLOCKING},
};

static void
start(int ranks, int64_t deadline_ns)
{
    static const iso_override patient = {2, 2, "deadline", "none"};
    iso_config config;
    config_init(&config, ranks, ISO_CHANNEL_QUEUE);
    config.functions = functions;
    config.function_count = sizeof functions / sizeof functions[0];
    config.log = count_leaving;
    if (deadline_ns > 0) {
        config.deadline = (uint64_t)deadline_ns;
        config.grace = GRACE_NS;
        config.overrides = &patient;
        config.override_count = 1;
    }
    atomic_store(&door_is_open, 0);
    engine_start(&config);
}

static int
waiting(int rank)
{
    iso_rank_stats stats;
    CHECK_INT(iso_engine_stats(engine, rank, &stats), 0);
    return (int)stats.waiting;
}

/* Rank 2 is in the gate: what comes for any rank is rank 1's. Its calls turn out to be short. */
static void
run_short_ones(void)
{
    iso_task *tasks[8];
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 8; i++)
            CHECK_INT(submit(ISO_ANY_RANK, "one", NULL, NULL, 0, &tasks[i]), 0);
        for (int i = 0; i < 8; i++)
            expect(tasks[i], 1);
    }
}

/* One try to have rank 1 in the door, with the others waiting behind that call. (In one turn of sixteen it asks for
 * calls for any rank first: then `busy` waits there too.) */
static int
take_together(iso_task **busy, iso_task **slow, const char *method, iso_task **tasks)
{
    int before = atomic_load(&door_entered);
    run_short_ones();
    CHECK_INT(submit(1, "sleep", "0.01", NULL, 0, busy), 0);
    CHECK_INT(submit(ISO_ANY_RANK, "calls", "door", NULL, 0, slow), 0);
    for (int i = 0; i < WAITING; i++)
        CHECK_INT(submit(ISO_ANY_RANK, method, NULL, NULL, 0, &tasks[i]), 0);
    CHECK(reaches(&door_entered, before + 1));
    return waiting(1) == WAITING && iso_task_result(*busy) != NULL;
}

/* A machine that is busy makes short calls long now and then, and a sanitizer most of them: then few or none are taken
 * together, and it is tried again. */
static void
arrange(iso_task **held, iso_task **slow, const char *method, iso_task **tasks)
{
    iso_task *busy = NULL;
    hold(2, held);
    for (int i = 0; !take_together(&busy, slow, method, tasks); i++) {
        if (i == TRIES && !CHECK(SCALE > 1))
            exit(1);
        if (i == TRIES)
            break;
        atomic_store(&door_is_open, 1);
        expect(*slow, 1);
        expect(busy, 1);
        for (int k = 0; k < WAITING; k++) {
            CHECK_INT(iso_task_wait(tasks[k], LIMIT_NS), 0);
            iso_task_free(tasks[k]);
        }
        atomic_store(&door_is_open, 0);
    }
    iso_task_free(busy);
}

static void
end(iso_task *held, iso_task *slow)
{
    atomic_store(&door_is_open, 1);
    gate_set(1);
    expect(slow, 1);
    expect(held, 1);
    queue_end();
}

static void
test_a_rank_with_nothing_to_do_takes_them(void)
{
    iso_task *held = NULL, *slow = NULL, *tasks[WAITING];
    start(2, 0);
    arrange(&held, &slow, "who", tasks);
    gate_set(1);
    for (int i = 0; i < WAITING; i++)
        expect(tasks[i], 2);
    CHECK(iso_task_result(slow) == NULL);
    end(held, slow);
}

static atomic_int enough;

/* Keeps rank 2 busy with calls of its own, so that there is always one that waits. */
static void *
keep_busy(void *unused)
{
    iso_task *tasks[8] = {NULL};
    for (unsigned i = 0; !atomic_load(&enough); i++) {
        iso_task **slot = &tasks[i % 8];
        if (*slot != NULL)
            expect(*slot, 1);
        CHECK_INT(submit(2, "sleep", "0.002", NULL, 0, slot), 0);
    }
    for (int i = 0; i < 8; i++) {
        if (tasks[i] != NULL)
            expect(tasks[i], 1);
    }
    return unused;
}

static void
test_a_rank_that_is_busy_takes_them_too(void)
{
    iso_task *held = NULL, *slow = NULL, *tasks[WAITING];
    start(2, 0);
    arrange(&held, &slow, "who", tasks);
    atomic_store(&enough, 0);
    pthread_t busy = thread_start(keep_busy, NULL);
    while (waiting(2) == 0)
        pause_ms(1);
    gate_set(1);
    for (int i = 0; i < WAITING; i++)
        expect(tasks[i], 2);
    CHECK(iso_task_result(slow) == NULL);
    atomic_store(&enough, 1);
    pthread_join(busy, NULL);
    end(held, slow);
}

static void
test_freed_meanwhile(void)
{
    iso_task *held = NULL, *slow = NULL, *tasks[WAITING];
    start(2, 0);
    arrange(&held, &slow, "count", tasks);
    iso_task_free(tasks[0]);
    iso_task_free(tasks[WAITING - 1]);
    gate_set(1);
    for (int i = 1; i < WAITING - 1; i++)
        expect(tasks[i], i);
    CHECK_INT(call(2, "counts", NULL), WAITING - 2);
    end(held, slow);
}

static void *
destroy(void *abandoned)
{
    *(int *)abandoned = iso_engine_destroy(engine);
    return NULL;
}

static void
test_the_engine_ends(void)
{
    iso_task *held = NULL, *slow = NULL, *tasks[WAITING];
    int abandoned = -1;
    start(2, 0);
    arrange(&held, &slow, "one", tasks);
    pthread_t destroyer = thread_start(destroy, &abandoned);
    for (int i = 0; i < WAITING; i++) {
        CHECK_INT(iso_task_wait(tasks[i], LIMIT_NS), 0);
        CHECK_INT(iso_task_result(tasks[i])->outcome, ISO_OUTCOME_REFUSED);
        iso_task_free(tasks[i]);
    }
    CHECK(iso_task_result(slow) == NULL);
    atomic_store(&door_is_open, 1);
    gate_set(1);
    pthread_join(destroyer, NULL);
    CHECK_INT(abandoned, 0);
    expect(slow, 1);
    expect(held, 1);
}

static void
test_their_rank_is_replaced(void)
{
    iso_task *held = NULL, *slow = NULL, *tasks[WAITING];
    start(2, GRACE_NS);
    arrange(&held, &slow, "who", tasks);
    expect(slow, -1);
    for (int i = 0; i < WAITING; i++)
        expect(tasks[i], 1);
    atomic_store(&door_is_open, 1);
    CHECK(reaches(&ranks_left, 1)); /* the old one comes back, and leaves */
    gate_set(1);
    expect(held, 1);
    queue_end();
}

#define CALLERS 8

/* Each call makes one, which makes one: all for any rank. */
static void *
call_three_deep(void *unused)
{
    call_in_flight(ISO_ANY_RANK, "calls", "pass calls pass number %d", 2000 / SCALE);
    return unused;
}

static void
test_calls_that_wait_for_such_calls(void)
{
    pthread_t threads[CALLERS];
    start(4, 0);
    for (int i = 0; i < CALLERS; i++)
        threads[i] = thread_start(call_three_deep, NULL);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    queue_end();
}

int
main(int argc, char **argv)
{
    take_one_core();
    TEST_MAIN(argc, argv, TEST(test_a_rank_with_nothing_to_do_takes_them),
              TEST(test_a_rank_that_is_busy_takes_them_too), TEST(test_freed_meanwhile), TEST(test_the_engine_ends),
              TEST(test_their_rank_is_replaced), TEST(test_calls_that_wait_for_such_calls));
}
