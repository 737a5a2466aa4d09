/* park.h: how a thread waits for another: it spins for a moment, then sleeps on a futex.
 *
 * Waking a sleeping thread costs 3 us on a busy machine and 40 us on an idle one, spinning 0.1 us, but
 * spinning pays only while the other side answers soon and a core is free. So the spin adapts: it becomes twice
 * as long as the wait that it was worth it for, shrinks when it was not, and is not begun when more threads want a
 * core than there are. */
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

static inline void
iso__pauses(int count)
{
    for (int i = 0; i < count; i++)
        iso__pause();
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
    uint32_t now; /* 0: it did not pay, not at all */
    uint32_t most;
    uint32_t waits; /* since it does not pay: one in ISO__SPIN_PROBE finds out whether it would again */
} iso__spin;

#define ISO__SPIN_PROBE 16
/* Looks that are made without counting who else spins, about 2 us. A call and its answer are faster than that, and slower
 * if the line of the count moved between their cores too. */
#define ISO__SPIN_FIRST 64

/* Threads of the whole process that are known to want a core: ranks that are awake, and who spins. */
extern _Atomic int iso__awake;
extern int iso__cores; /* that the process may use, at least 1 */

/* Whether with `more` such threads there would be more of them than cores. */
static inline bool
iso__cores_are_short(int more)
{
    return atomic_load_explicit(&iso__awake, memory_order_relaxed) + more > iso__cores;
}

/* How long a spin may be at most here: the setting, or 0 on one core. Before any of the other functions. */
uint32_t iso__spin_limit(uint32_t most_us);

/* Of another engine than before, it begins with the longest. */
static inline void
iso__spin_set(iso__spin *spin, uint32_t most_us)
{
    if (spin->most != most_us)
        spin->most = spin->now = most_us;
}

/* Whether to spin at all now. */
static inline bool
iso__spin_pays(iso__spin *spin)
{
    return spin->now > 0 || (spin->most > 0 && ++spin->waits % ISO__SPIN_PROBE == 0);
}

/* Spins on, politely, for the time that `spin` has come to, and adapts that. Not at all, and no longer, while
 * more threads are awake than there are cores. `counted`: the caller is one of them already. */
bool iso__spin_on(iso__spin *spin, bool counted, bool (*ready)(void *), void *argument);

/* Lets others have the core, some of whom may be who is waited for: cheaper than to sleep and to be woken when
 * all cores are busy anyway. */
bool iso__yield_until(bool (*ready)(void *), void *argument);

/* Spins for a moment that is not worth counting; whether ready(argument). */
static inline __attribute__((always_inline)) bool
iso__spin_briefly(bool (*ready)(void *), void *argument)
{
    for (int look = 0; look < ISO__SPIN_FIRST; look++) {
        if (ready(argument))
            return true;
        iso__pause();
    }
    return false;
}

/* Spins until ready(argument), or yields; what that said last. */
static inline __attribute__((always_inline)) bool
iso__spin_until(iso__spin *spin, bool counted, bool (*ready)(void *), void *argument)
{
    if (iso__cores_are_short(counted ? 0 : 1))
        return iso__yield_until(ready, argument);
    if (!iso__spin_pays(spin))
        return ready(argument);
    if (iso__spin_briefly(ready, argument)) {
        spin->now += spin->now == 0;
        return true;
    }
    return iso__spin_on(spin, counted, ready, argument);
}

#endif
