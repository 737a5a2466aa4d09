/* queue_host.h: the host of the queue tests: an engine with queue ranks, a gate that holds a rank in a host
 * function, threads, clocks. The script is tests/handlers/queue_basic.py. */
#ifndef ISO_QUEUE_HOST_H
#define ISO_QUEUE_HOST_H

#include <isoexec.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

/* A sanitizer makes a call some twenty times dearer; what it looks for needs fewer of them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SCALE 20
#else
#define SCALE 1
#endif

#define SECOND_NS INT64_C(1000000000)
#define LIMIT_NS (60 * SECOND_NS) /* no wait of a test takes longer: a hang is a failure */
#define SMALL_STACK (256u << 10)

static const char octets[] = "INVITE sip:bob@example.org SIP/2.0\r\n"
                             "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKqueue\r\n"
                             "From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.org>\r\n"
                             "Call-ID: queue@192.0.2.1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";

static iso_engine *engine;

/* More threads than cores: the process gets one. Before it starts others; needs _GNU_SOURCE and sched.h. */
#ifdef CPU_SET
static inline void
take_one_core(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        abort();
}
#endif

/* ---- time ---- */

static inline int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static inline void
pause_ms(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&left, NULL);
}

/* Waits until *value is at least `wanted`. */
static inline int
reaches(const atomic_int *value, int wanted)
{
    for (int64_t end = now_ns() + LIMIT_NS; now_ns() < end; pause_ms(1)) {
        if (atomic_load(value) >= wanted)
            return 1;
    }
    return 0;
}

/* ---- the gate: a host function that answers when the test opens it ---- */

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static int gate_is_open;
static atomic_int gate_entered, gate_left;

static inline int
gate(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err)
{
    (void)call;
    (void)argv;
    (void)argc;
    (void)user;
    (void)err;
    atomic_fetch_add(&gate_entered, 1);
    pthread_mutex_lock(&gate_lock);
    while (!gate_is_open)
        pthread_cond_wait(&gate_changed, &gate_lock);
    pthread_mutex_unlock(&gate_lock);
    atomic_fetch_add(&gate_left, 1);
    return 1;
}

static inline void
gate_set(int open)
{
    pthread_mutex_lock(&gate_lock);
    gate_is_open = open;
    pthread_cond_broadcast(&gate_changed);
    pthread_mutex_unlock(&gate_lock);
}

/* ---- the engine ---- */

/* ThreadSanitizer reports at times what a script prints; a test says itself what went wrong. */
static inline void
drop_log(void *user, int level, int rank, const char *text)
{
    (void)user;
    (void)level;
    (void)rank;
    (void)text;
}

static atomic_int ranks_left; /* replaced ranks whose call has ended, and their interpreter */

/* A log that counts them. */
static inline void
count_leaving(void *user, int level, int rank, const char *text)
{
    (void)user;
    (void)level;
    (void)rank;
    if (strstr(text, "has ended after all") != NULL)
        atomic_fetch_add(&ranks_left, 1);
}

static const iso_function gate_function = {
    .name = "gate", .signature = "", .function = gate, .flags = ISO_FUNCTION_BLOCKING};

/* A script of tests/handlers. */
static inline void
config_script(iso_config *config, const char *name)
{
    static char script[4096];
    const char *source = getenv("ISOEXEC_SOURCE");
    snprintf(script, sizeof script, "%s/tests/handlers/%s", source != NULL ? source : ".", name);
    config->script_name = script;
}

static inline void
config_init(iso_config *config, int ranks, int channel)
{
    iso_config_init(config);
    config_script(config, "queue_basic.py");
    config->ranks = ranks;
    config->channel = channel;
    const char *level = getenv("ISOEXEC_LEVEL"); /* the suite runs again on other levels */
    if (level != NULL)
        CHECK_INT(iso_config_set(config, "isolation", level, NULL), 0);
    config->log = drop_log;
    config->functions = &gate_function;
    config->function_count = 1;
    gate_set(0);
    atomic_store(&gate_entered, 0);
    atomic_store(&gate_left, 0);
}

/* Makes `engine` and starts its ranks; a test that has none can not go on. */
static inline void
engine_start(const iso_config *config)
{
    iso_error err;
    if (iso_engine_create(&engine, config, &err) < 0 ||
        (config->channel == ISO_CHANNEL_QUEUE && iso_engine_start(engine, &err) < 0)) {
        printf("no engine: %s\n%s\n", err.message, err.traceback);
        exit(1);
    }
}

static inline void
queue_start(int ranks)
{
    iso_config config;
    config_init(&config, ranks, ISO_CHANNEL_QUEUE);
    engine_start(&config);
}

static inline void
queue_end(void)
{
    gate_set(1);
    CHECK_INT(iso_engine_destroy(engine), 0);
    engine = NULL;
}

/* ---- calls ---- */

static inline iso_str
text_of(const char *text)
{
    return (iso_str){text, text != NULL ? strlen(text) : 0};
}

/* One call of a rank that this thread has opened. */
static inline iso_result
run_on(iso_rank *rank, const char *method, const char *extra)
{
    iso_msg msg;
    iso_result result;
    iso_msg_init(&msg, octets, sizeof octets - 1);
    CHECK_INT(iso_python_exec(rank, method, &msg, text_of(extra), &result), 0);
    return result;
}

static inline int
submit(int rank, const char *method, const char *extra, void *user, unsigned flags, iso_task **out)
{
    iso_msg msg;
    iso_msg_init(&msg, octets, sizeof octets - 1);
    return iso_submit(engine, rank, method, &msg, text_of(extra), user, flags, out);
}

/* The code of a call that is waited for, or the negative error, minus 1000. Frees the task. */
static inline int
call_for(int rank, const char *method, const char *extra, int *outcome_out)
{
    iso_task *task = NULL;
    int rc = submit(rank, method, extra, NULL, 0, &task);
    if (rc == 0)
        rc = iso_task_wait(task, LIMIT_NS);
    const iso_result *result = rc == 0 ? iso_task_result(task) : NULL;
    int code = result != NULL ? result->code : rc - 1000;
    *outcome_out = result != NULL ? result->outcome : ISO_OUTCOME_REFUSED;
    iso_task_free(task);
    return code;
}

static inline int
call(int rank, const char *method, const char *extra)
{
    int outcome;
    return call_for(rank, method, extra, &outcome);
}

/* Whether a short call's answer says no more than that the machine stood still meanwhile. */
static inline int
was_late(int outcome, int64_t began, int64_t deadline_ns)
{
    return outcome == ISO_OUTCOME_DEADLINE && now_ns() - began >= deadline_ns;
}

/* run_on and call for short calls of ranks that have a deadline: made again when they were late. */
static inline iso_result
run_in_time(iso_rank *rank, const char *method, int64_t deadline_ns)
{
    for (;;) {
        int64_t began = now_ns();
        iso_result result = run_on(rank, method, NULL);
        if (!was_late(result.outcome, began, deadline_ns))
            return result;
    }
}

static inline int
call_in_time(int rank, const char *method, int64_t deadline_ns)
{
    for (;;) {
        int outcome;
        int64_t began = now_ns();
        int code = call_for(rank, method, NULL, &outcome);
        if (!was_late(outcome, began, deadline_ns))
            return code;
    }
}

/* Holds rank `number` in the gate; *out is the call that does. */
static inline void
hold(int number, iso_task **out)
{
    int before = atomic_load(&gate_entered);
    CHECK_INT(submit(number, "calls", "gate", NULL, 0, out), 0);
    CHECK(reaches(&gate_entered, before + 1));
}

/* Waits for a call that must have answered `code`, and frees it. */
static inline void
expect(iso_task *task, int code)
{
    CHECK_INT(iso_task_wait(task, LIMIT_NS), 0);
    const iso_result *result = iso_task_result(task);
    if (CHECK(result != NULL))
        CHECK_INT(result->code, code);
    iso_task_free(task);
}

/* Arguments of a host function, with a space between them. */
static inline void
join_words(const iso_value *words, int count, char *to, size_t size)
{
    to[0] = '\0';
    for (int i = 0; i < count; i++) {
        size_t n = strlen(to);
        snprintf(to + n, size - n, "%s%.*s", n ? " " : "", (int)words[i].str.n, words[i].str.p);
    }
}

#define WINDOW 8

/* Keeps WINDOW calls in flight, for one rank or any, and checks each answer: the call's number, which `format` writes
 * into the extra. */
static inline void
call_in_flight(int rank, const char *method, const char *format, int calls)
{
    iso_task *tasks[WINDOW] = {NULL};
    char text[64];
    for (int i = 0; i < calls + WINDOW; i++) {
        iso_task **slot = &tasks[i % WINDOW];
        if (*slot != NULL)
            expect(*slot, i - WINDOW);
        *slot = NULL;
        snprintf(text, sizeof text, format, i);
        if (i < calls)
            CHECK_INT(submit(rank, method, text, NULL, 0, slot), 0);
    }
}

static inline pthread_t
thread_start(void *(*work)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, SMALL_STACK);
    if (pthread_create(&thread, &attributes, work, argument) != 0)
        abort();
    pthread_attr_destroy(&attributes);
    return thread;
}

/* Memory of the process, in octets. */
static inline long
resident(void)
{
    long pages = 0, total;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%ld %ld", &total, &pages) != 2)
        pages = 0;
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

#endif
