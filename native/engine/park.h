/* park.h: how a thread waits for another: it spins for a moment, then sleeps on a futex.
 *
 * Waking a sleeping thread costs 3 us on a busy machine and 40 us on an idle one, spinning 0.1 us, but
 * spinning pays only while the other side answers soon. So the spin adapts: it doubles when it was worth
 * it, and halves when it was not. */
#ifndef ISO_PARK_H
#define ISO_PARK_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static inline void
iso__pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Sleeps while *word is `value`, at most timeout_ns (negative: no limit). May wake for no reason. */
static inline void
iso__futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t timeout_ns)
{
    struct timespec limit = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns < 0 ? NULL : &limit, NULL, 0);
}

static inline void
iso__futex_wake(_Atomic uint32_t *word, int threads)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}

/* The same for a word that lies in memory of several processes. */
static inline void
iso__futex_wait_shared(_Atomic uint32_t *word, uint32_t value, int64_t timeout_ns)
{
    struct timespec limit = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT, value, timeout_ns < 0 ? NULL : &limit, NULL, 0);
}

static inline void
iso__futex_wake_shared(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* A bell is an eventfd that does not block: readable from a ring until it is cleared. */
static inline void
iso__bell_ring(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; /* full: readable already */
}

static inline void
iso__bell_clear(int fd)
{
    uint64_t rings;
    ssize_t got = read(fd, &rings, sizeof rings);
    (void)got; /* nothing there: clear already */
}

/* The adaptive length of a spin, of one waiting side, in microseconds. */
typedef struct iso__spin {
    uint32_t now;
    uint32_t most;
    uint32_t waits; /* so far; one in ISO__SPIN_PROBE spins the longest, to find out whether it would pay again */
} iso__spin;

#define ISO__SPIN_PROBE 32

/* Spins until ready(argument), for the time that `spin` has come to. Not at all while as many threads spin
 * as there are cores. Returns what ready said last. */
bool iso__spin_until(iso__spin *spin, bool (*ready)(void *), void *argument);

#endif
