/* test_mailbox.c: what others want of a rank while it works: looks, the descriptor of an inline rank, the
 * engine's wish to close, and counters that are right at any moment. */
#define _GNU_SOURCE
#include "queue_host.h"

#define ANSWER 65536

static int64_t
look(int rank, const char *what, const char *argument, int timeout_ms, char *to, iso_error *err)
{
    return iso_engine_look(engine, rank, what, text_of(argument), timeout_ms, to, ANSWER, err);
}

static void
look_start(int ranks, int channel)
{
    iso_config config;
    config_init(&config, ranks, channel);
    config.allow_look = 1;
    engine_start(&config);
}

/* ---- looks at queue ranks ---- */

static void
test_every_look_answers(void)
{
    static const struct {
        const char *what, *part;
    } looks[] = {{"versions", "python"}, {"modules", "queue_basic"}, {"memory", "blocks"}, {"threads", "MainThread"}};
    static char answer[ANSWER];
    iso_error err;
    look_start(2, ISO_CHANNEL_QUEUE);
    CHECK_INT(call(1, "start", NULL), 1);
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        int64_t n = look(1, looks[i].what, NULL, 10000, answer, &err);
        CHECK(n > 0 && (answer[0] == '{' || answer[0] == '['));
        CHECK_INT(strlen(answer), n);
        if (!CHECK(strcasestr(answer, looks[i].part) != NULL))
            printf("%s: %.500s\n", looks[i].what, answer);
    }
    CHECK_INT(call(1, "stop", NULL), 1);
    queue_end();
}

static void
test_a_snippet_runs(void)
{
    static char answer[ANSWER];
    iso_error err;
    look_start(1, ISO_CHANNEL_QUEUE);
    CHECK_INT(look(1, "run", "result = {'sum': sum(range(5))}", 10000, answer, &err), 11);
    CHECK_TEXT(answer, strlen(answer), "{\"sum\": 10}");
    CHECK_INT(look(1, "run", "raise LookupError('in the snippet')", 10000, answer, &err), ISO_EFUNCTION);
    CHECK(strstr(err.message, "in the snippet") != NULL || strstr(err.traceback, "in the snippet") != NULL);
    CHECK_INT(look(1, "run", "this is no Python", 10000, answer, &err), ISO_EFUNCTION);
    CHECK_INT(look(1, "run", "raise SystemExit", 10000, answer, &err), ISO_EFUNCTION);
    CHECK_INT(call(1, "one", NULL), 1);
    queue_end();
}

static void
test_looks_that_are_refused(void)
{
    static char answer[ANSWER];
    char little[8];
    iso_error err;
    queue_start(1);
    CHECK_INT(look(1, "run", "result = 1", 10000, answer, &err), ISO_ESTATE);
    CHECK_INT(look(1, "nothing", NULL, 10000, answer, &err), ISO_EINVAL);
    CHECK_INT(look(0, "memory", NULL, 10000, answer, &err), ISO_EINVAL);
    CHECK_INT(look(2, "memory", NULL, 10000, answer, &err), ISO_EINVAL);
    CHECK_INT(look(1, NULL, NULL, 10000, answer, &err), ISO_EINVAL);
    memset(little, 'Z', sizeof little);
    int64_t n = iso_engine_look(engine, 1, "modules", text_of(NULL), 10000, little, sizeof little, &err);
    CHECK(n >= (int64_t)sizeof little); /* the length it has */
    CHECK_INT(strlen(little), sizeof little - 1);
    CHECK(iso_engine_look(engine, 1, "memory", text_of(NULL), 10000, answer, sizeof answer, NULL) > 0);
    queue_end();
}

static void
test_a_look_at_a_busy_rank(void)
{
    static char answer[ANSWER];
    iso_task *held = NULL;
    iso_error err;
    look_start(2, ISO_CHANNEL_QUEUE);
    hold(1, &held);
    for (int ms = 0; ms <= 40; ms += 20)
        CHECK_INT(look(1, "memory", NULL, ms, answer, &err), ISO_ETIMEDOUT);
    CHECK(look(2, "memory", NULL, 10000, answer, &err) > 0);
    gate_set(1);
    expect(held, 1);
    CHECK(look(1, "memory", NULL, 10000, answer, &err) > 0);
    CHECK_INT(call(1, "one", NULL), 1);
    queue_end();
}

/* Whose sender has given up is not done, and no more than 64 wait. */
static void
test_looks_that_nobody_waits_for(void)
{
    static char answer[ANSWER];
    iso_task *held = NULL;
    iso_error err;
    int late = 0, refused = 0;
    look_start(1, ISO_CHANNEL_QUEUE);
    CHECK_INT(look(1, "run", "import builtins; builtins.ran = 0; result = 0", 10000, answer, &err), 1);
    hold(1, &held);
    for (int i = 0; i < 100; i++) {
        int64_t code = look(1, "run", "import builtins; builtins.ran += 1; result = 0", 0, answer, &err);
        late += code == ISO_ETIMEDOUT;
        refused += code == ISO_EOVERLOAD;
    }
    CHECK_INT(late, 64);
    CHECK_INT(refused, 36);
    CHECK(strstr(err.message, "rank 1") != NULL);
    gate_set(1);
    expect(held, 1);
    CHECK_INT(call(1, "one", NULL), 1); /* after what waited */
    CHECK_INT(look(1, "run", "import builtins; result = builtins.ran", 10000, answer, &err), 1);
    CHECK_TEXT(answer, strlen(answer), "0");
    queue_end();
}

static atomic_int wrong, looked, stopping;

static void *
look_again_and_again(void *argument)
{
    static const char *const topics[] = {"versions", "modules", "memory", "threads"};
    char *answer = malloc(ANSWER);
    iso_error err;
    for (int i = 0; !atomic_load(&stopping); i++) {
        int rank = (int)(intptr_t)argument % 2 + 1;
        if (answer == NULL || look(rank, topics[i % 4], NULL, 30000, answer, &err) <= 0)
            atomic_fetch_add(&wrong, 1);
        atomic_fetch_add(&looked, 1);
    }
    free(answer);
    return NULL;
}

static void
test_looks_while_calls_run(void)
{
    pthread_t threads[4];
    look_start(2, ISO_CHANNEL_QUEUE);
    atomic_store(&wrong, 0);
    atomic_store(&looked, 0);
    atomic_store(&stopping, 0);
    for (int i = 0; i < 4; i++)
        threads[i] = thread_start(look_again_and_again, (void *)(intptr_t)i);
    for (int i = 0; i < 1000 / SCALE; i++)
        CHECK_INT(call(ISO_ANY_RANK, "number", "31"), 31);
    CHECK(reaches(&looked, 40));
    atomic_store(&stopping, 1);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&wrong), 0);
    queue_end();
}

/* ---- an inline rank ---- */

static void *
look_once(void *argument)
{
    static char answer[ANSWER];
    iso_error err;
    int64_t *n = argument;
    *n = look(1, "memory", NULL, 30000, answer, &err);
    return NULL;
}

static int
becomes_readable(int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    return poll(&item, 1, 60000) == 1;
}

static void
test_an_inline_rank_is_served_by_its_host(void)
{
    iso_rank *rank = NULL;
    iso_error err;
    iso_msg msg;
    iso_result result;
    int64_t n = 0;
    look_start(1, ISO_CHANNEL_INLINE);
    CHECK_INT(iso_rank_open(engine, 1, &rank, &err), 0);
    int fd = iso_rank_fd(rank);
    struct pollfd item = {.fd = fd, .events = POLLIN};
    CHECK(fd >= 0 && poll(&item, 1, 0) == 0);
    for (int by_call = 0; by_call < 2; by_call++) {
        pthread_t thread = thread_start(look_once, &n);
        CHECK(becomes_readable(fd));
        iso_msg_init(&msg, octets, sizeof octets - 1);
        if (by_call)
            CHECK_INT(iso_python_exec(rank, "one", &msg, text_of(NULL), &result), 0);
        else
            CHECK_INT(iso_rank_service(rank), 0);
        pthread_join(thread, NULL);
        CHECK(n > 0);
        if (by_call)
            CHECK_INT(iso_rank_service(rank), 0);
        CHECK_INT(poll(&item, 1, 0), 0);
    }
    CHECK_INT(iso_rank_close(rank), 0);
    CHECK_INT(look(1, "memory", NULL, 100, (char[ANSWER]){0}, &err), ISO_ESTATE);
    queue_end();
}

static void *
service_elsewhere(void *rank)
{
    if (iso_rank_service(rank) != ISO_ETHREAD)
        atomic_fetch_add(&wrong, 1);
    return NULL;
}

static void *
destroy(void *argument)
{
    int *abandoned = argument;
    *abandoned = iso_engine_destroy(engine);
    return NULL;
}

static void
test_the_host_is_told_to_close(void)
{
    iso_rank *rank = NULL;
    iso_error err;
    int abandoned = -1;
    look_start(1, ISO_CHANNEL_INLINE);
    atomic_store(&wrong, 0);
    CHECK_INT(iso_rank_open(engine, 1, &rank, &err), 0);
    pthread_join(thread_start(service_elsewhere, rank), NULL);
    CHECK_INT(atomic_load(&wrong), 0);
    pthread_t thread = thread_start(destroy, &abandoned);
    CHECK(becomes_readable(iso_rank_fd(rank)));
    CHECK_INT(iso_rank_service(rank), 1);
    CHECK_INT(iso_rank_close(rank), 0);
    pthread_join(thread, NULL);
    CHECK_INT(abandoned, 0);
}

/* ---- statistics ---- */

/* What one picture must say of itself. */
static void
check_stats(const iso_rank_stats *stats, const iso_rank_stats *before)
{
    uint64_t ended = 0, sampled = 0;
    for (int i = 0; i < ISO_OUTCOME_COUNT; i++)
        ended += stats->outcomes[i];
    for (int i = 0; i < ISO_HISTOGRAM_BUCKETS; i++)
        sampled += stats->histogram[i];
    CHECK_INT(ended, stats->calls);
    CHECK_INT(sampled, stats->sampled);
    CHECK(stats->calls >= before->calls && stats->sampled >= before->sampled && stats->edits >= before->edits);
    CHECK(stats->open == 1 && stats->opened_ns > 0 && stats->opened_ns >= before->opened_ns);
}

static void *
keep_calling(void *argument)
{
    int rank = (int)(intptr_t)argument + 1;
    while (!atomic_load(&stopping)) {
        if (call(rank, "own", "queue@192.0.2.1") != 15 || call(rank, "raises", NULL) != -1)
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

static void
test_statistics_while_ranks_work(void)
{
    static iso_rank_stats before[2], stats;
    pthread_t threads[2];
    iso_config config;
    config_init(&config, 2, ISO_CHANNEL_QUEUE);
    config.timing = ISO_TIMING_FULL;
    engine_start(&config);
    memset(before, 0, sizeof before);
    atomic_store(&wrong, 0);
    atomic_store(&stopping, 0);
    for (int i = 0; i < 2; i++)
        threads[i] = thread_start(keep_calling, (void *)(intptr_t)i);
    for (int i = 0; i < 20000 / SCALE && test_failed_checks < 10; i++) {
        CHECK_INT(iso_engine_stats(engine, i % 2 + 1, &stats), 0);
        check_stats(&stats, &before[i % 2]);
        before[i % 2] = stats;
    }
    while (before[0].calls < 100) {
        CHECK_INT(iso_engine_stats(engine, 1, &before[0]), 0);
        pause_ms(1);
    }
    atomic_store(&stopping, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(iso_engine_stats(engine, 1, &stats), 0);
    CHECK_INT(stats.outcomes[ISO_OUTCOME_RETURNED], stats.outcomes[ISO_OUTCOME_RAISED]);
    CHECK_INT(stats.edits, stats.outcomes[ISO_OUTCOME_RETURNED] * 2);
    CHECK_INT(atomic_load(&wrong), 0);
    queue_end();
}

static void
test_what_waits_is_counted(void)
{
    iso_task *held = NULL;
    iso_rank_stats stats;
    queue_start(1);
    hold(1, &held);
    for (int i = 0; i < 10; i++)
        CHECK_INT(submit(1, "one", NULL, NULL, ISO_SUBMIT_FORGET, NULL), 0);
    CHECK_INT(iso_engine_stats(engine, 1, &stats), 0);
    CHECK_INT(stats.waiting, 10);
    gate_set(1);
    expect(held, 1);
    CHECK_INT(call(1, "one", NULL), 1);
    CHECK_INT(iso_engine_stats(engine, 1, &stats), 0);
    CHECK_INT(stats.waiting, 0);
    CHECK(stats.opened_ns > 0 && stats.opened_ns < 600 * SECOND_NS); /* an age */
    CHECK_INT(stats.calls, 12);
    queue_end();
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_every_look_answers), TEST(test_a_snippet_runs), TEST(test_looks_that_are_refused),
              TEST(test_a_look_at_a_busy_rank), TEST(test_looks_that_nobody_waits_for),
              TEST(test_looks_while_calls_run), TEST(test_an_inline_rank_is_served_by_its_host),
              TEST(test_the_host_is_told_to_close), TEST(test_statistics_while_ranks_work),
              TEST(test_what_waits_is_counted));
}
