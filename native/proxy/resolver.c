/* resolver.c: the cache of names, the queue of those that are looked up, and the threads that do it. */
#include "resolver.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BUCKETS = 1024, MAX_NAMES = 4096, MAX_WAITING = 16384 };

typedef struct waiter {
    struct waiter *next;
    proxy_inbox *inbox;
    uint32_t transaction, branch;
} waiter;

typedef struct name {
    struct name *next;           /* in its bucket */
    struct name *older, *newer;  /* known: by when it was answered; asked for: in the queue, by `newer` alone */
    int known;
    uint64_t until;              /* ms, monotonic */
    waiter *waiting;
    proxy_question question;
    proxy_answer answer;
} name;

/* Kept until the owner and every thread have let go. */
struct proxy_resolver {
    proxy_resolver_config config;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t asked;
    int users, threads, idle, closed;
    int names, waiting;
    name *buckets[BUCKETS];
    name *oldest, *newest;    /* known names */
    name *queue, **queue_end; /* asked for and not taken by a thread */
};

static uint64_t
clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

proxy_resolver *
proxy_resolver_new(const proxy_resolver_config *config)
{
    proxy_resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL)
        return NULL;
    resolver->config = *config;
    resolver->users = 1;
    resolver->queue_end = &resolver->queue;
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_cond_init(&resolver->asked, NULL);
    return resolver;
}

static void
free_name(name *gone)
{
    while (gone->waiting != NULL) {
        waiter *next = gone->waiting->next;
        free(gone->waiting);
        gone->waiting = next;
    }
    free(gone);
}

/* With the lock; lets go of it. */
static void
leave(proxy_resolver *resolver)
{
    int last = --resolver->users == 0;
    pthread_mutex_unlock(&resolver->lock);
    if (!last)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (resolver->buckets[i] != NULL) {
            name *next = resolver->buckets[i]->next;
            free_name(resolver->buckets[i]);
            resolver->buckets[i] = next;
        }
    }
    pthread_cond_destroy(&resolver->asked);
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

void
proxy_resolver_close(proxy_resolver *resolver)
{
    if (resolver == NULL)
        return;
    pthread_mutex_lock(&resolver->lock);
    resolver->closed = 1;
    pthread_cond_broadcast(&resolver->asked);
    leave(resolver);
}

/* ---- the table, with the lock ---- */

/* FNV-1a: who chooses names can fill a bucket, but no further than MAX_NAMES. */
static name **
bucket_of(proxy_resolver *resolver, const proxy_question *question)
{
    uint32_t hash = 2166136261u ^ question->port ^ (uint32_t)question->protocol << 16;
    for (const char *c = question->name; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    return &resolver->buckets[hash % BUCKETS];
}

static name *
look_for(proxy_resolver *resolver, const proxy_question *question)
{
    name *found = *bucket_of(resolver, question);
    while (found != NULL && memcmp(&found->question, question, sizeof *question) != 0)
        found = found->next;
    return found;
}

static void
unlink_known(proxy_resolver *resolver, name *known)
{
    *(known->older != NULL ? &known->older->newer : &resolver->oldest) = known->newer;
    *(known->newer != NULL ? &known->newer->older : &resolver->newest) = known->older;
    known->older = known->newer = NULL;
}

static void
link_known(proxy_resolver *resolver, name *known)
{
    known->older = resolver->newest;
    *(resolver->newest != NULL ? &resolver->newest->newer : &resolver->oldest) = known;
    resolver->newest = known;
}

static void
forget(proxy_resolver *resolver, name *known)
{
    name **link = bucket_of(resolver, &known->question);
    while (*link != known)
        link = &(*link)->next;
    *link = known->next;
    unlink_known(resolver, known);
    resolver->names--;
    free_name(known);
}

/* NULL: all that there is room for is being looked up, or out of memory. */
static name *
add(proxy_resolver *resolver, const proxy_question *question)
{
    if (resolver->names >= MAX_NAMES && resolver->oldest != NULL)
        forget(resolver, resolver->oldest);
    name *added = resolver->names < MAX_NAMES ? calloc(1, sizeof *added) : NULL;
    if (added == NULL)
        return NULL;
    added->question = *question;
    name **bucket = bucket_of(resolver, question);
    added->next = *bucket;
    *bucket = added;
    resolver->names++;
    return added;
}

/* ---- the threads ---- */

static void
tell_waiting(proxy_resolver *resolver, name *known)
{
    while (known->waiting != NULL) {
        waiter *first = known->waiting;
        proxy_parcel label = {.kind = PROXY_PARCEL_ANSWER, .transaction = first->transaction, .branch = first->branch};
        /* Full: the branch ends by its timer. */
        (void)proxy_inbox_push(first->inbox, &label, &known->answer, sizeof known->answer);
        known->waiting = first->next;
        resolver->waiting--;
        free(first);
    }
}

static void *
run(void *argument)
{
    proxy_resolver *resolver = argument;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_mutex_lock(&resolver->lock);
    for (;;) {
        while (resolver->queue == NULL && !resolver->closed) {
            resolver->idle++;
            pthread_cond_wait(&resolver->asked, &resolver->lock);
            resolver->idle--;
        }
        if (resolver->closed)
            break;
        name *taken = resolver->queue;
        if ((resolver->queue = taken->newer) == NULL)
            resolver->queue_end = &resolver->queue;
        taken->newer = NULL;
        pthread_mutex_unlock(&resolver->lock);
        proxy_answer answer;
        proxy_dns_look_up(&resolver->config, &taken->question, &answer); /* nobody frees a name that is asked for */
        pthread_mutex_lock(&resolver->lock);
        if (resolver->closed)
            break;
        taken->answer = answer;
        taken->until = clock_ms() + answer.ms;
        taken->known = 1;
        link_known(resolver, taken);
        tell_waiting(resolver, taken);
    }
    leave(resolver);
    return NULL;
}

/* A thread more if none is idle. Without one the name waits for those there are. 0, or -1: there is none at all. */
static int
start_thread(proxy_resolver *resolver)
{
    if (resolver->idle > 0 || resolver->threads == resolver->config.threads)
        return 0;
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, resolver) != 0)
        return resolver->threads > 0 ? 0 : -1;
    pthread_detach(thread);
    resolver->threads++;
    resolver->users++;
    return 0;
}

static int
enqueue(proxy_resolver *resolver, name *asked)
{
    if (start_thread(resolver) < 0)
        return -1;
    asked->known = 0;
    asked->newer = NULL;
    *resolver->queue_end = asked;
    resolver->queue_end = &asked->newer;
    pthread_cond_signal(&resolver->asked);
    return 0;
}

/* ---- for workers ---- */

static int
take_if_known(const name *found, proxy_answer *out)
{
    if (found == NULL || !found->known || found->until <= clock_ms())
        return 0;
    *out = found->answer;
    return 1;
}

int
proxy_resolver_find(proxy_resolver *resolver, const proxy_question *question, proxy_answer *out)
{
    pthread_mutex_lock(&resolver->lock);
    int known = take_if_known(look_for(resolver, question), out);
    pthread_mutex_unlock(&resolver->lock);
    return known;
}

static int
wait_for(proxy_resolver *resolver, name *asked, proxy_inbox *inbox, uint32_t transaction, uint32_t branch)
{
    if (inbox == NULL)
        return 0;
    waiter *added = resolver->waiting < MAX_WAITING ? malloc(sizeof *added) : NULL;
    if (added == NULL)
        return ISO_EOVERLOAD;
    *added = (waiter){asked->waiting, inbox, transaction, branch};
    asked->waiting = added;
    resolver->waiting++;
    return 0;
}

int
proxy_resolver_ask(proxy_resolver *resolver, const proxy_question *question, proxy_inbox *inbox, uint32_t transaction,
                   uint32_t branch, proxy_answer *out)
{
    pthread_mutex_lock(&resolver->lock);
    name *found = look_for(resolver, question);
    int code = take_if_known(found, out);
    if (code == 0) {
        int fresh = found == NULL || found->known;
        if (found != NULL && found->known)
            unlink_known(resolver, found);
        else if (found == NULL)
            found = add(resolver, question);
        code = found == NULL ? ISO_EOVERLOAD : 0;
        if (code == 0 && fresh && enqueue(resolver, found) < 0) {
            found->known = 1; /* as it was, or an answer that is over */
            link_known(resolver, found);
            code = ISO_ENOMEM;
        }
        if (code == 0)
            code = wait_for(resolver, found, inbox, transaction, branch);
    }
    pthread_mutex_unlock(&resolver->lock);
    return code;
}
