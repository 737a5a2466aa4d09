/* test_proxy_timer.c: the timer wheel against a plain list of when each timer is due. */
#include <stdlib.h>

#include "test.h"
#include "timer.h"

enum { TIMERS = 4000 };

struct alarm {
    proxy_timer timer;
    uint64_t due, fired_at;
    int fired, again;
};

static proxy_wheel wheel;
static uint64_t now;
static struct alarm alarms[TIMERS];

static void
fire(proxy_timer *timer, void *worker)
{
    struct alarm *self = PROXY_OWNER(timer, struct alarm, timer);
    CHECK(worker == &wheel);
    self->fired++;
    self->fired_at = now;
    if (self->again) {
        self->again = 0;
        proxy_timer_set(&wheel, timer, now, 0, fire); /* due now: fires in this run */
    }
}

static void
set(struct alarm *self, uint64_t after)
{
    *self = (struct alarm){.due = now + after};
    proxy_timer_set(&wheel, &self->timer, now, after, fire);
}

/* Goes as a worker does: to when the wheel wants to run. */
static void
run_to(uint64_t end)
{
    uint64_t next;
    while ((next = proxy_wheel_next(&wheel)) <= end) {
        now = next > now ? next : now;
        proxy_wheel_run(&wheel, now, &wheel);
    }
    now = end;
    proxy_wheel_run(&wheel, now, &wheel);
}

static void
test_each_fires_once_and_in_time(void)
{
    static const uint64_t spans[] = {1, 500, 4000, 32000, 180000, 3600000, 100000000};
    now = 123456789;
    srand(1);
    proxy_wheel_init(&wheel, now);
    for (int i = 0; i < TIMERS; i++)
        set(&alarms[i], (uint64_t)rand() % spans[i % 7]);
    run_to(now + 100000000);
    for (int i = 0; i < TIMERS; i++) {
        CHECK_INT(alarms[i].fired, 1);
        CHECK(alarms[i].fired_at >= alarms[i].due);
        CHECK(alarms[i].fired_at <= alarms[i].due + PROXY_TICK_MS);
    }
    CHECK_INT(wheel.count, 0);
    CHECK(proxy_wheel_next(&wheel) == UINT64_MAX);
}

static void
test_ended_and_moved(void)
{
    now = 1000;
    proxy_wheel_init(&wheel, now);
    for (int i = 0; i < TIMERS; i++)
        set(&alarms[i], (uint64_t)(i % 9000));
    for (int i = 0; i < TIMERS; i += 2)
        proxy_timer_end(&wheel, &alarms[i].timer);
    proxy_timer_end(&wheel, &alarms[0].timer); /* twice is no harm */
    for (int i = 1; i < TIMERS; i += 4)
        proxy_timer_set(&wheel, &alarms[i].timer, now, 20000, fire);
    run_to(15000);
    for (int i = 0; i < TIMERS; i++)
        CHECK_INT(alarms[i].fired, i % 4 == 3);
    run_to(30000);
    for (int i = 1; i < TIMERS; i += 4)
        CHECK_INT(alarms[i].fired, 1);
}

static void
test_set_while_it_fires(void)
{
    now = 0;
    proxy_wheel_init(&wheel, now);
    set(&alarms[0], 100);
    alarms[0].again = 1;
    run_to(104);
    CHECK_INT(alarms[0].fired, 2);
}

/* What came in meanwhile is not kept waiting by many that are due together. */
static void
test_many_at_once(void)
{
    const int count = 5 * PROXY_WHEEL_ROUND / 2;
    int fired = 0, runs = 0;
    now = 0;
    proxy_wheel_init(&wheel, now);
    for (int i = 0; i < count; i++)
        set(&alarms[i], 100);
    now = 200;
    while (proxy_wheel_next(&wheel) <= now) {
        proxy_wheel_run(&wheel, now, &wheel);
        int before = fired;
        fired = 0;
        for (int i = 0; i < count; i++)
            fired += alarms[i].fired;
        CHECK(fired > before && fired <= before + PROXY_WHEEL_ROUND);
        runs++;
    }
    CHECK_INT(runs, 3);
    CHECK_INT(fired, count);
}

static void
test_a_long_sleep(void)
{
    now = 0;
    proxy_wheel_init(&wheel, now);
    set(&alarms[0], 50);
    set(&alarms[1], 5000);
    now = 1000000000; /* the machine slept: both are late, neither is lost */
    proxy_wheel_run(&wheel, now, &wheel);
    CHECK_INT(alarms[0].fired + alarms[1].fired, 2);
    set(&alarms[2], 10);
    run_to(now + 20);
    CHECK_INT(alarms[2].fired, 1);
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_each_fires_once_and_in_time), TEST(test_ended_and_moved),
              TEST(test_set_while_it_fires), TEST(test_many_at_once), TEST(test_a_long_sleep));
}
