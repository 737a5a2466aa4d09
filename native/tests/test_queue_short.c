/* test_queue_short.c: the queue channel with more threads than cores: the process has one. And calls that a rank
 * took out of its queue ahead. */
#define _GNU_SOURCE
#include <sched.h>

#include "queue_host.h"

#define AHEAD 10

/* Waits until so many calls wait for rank 1, and no more. */
static int
rank_leaves(uint32_t waiting)
{
    for (int64_t end = now_ns() + LIMIT_NS; now_ns() < end; pause_ms(1)) {
        iso_rank_stats stats;
        if (iso_engine_stats(engine, 1, &stats) == 0 && stats.waiting == waiting)
            return 1;
    }
    return 0;
}

/* Makes rank 1 take a slow call and the others, up to AHEAD, in one go. */
static void
take_together(const char *seconds, iso_task **slow, const char *method, unsigned flags, iso_task **tasks, int count)
{
    iso_task *held = NULL;
    hold(1, &held);
    CHECK_INT(submit(1, "sleep", seconds, NULL, 0, slow), 0);
    for (int i = 0; i < count; i++)
        CHECK_INT(submit(1, method, NULL, NULL, flags, &tasks[i]), 0);
    CHECK(rank_leaves((uint32_t)count + 1));
    gate_set(1);
    expect(held, 1);
    CHECK(rank_leaves((uint32_t)count));
}

static void
test_a_call_taken_ahead_is_freed(void)
{
    iso_task *slow = NULL, *tasks[AHEAD];
    queue_start(1);
    take_together("0.3", &slow, "count", 0, tasks, AHEAD);
    iso_task_free(tasks[0]);
    iso_task_free(tasks[AHEAD - 1]);
    for (int i = 1; i < AHEAD - 1; i++)
        expect(tasks[i], i);
    expect(slow, 1);
    CHECK_INT(call(1, "counts", NULL), AHEAD - 2);
    queue_end();
}

static void *
destroy(void *abandoned)
{
    *(int *)abandoned = iso_engine_destroy(engine);
    return NULL;
}

/* They end at once, not when the running call does; and nobody waits for those to be forgotten. */
static void
test_calls_taken_ahead_when_the_engine_ends(void)
{
    for (int notify = 0; notify <= 1; notify++) {
        iso_task *slow = NULL, *tasks[AHEAD];
        int abandoned = -1;
        queue_start(1);
        take_together("3", &slow, "one", notify ? ISO_SUBMIT_NOTIFY : 0, tasks, AHEAD);
        CHECK_INT(submit(1, "one", NULL, NULL, ISO_SUBMIT_FORGET, NULL), 0);
        pthread_t destroyer = thread_start(destroy, &abandoned);
        for (int i = 0; i < AHEAD; i++) {
            CHECK_INT(iso_task_wait(tasks[i], LIMIT_NS), 0);
            CHECK_INT(iso_task_result(tasks[i])->outcome, ISO_OUTCOME_REFUSED);
            iso_task_free(tasks[i]);
        }
        CHECK(iso_task_result(slow) == NULL);
        pthread_join(destroyer, NULL);
        CHECK_INT(abandoned, 0);
        expect(slow, 1);
    }
}

/* What runs has the grace time, also if it was taken together with others, and not as the first of them. */
static void
test_a_running_call_when_the_engine_ends(void)
{
    iso_task *quick = NULL, *slow = NULL, *held = NULL, *last = NULL;
    queue_start(1);
    hold(1, &held);
    CHECK_INT(submit(1, "one", NULL, NULL, 0, &quick), 0);
    CHECK_INT(submit(1, "sleep", "0.5", NULL, 0, &slow), 0);
    CHECK_INT(submit(1, "one", NULL, NULL, 0, &last), 0);
    gate_set(1);
    CHECK(rank_leaves(1));
    expect(quick, 1);
    CHECK_INT(iso_engine_destroy(engine), 0);
    expect(slow, 1);
    CHECK_INT(iso_task_result(last)->outcome, ISO_OUTCOME_REFUSED);
    iso_task_free(last);
    expect(held, 1);
}

static void *
wait_for(void *task)
{
    expect(task, 1);
    return NULL;
}

/* A rank that has more to do may leave a submitter asleep, but not for as long as the next call takes. */
static void
test_a_slow_call_does_not_keep_a_submitter_asleep(void)
{
    iso_task *held = NULL, *quick = NULL, *slow = NULL, *last = NULL;
    queue_start(1);
    hold(1, &held);
    CHECK_INT(submit(1, "one", NULL, NULL, 0, &quick), 0);
    CHECK_INT(submit(1, "sleep", "3", NULL, 0, &slow), 0);
    CHECK_INT(submit(1, "one", NULL, NULL, 0, &last), 0);
    pthread_t waiter = thread_start(wait_for, quick);
    pause_ms(20);
    gate_set(1);
    pthread_join(waiter, NULL);
    CHECK(iso_task_result(slow) == NULL);
    expect(slow, 1);
    expect(last, 1);
    expect(held, 1);
    queue_end();
}

#define CALLERS 4

static void *
call_and_check(void *which)
{
    call_in_flight(*(int *)which, "number", "%d", 4000 / SCALE);
    return which;
}

static void
test_each_caller_gets_its_answers(void)
{
    pthread_t threads[2 * CALLERS];
    int ranks[2 * CALLERS];
    queue_start(CALLERS);
    for (int i = 0; i < 2 * CALLERS; i++) {
        ranks[i] = i < CALLERS ? ISO_ANY_RANK : i - CALLERS + 1;
        threads[i] = thread_start(call_and_check, &ranks[i]);
    }
    for (int i = 0; i < 2 * CALLERS; i++)
        pthread_join(threads[i], NULL);
    queue_end();
}

int
main(int argc, char **argv)
{
    take_one_core();
    TEST_MAIN(argc, argv, TEST(test_a_call_taken_ahead_is_freed), TEST(test_calls_taken_ahead_when_the_engine_ends),
              TEST(test_a_running_call_when_the_engine_ends), TEST(test_a_slow_call_does_not_keep_a_submitter_asleep),
              TEST(test_each_caller_gets_its_answers));
}
