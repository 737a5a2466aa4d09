/* timer.c: a hierarchical timing wheel (G. Varghese, T. Lauck, 1987). */
#include "timer.h"

#include <string.h>

void
proxy_wheel_init(proxy_wheel *wheel, uint64_t now_ms)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->tick = now_ms / PROXY_TICK_MS;
}

static void
insert(proxy_wheel *wheel, proxy_timer *timer)
{
    uint64_t distance = timer->tick - wheel->tick;
    unsigned level = 0;
    while (level < PROXY_WHEEL_LEVELS - 1 && distance >> (PROXY_WHEEL_BITS * (level + 1)) != 0)
        level++;
    proxy_timer **head = &wheel->slots[level][timer->tick >> (PROXY_WHEEL_BITS * level) & (PROXY_WHEEL_SLOTS - 1)];
    timer->next = *head;
    timer->link = head;
    if (*head != NULL)
        (*head)->link = &timer->next;
    *head = timer;
}

static void
unlink_timer(proxy_timer *timer)
{
    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
    timer->link = NULL;
}

void
proxy_timer_end(proxy_wheel *wheel, proxy_timer *timer)
{
    if (timer->link != NULL) {
        unlink_timer(timer);
        wheel->count--;
    }
}

void
proxy_timer_set(proxy_wheel *wheel, proxy_timer *timer, uint64_t now_ms, uint64_t after_ms, proxy_timer_fn fire)
{
    const uint64_t longest = (UINT64_C(1) << (PROXY_WHEEL_BITS * PROXY_WHEEL_LEVELS)) - PROXY_WHEEL_SLOTS;
    proxy_timer_end(wheel, timer);
    timer->tick = (now_ms + after_ms + PROXY_TICK_MS - 1) / PROXY_TICK_MS;
    if (timer->tick < wheel->tick)
        timer->tick = wheel->tick;
    if (timer->tick - wheel->tick > longest)
        timer->tick = wheel->tick + longest;
    timer->fire = fire;
    insert(wheel, timer);
    wheel->count++;
}

/* The slots of a higher level are spread over those below when their time begins. */
static void
spread(proxy_wheel *wheel, unsigned level)
{
    size_t slot = wheel->tick >> (PROXY_WHEEL_BITS * level) & (PROXY_WHEEL_SLOTS - 1);
    if (slot == 0 && level + 1 < PROXY_WHEEL_LEVELS)
        spread(wheel, level + 1);
    proxy_timer *timer = wheel->slots[level][slot];
    wheel->slots[level][slot] = NULL;
    while (timer != NULL) {
        proxy_timer *next = timer->next;
        insert(wheel, timer);
        timer = next;
    }
}

/* A timer that is set for now while this slot fires goes into the same slot. 1: the slot is empty. */
static int
fire_slot(proxy_wheel *wheel, void *worker, int *left)
{
    proxy_timer *timer;
    while ((timer = wheel->slots[0][wheel->tick & (PROXY_WHEEL_SLOTS - 1)]) != NULL) {
        if ((*left)-- == 0)
            return 0;
        unlink_timer(timer);
        wheel->count--;
        timer->fire(timer, worker);
    }
    return 1;
}

void
proxy_wheel_run(proxy_wheel *wheel, uint64_t now_ms, void *worker)
{
    uint64_t now = now_ms / PROXY_TICK_MS;
    int left = PROXY_WHEEL_ROUND;
    while (wheel->tick <= now) {
        if (wheel->count == 0) {
            wheel->tick = now + 1; /* nothing to spread either */
            return;
        }
        if (!fire_slot(wheel, worker, &left))
            return;
        wheel->tick++;
        if ((wheel->tick & (PROXY_WHEEL_SLOTS - 1)) == 0)
            spread(wheel, 1);
    }
}

/* Looks at the lowest level only: up to the next spreading at most. */
uint64_t
proxy_wheel_next(const proxy_wheel *wheel)
{
    if (wheel->count == 0)
        return UINT64_MAX;
    uint64_t tick = wheel->tick;
    do {
        if (wheel->slots[0][tick & (PROXY_WHEEL_SLOTS - 1)] != NULL)
            break;
        tick++;
    } while ((tick & (PROXY_WHEEL_SLOTS - 1)) != 0);
    return tick * PROXY_TICK_MS;
}
