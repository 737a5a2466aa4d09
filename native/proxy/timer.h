/* timer.h: the timer wheel of one worker. No locks: a wheel and its timers belong to one thread.
 *
 * Time is in milliseconds of the worker's clock. A timer fires at its tick or later, never before; setting
 * and ending one are a few instructions whatever their number. */
#ifndef PROXY_TIMER_H
#define PROXY_TIMER_H

#include <stddef.h>
#include <stdint.h>

#define PROXY_TICK_MS 8 /* a power of 2; RFC 3261's shortest timer is 500 ms */
#define PROXY_WHEEL_BITS 8
#define PROXY_WHEEL_SLOTS (1 << PROXY_WHEEL_BITS)
#define PROXY_WHEEL_ROUND 256 /* timers that fire in one run: then others have their turn */
#define PROXY_WHEEL_LEVELS 3 /* 8 ms, 2 s, 9 min a slot: up to 37 h */

typedef struct proxy_timer proxy_timer;
typedef void (*proxy_timer_fn)(proxy_timer *timer, void *worker);

/* Lies inside what it belongs to; zero is a timer that is not set. */
struct proxy_timer {
    proxy_timer *next, **link; /* link == NULL: not set */
    uint64_t tick;
    proxy_timer_fn fire;
};

typedef struct proxy_wheel {
    uint64_t tick; /* all before it have fired */
    size_t count;
    proxy_timer *slots[PROXY_WHEEL_LEVELS][PROXY_WHEEL_SLOTS];
} proxy_wheel;

void proxy_wheel_init(proxy_wheel *wheel, uint64_t now_ms);
/* Sets or moves a timer to `now_ms + after_ms`. */
void proxy_timer_set(proxy_wheel *wheel, proxy_timer *timer, uint64_t now_ms, uint64_t after_ms, proxy_timer_fn fire);
/* A timer that is not set may be ended too. */
void proxy_timer_end(proxy_wheel *wheel, proxy_timer *timer);
/* Fires what is due, up to a round; proxy_wheel_next then says at once. Timers may be set and ended, others and itself, by
 * those that fire. */
void proxy_wheel_run(proxy_wheel *wheel, uint64_t now_ms, void *worker);
/* When to run next, in ms: not later than the first timer is due; UINT64_MAX if there is none. */
uint64_t proxy_wheel_next(const proxy_wheel *wheel);

#define PROXY_OWNER(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))

#endif
