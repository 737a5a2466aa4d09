/* proxy.c: start and end of a proxy, its addresses and statistics. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "proxy.h"

enum {
    STACK = 8 << 20,  /* Python code of a rank needs the stack of a main thread */
    LEAVE_MS = 1000,  /* beyond the grace time: for the message that is handled */
    CLOSE_MS = 10000,
    MOST_FOUND = 16384, /* transactions of each worker that others can find for sure */
};

/* ---- memory ---- */

/* The strings of the config become the proxy's own. */
static int
own_strings(isoproxy_config *config)
{
    const char **strings[] = {&config->request_route, &config->onreply_route, &config->failure_route,
                              &config->branch_route,  &config->server,        &config->nameserver};
    int failed = 0;
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        *strings[i] = strdup(*strings[i] != NULL ? *strings[i] : "");
        failed |= *strings[i] == NULL;
    }
    config->listen_count = 0; /* read by listen_all before */
    return failed ? ISO_ENOMEM : 0;
}

void
isoproxy_free(isoproxy *proxy)
{
    if (proxy == NULL || proxy->ended < proxy->started)
        return;
    proxy_resolver_close(proxy->resolver); /* before the inboxes that it pushes into */
    for (int i = 0; proxy->workers != NULL && i < proxy->worker_count; i++)
        proxy_inbox_fini(&proxy->workers[i].inbox);
    free(proxy->workers);
    free((char *)proxy->config.request_route);
    free((char *)proxy->config.onreply_route);
    free((char *)proxy->config.failure_route);
    free((char *)proxy->config.branch_route);
    free((char *)proxy->config.server);
    free((char *)proxy->config.nameserver);
    proxy_directory_free(proxy->transactions);
    proxy_directory_free(proxy->peers);
    pthread_mutex_destroy(&proxy->lock);
    pthread_cond_destroy(&proxy->changed);
    free(proxy);
}

static int
fail(iso_error *err, int code, const char *text)
{
    if (err != NULL) {
        *err = (iso_error){.code = code};
        snprintf(err->message, sizeof err->message, "%s", text);
    }
    return code;
}

/* ---- addresses ---- */

/* Takes the port alone for a moment, since SO_REUSEPORT would let two proxies share it and each lose calls; then holds
 * it, with the number that the kernel chose for port 0, until the workers have it. The descriptor, or -1. */
static int
reserve(proxy_listener *listener)
{
    int type = listener->address.protocol == ISO_PROTOCOL_UDP ? SOCK_DGRAM : SOCK_STREAM;
    struct sockaddr_storage name;
    socklen_t n = sizeof name;
    int alone = proxy_bind(&listener->address, type, 0);
    if (alone < 0)
        return -1;
    getsockname(alone, (struct sockaddr *)&name, &n);
    proxy_from_system(&name, listener->address.protocol, &listener->address);
    close(alone);
    return proxy_bind(&listener->address, type, 1);
}

static int
listen_all(isoproxy *proxy, const isoproxy_config *config, int held[], iso_error *err)
{
    iso_address addresses[ISOPROXY_MAX_LISTEN * 4];
    int count = 0, code = 0;
    if (config->listen_count == 0)
        return fail(err, ISO_ECONFIG, "no address to listen on: give listen, as udp:HOST:PORT");
    for (int i = 0; i < config->listen_count && code == 0; i++)
        code = proxy_listen_parse(config->listen[i], addresses, &count, ISOPROXY_MAX_LISTEN * 4, err);
    for (int i = 0; i < count && code == 0; i++) {
        proxy_listener *listener = &proxy->listeners[i];
        char host[PROXY_IP_TEXT];
        listener->address = addresses[i];
        held[i] = reserve(listener);
        proxy_host_text(&listener->address, host);
        int n = snprintf(listener->sent_by, sizeof listener->sent_by, "%s:%u", host, listener->address.port);
        listener->sent_by_n = (size_t)n;
        proxy->listener_count = i + 1;
        if (held[i] < 0) {
            char text[160];
            snprintf(text, sizeof text, "%s %s can not be listened on: %m",
                     proxy_protocol_name(listener->address.protocol), listener->sent_by);
            code = fail(err, ISO_ECONFIG, text);
        }
    }
    return code;
}

size_t
isoproxy_address(const isoproxy *proxy, size_t i, char text[ISOPROXY_ADDRESS_TEXT])
{
    if (i >= (size_t)proxy->listener_count)
        return 0;
    const proxy_listener *listener = &proxy->listeners[i];
    return (size_t)snprintf(text, ISOPROXY_ADDRESS_TEXT, "%s:%s",
                            listener->address.protocol == ISO_PROTOCOL_TCP ? "tcp" : "udp", listener->sent_by);
}

/* ---- start ---- */

static int
make_workers(isoproxy *proxy, int count)
{
    proxy->workers = aligned_alloc(64, (size_t)count * sizeof(proxy_worker));
    if (proxy->workers == NULL)
        return ISO_ENOMEM;
    memset(proxy->workers, 0, (size_t)count * sizeof(proxy_worker));
    proxy->worker_count = count;
    int code = 0;
    for (int i = 0; i < count; i++) {
        proxy_worker *worker = &proxy->workers[i];
        worker->proxy = proxy;
        worker->number = i + 1;
        worker->epoll = worker->timer = -1;
        if (proxy_inbox_init(&worker->inbox) < 0)
            code = ISO_ENOMEM;
    }
    return code;
}

/* Waits until *count workers have told. 0, or -1 when the time is over (ms < 0: no limit). */
static int
wait_for(isoproxy *proxy, const int *count, int wanted, int ms)
{
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&proxy->lock);
    while (*count < wanted && !late) {
        if (ms < 0)
            pthread_cond_wait(&proxy->changed, &proxy->lock);
        else
            late = pthread_cond_timedwait(&proxy->changed, &proxy->lock, &until) != 0;
    }
    int done = *count >= wanted;
    pthread_mutex_unlock(&proxy->lock);
    return done ? 0 : -1;
}

/* One after another: interpreters are made one at a time anyway, and the first failure ends it. */
static int
start_workers(isoproxy *proxy)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    int count = proxy->worker_count;
    for (int i = 0; i < count && proxy->failure.code == 0; i++) {
        proxy_worker *worker = &proxy->workers[i];
        if (pthread_create(&worker->thread, &attributes, proxy_worker_run, worker) != 0) {
            fail(&proxy->failure, ISO_ENOMEM, "a worker thread could not be made");
            break;
        }
        (void)wait_for(proxy, &proxy->started, i + 1, -1);
    }
    pthread_attr_destroy(&attributes);
    return proxy->failure.code;
}

static void
wake_all(isoproxy *proxy)
{
    for (int i = 0; i < proxy->worker_count; i++)
        proxy_inbox_wake(&proxy->workers[i].inbox);
}

/* What several workers need to find each other, and the resolver. */
static int
make_shared(isoproxy *proxy, iso_error *err)
{
    const isoproxy_config *config = &proxy->config;
    proxy_resolver_config resolver = {.threads = config->resolvers, .negative_ms = config->resolve_negative};
    iso_address *server = &resolver.nameserver;
    const char *colon = strrchr(config->nameserver, ':');
    if (config->nameserver[0] != '\0') {
        int64_t port = colon != NULL ? proxy_number(proxy_text_of(colon + 1), UINT16_MAX) : -1;
        if (port <= 0 ||
            proxy_address_of(server, (iso_str){config->nameserver, (size_t)(colon - config->nameserver)},
                             (uint16_t)port, ISO_PROTOCOL_UDP) < 0 ||
            server->family != 4)
            return fail(err, ISO_ECONFIG, "nameserver must be an IPv4 address and a port, as 192.0.2.1:53");
    }
    for (int i = 0; i < proxy->listener_count; i++) {
        resolver.protocols |= (uint8_t)(1 << proxy->listeners[i].address.protocol);
        resolver.families |= (uint8_t)(1 << proxy->listeners[i].address.family);
    }
    proxy->resolver = proxy_resolver_new(&resolver);
    if (proxy->worker_count > 1) {
        size_t workers = (size_t)proxy->worker_count;
        size_t transactions = (size_t)(config->transactions < MOST_FOUND ? config->transactions : MOST_FOUND);
        proxy->transactions = proxy_directory_new(workers * transactions);
        proxy->peers = proxy_directory_new(workers * (size_t)config->tcp_connections);
    }
    if (proxy->resolver == NULL || (proxy->worker_count > 1 && (proxy->transactions == NULL || proxy->peers == NULL)))
        return fail(err, ISO_ENOMEM, iso_strerror(ISO_ENOMEM));
    return 0;
}

static int
build(isoproxy *proxy, const isoproxy_config *config, int ranks, int held[], iso_error *err)
{
    int workers = config->workers > 0 ? config->workers : ranks;
    if (workers > ranks || workers < 1 || workers > ISOPROXY_MAX_WORKERS)
        return fail(err, ISO_ECONFIG, "workers must be 1 to 255 and not more than the engine has ranks");
    if (getrandom(&proxy->instance, sizeof proxy->instance, 0) < 0 ||
        getrandom(proxy->secret, sizeof proxy->secret, 0) < 0)
        return fail(err, ISO_EINTERNAL, "the system gives no random numbers");
    int code = listen_all(proxy, config, held, err);
    if (code == 0 && (code = make_workers(proxy, workers)) < 0)
        fail(err, code, iso_strerror(code));
    return code == 0 ? make_shared(proxy, err) : code;
}

int
isoproxy_start(isoproxy **out, const isoproxy_config *config, iso_engine *engine, int ranks, iso_error *err)
{
    int held[ISOPROXY_MAX_LISTEN * 4];
    isoproxy *proxy = calloc(1, sizeof *proxy);
    if (proxy == NULL)
        return fail(err, ISO_ENOMEM, iso_strerror(ISO_ENOMEM));
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&proxy->lock, NULL);
    pthread_cond_init(&proxy->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    proxy->engine = engine;
    proxy->config = *config;
    int code = own_strings(&proxy->config);
    if (code < 0)
        fail(err, code, iso_strerror(code));
    else if ((code = build(proxy, config, ranks, held, err)) == 0 && (code = start_workers(proxy)) < 0 && err != NULL)
        *err = proxy->failure;
    for (int i = 0; i < proxy->listener_count; i++) {
        if (held[i] >= 0)
            close(held[i]);
    }
    if (code < 0) {
        (void)isoproxy_stop(proxy, 0);
        isoproxy_free(proxy);
        return code;
    }
    *out = proxy;
    return 0;
}

/* ---- end ---- */

void
isoproxy_hurry(isoproxy *proxy)
{
    atomic_store(&proxy->stopping, PROXY_STOPPING);
    wake_all(proxy);
}

int
isoproxy_stop(isoproxy *proxy, int grace_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    proxy->drain_until = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + (uint64_t)grace_ms;
    int serving = PROXY_SERVING;
    atomic_compare_exchange_strong(&proxy->stopping, &serving, grace_ms > 0 ? PROXY_DRAINING : PROXY_STOPPING);
    if (proxy->workers != NULL)
        wake_all(proxy);
    /* Those that do not leave their loop in time are in a handler. A rank that closes may then wait for its script's
     * threads, as long as the engine's own grace time. */
    if (wait_for(proxy, &proxy->left, proxy->started, grace_ms + LEAVE_MS) < 0 ||
        wait_for(proxy, &proxy->ended, proxy->started, CLOSE_MS) < 0) {
        int stuck = proxy->started - proxy->ended;
        for (int i = 0; i < proxy->started; i++)
            (void)pthread_tryjoin_np(proxy->workers[i].thread, NULL);
        proxy_log_plain(proxy, ISO_LOG_ERR, "%d workers are stuck in a handler and are left behind", stuck);
        return stuck;
    }
    for (int i = 0; i < proxy->started; i++)
        pthread_join(proxy->workers[i].thread, NULL);
    return 0;
}

void
isoproxy_statistics(const isoproxy *proxy, isoproxy_stats *out)
{
    memset(out, 0, sizeof *out);
    for (int i = 0; i < proxy->worker_count; i++) {
        const proxy_worker *worker = &proxy->workers[i];
#define ADD(name) out->name += atomic_load_explicit(&worker->counters.name, memory_order_relaxed);
        ISOPROXY_COUNTERS(ADD)
#undef ADD
    }
}
