/* worker.c: the loop of one worker. The rank is attached for what one wake-up brings, and detached before the
 * next wait, so that threads of the script run while the worker sleeps. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "proxy.h"

#define EVENTS 64

_Thread_local proxy_worker *proxy_current;

static uint64_t
clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int
proxy_worker_watch(proxy_worker *worker, int fd, uint32_t events, int kind, uint32_t number, int operation)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)kind << 32 | number};
    return epoll_ctl(worker->epoll, operation, fd, &event);
}

void
proxy_worker_timer(proxy_worker *worker, proxy_timer *timer, uint64_t after_ms, proxy_timer_fn fire)
{
    proxy_timer_set(&worker->wheel, timer, worker->now, after_ms, fire);
}

/* ---- start and end ---- */

static int
open_descriptors(proxy_worker *worker, iso_error *err)
{
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    worker->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    worker->out = malloc(PROXY_OUT_MEMORY);
    worker->scratch = malloc(2 * PROXY_MAX_MESSAGE);
    int code = ISO_ENOMEM;
    if (worker->epoll < 0 || worker->timer < 0 || worker->out == NULL || worker->scratch == NULL ||
        proxy_worker_watch(worker, worker->inbox.fd, EPOLLIN, PROXY_EVENT_INBOX, 0, EPOLL_CTL_ADD) < 0 ||
        proxy_worker_watch(worker, worker->timer, EPOLLIN, PROXY_EVENT_TIMER, 0, EPOLL_CTL_ADD) < 0 ||
        (code = proxy_table_open(worker)) < 0 || (code = proxy_finished_open(worker)) < 0 ||
        (code = proxy_udp_open(worker, err)) < 0 || (code = proxy_tcp_open(worker, err)) < 0) {
        if (err->message[0] == '\0')
            snprintf(err->message, sizeof err->message, "worker %d: %s", worker->number, iso_strerror(code));
        return err->code = code;
    }
    return 0;
}

static int
open_worker(proxy_worker *worker, iso_error *err)
{
    worker->now = clock_ms();
    worker->armed = UINT64_MAX;
    proxy_wheel_init(&worker->wheel, worker->now);
    int code = open_descriptors(worker, err);
    if (code == 0)
        code = iso_rank_open(worker->proxy->engine, worker->number, &worker->rank, err);
    if (code == 0 && iso_rank_fd(worker->rank) >= 0)
        proxy_worker_watch(worker, iso_rank_fd(worker->rank), EPOLLIN, PROXY_EVENT_RANK, 0, EPOLL_CTL_ADD);
    return code;
}

/* The inbox stays: other workers may still push into it; stop frees it when all have ended. */
static void
close_worker(proxy_worker *worker)
{
    if (worker->tcp != NULL)
        proxy_tcp_close(worker);
    proxy_table_close(worker);
    proxy_finished_close(worker);
    proxy_udp_close(worker);
    if (worker->rank != NULL)
        iso_rank_close(worker->rank);
    if (worker->epoll >= 0)
        close(worker->epoll);
    if (worker->timer >= 0)
        close(worker->timer);
    free(worker->out);
    free(worker->scratch);
    proxy_values_clear(&worker->values);
}

/* ---- the loop ---- */

static void
arm(proxy_worker *worker)
{
    uint64_t next = proxy_wheel_next(&worker->wheel);
    if (next >= worker->armed)
        return;
    struct itimerspec at = {.it_value = {(time_t)(next / 1000), (long)(next % 1000) * 1000000}};
    timerfd_settime(worker->timer, TFD_TIMER_ABSTIME, &at, NULL);
    worker->armed = next;
}

static void
handle(proxy_worker *worker, const struct epoll_event *event)
{
    uint32_t number = (uint32_t)event->data.u64;
    uint64_t count;
    switch (event->data.u64 >> 32) {
    case PROXY_EVENT_UDP:
        if (event->events & EPOLLERR)
            proxy_udp_errors(worker, (int)number);
        proxy_udp_receive(worker, (int)number);
        break;
    case PROXY_EVENT_TCP:
        proxy_tcp_event(worker, number, event->events);
        break;
    case PROXY_EVENT_ACCEPT:
        proxy_tcp_accept(worker, (int)number);
        break;
    case PROXY_EVENT_INBOX:
        proxy_receive_parcels(worker);
        break;
    case PROXY_EVENT_TIMER:
        (void)!read(worker->timer, &count, sizeof count);
        worker->armed = UINT64_MAX;
        break;
    default: /* PROXY_EVENT_RANK: serviced before the rank is attached */
        break;
    }
}

/* Whether the loop goes on. */
static int
goes_on(proxy_worker *worker)
{
    isoproxy *proxy = worker->proxy;
    int stopping = atomic_load_explicit(&proxy->stopping, memory_order_acquire);
    if (stopping == PROXY_SERVING)
        return 1;
    return stopping == PROXY_DRAINING && proxy_table_count(worker) > 0 && worker->now < proxy->drain_until;
}

static void
serve(proxy_worker *worker)
{
    struct epoll_event events[EVENTS];
    while (goes_on(worker)) {
        arm(worker);
        /* While draining the end must be seen without an event. */
        int draining = atomic_load_explicit(&worker->proxy->stopping, memory_order_relaxed) != PROXY_SERVING;
        int n = epoll_wait(worker->epoll, events, EVENTS, draining ? 50 : -1);
        worker->now = clock_ms();
        for (int i = 0; i < n; i++) {
            /* 1: the engine closes. It is the caller's, who stops the proxy first; without ranks nothing works. */
            if (events[i].data.u64 >> 32 == PROXY_EVENT_RANK && iso_rank_service(worker->rank) == 1)
                return;
        }
        iso_rank_begin(worker->rank);
        for (int i = 0; i < n; i++)
            handle(worker, &events[i]);
        proxy_wheel_run(&worker->wheel, worker->now, worker);
        proxy_out_flush(worker);
        iso_rank_end(worker->rank);
        proxy_give_back(worker);
    }
}

static void
tell(proxy_worker *worker, int *count, const iso_error *err)
{
    isoproxy *proxy = worker->proxy;
    pthread_mutex_lock(&proxy->lock);
    (*count)++;
    if (err->code != 0 && proxy->failure.code == 0)
        proxy->failure = *err;
    pthread_cond_broadcast(&proxy->changed);
    pthread_mutex_unlock(&proxy->lock);
}

void *
proxy_worker_run(void *argument)
{
    proxy_worker *worker = argument;
    iso_error err = {0};
    proxy_current = worker;
    int code = open_worker(worker, &err);
    err.code = code;
    tell(worker, &worker->proxy->started, &err);
    if (code == 0)
        serve(worker);
    err.code = 0;
    tell(worker, &worker->proxy->left, &err);
    close_worker(worker);
    tell(worker, &worker->proxy->ended, &err);
    return NULL;
}
