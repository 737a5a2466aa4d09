/* forks.c: see forks.h. */
#include "forks.h"

#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK 8 /* calls between two looks at the clock */

struct spell {
    double seconds;
    long calls;
};

static void
run_for(struct floor_worker *worker, void *argument)
{
    struct spell *spell = argument;
    uint64_t end = floor_clock(CLOCK_MONOTONIC) + (uint64_t)(spell->seconds * 1e9);

    while (floor_clock(CLOCK_MONOTONIC) < end) {
        worker->side->run(worker->rank, FLOOR_ATTACH, CHUNK);
        spell->calls += CHUNK;
    }
}

/* The child: a rank in an interpreter of its own, in a process of its own. */
static _Noreturn void
serve(int fd, const struct floor_side *side)
{
    struct floor_worker worker;
    struct spell spell = {0};

    Py_InitializeEx(0);
    PyEval_SaveThread();
    floor_worker_open(&worker, side, 1);
    while (read(fd, &spell.seconds, sizeof spell.seconds) == sizeof spell.seconds) {
        spell.calls = 0;
        floor_worker_start(&worker, run_for, &spell);
        floor_worker_wait(&worker);
        if (write(fd, &spell.calls, sizeof spell.calls) != sizeof spell.calls) {
            break;
        }
    }
    _exit(0);
}

void
floor_forks_start(struct floor_forks *forks, const struct floor_side *side)
{
    for (int i = 0; i < FLOOR_FORKS; i++) {
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
            perror("floor: socketpair");
            exit(2);
        }
        forks->pids[i] = fork();
        if (forks->pids[i] == 0) {
            for (int other = 0; other < i; other++) {
                close(forks->fds[other]); /* else its owner would not see the end */
            }
            close(ends[0]);
            serve(ends[1], side);
        }
        close(ends[1]);
        forks->fds[i] = ends[0];
    }
}

double
floor_forks_race(const struct floor_forks *forks, int count, double seconds)
{
    double calls = 0;

    for (int i = 0; i < count; i++) {
        if (write(forks->fds[i], &seconds, sizeof seconds) != sizeof seconds) {
            fprintf(stderr, "floor: a forked process has ended\n");
            exit(2);
        }
    }
    for (int i = 0; i < count; i++) {
        long done = 0;

        if (read(forks->fds[i], &done, sizeof done) != sizeof done) {
            fprintf(stderr, "floor: a forked process has ended\n");
            exit(2);
        }
        calls += (double)done;
    }
    return seconds * 1e9 / calls;
}

void
floor_forks_end(struct floor_forks *forks)
{
    for (int i = 0; i < FLOOR_FORKS; i++) {
        close(forks->fds[i]);
        waitpid(forks->pids[i], NULL, 0);
    }
}
