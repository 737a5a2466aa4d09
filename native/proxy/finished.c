/* finished.c: what is left of a non-INVITE transaction that was answered over UDP: its reply, for timer J.
 *
 * They all last equally long, so the oldest is always the next to go: a queue and one timer. At 64 T1 and thousands of
 * requests a second they are most of what a proxy remembers, so their octets are bounded; above the bound the oldest
 * goes early, and a copy of its request would be handled as a new one. */
#include <stdlib.h>

#include "proxy.h"

enum { BUCKETS = 1 << 18, MOST_OCTETS = 64 << 20 };

typedef struct kept {
    struct kept *next;  /* in its bucket */
    struct kept *newer;
    uint64_t key, check;
    uint64_t until;     /* ms of the worker's clock */
    proxy_target target;
    uint32_t length;
    char reply[];
} kept;

struct proxy_finished {
    size_t octets;
    proxy_timer timer;
    kept *oldest, *newest;
    kept *buckets[BUCKETS];
};

int
proxy_finished_open(proxy_worker *worker)
{
    worker->finished = calloc(1, sizeof *worker->finished);
    return worker->finished == NULL ? ISO_ENOMEM : 0;
}

size_t
proxy_finished_octets(const proxy_worker *worker)
{
    return worker->finished->octets;
}

/* Beside the key of a transaction: what else must be the same (RFC 3261 17.2.3), hashed. */
static uint64_t
check_of(const isoproxy *proxy, const proxy_view *request)
{
    return proxy_hash(proxy, request->cseq_number, request->call_id);
}

static void
drop_oldest(proxy_finished *finished)
{
    kept *gone = finished->oldest, **link = &finished->buckets[gone->key % BUCKETS];
    while (*link != gone)
        link = &(*link)->next;
    *link = gone->next;
    finished->oldest = gone->newer;
    if (finished->oldest == NULL)
        finished->newest = NULL;
    finished->octets -= sizeof *gone + gone->length;
    free(gone);
}

void
proxy_finished_close(proxy_worker *worker)
{
    if (worker->finished == NULL)
        return;
    proxy_timer_end(&worker->wheel, &worker->finished->timer);
    while (worker->finished->oldest != NULL)
        drop_oldest(worker->finished);
    free(worker->finished);
    worker->finished = NULL;
}

static void
expire(proxy_timer *timer, void *owner)
{
    proxy_worker *worker = owner;
    proxy_finished *finished = worker->finished;
    while (finished->oldest != NULL && finished->oldest->until <= worker->now)
        drop_oldest(finished);
    if (finished->oldest != NULL)
        proxy_worker_timer(worker, timer, finished->oldest->until - worker->now, expire);
}

void
proxy_finished_add(const proxy_transaction *transaction, iso_str reply)
{
    proxy_worker *worker = transaction->worker;
    proxy_finished *finished = worker->finished;
    kept *added = malloc(sizeof *added + reply.n);
    if (added == NULL)
        return; /* a copy of the request is handled as a new one */
    uint64_t ms = 64 * (uint64_t)worker->proxy->config.t1;
    *added = (kept){
        .key = transaction->key,
        .check = check_of(worker->proxy, &transaction->request),
        .until = worker->now + ms,
        .target = transaction->target,
        .length = (uint32_t)reply.n,
    };
    memcpy(added->reply, reply.p, reply.n);
    kept **bucket = &finished->buckets[added->key % BUCKETS];
    added->next = *bucket;
    *bucket = added;
    if (finished->newest != NULL)
        finished->newest->newer = added;
    else
        finished->oldest = added;
    finished->newest = added;
    finished->octets += sizeof *added + reply.n;
    while (finished->octets > MOST_OCTETS)
        drop_oldest(finished);
    if (finished->timer.link == NULL)
        proxy_worker_timer(worker, &finished->timer, ms, expire);
}

int
proxy_finished_retransmitted(proxy_worker *worker, const proxy_view *request)
{
    proxy_finished *finished = worker->finished;
    if (finished->oldest == NULL)
        return 0;
    uint64_t key = proxy_transaction_key(worker->proxy, request), check = check_of(worker->proxy, request);
    kept *found = finished->buckets[key % BUCKETS];
    while (found != NULL && (found->key != key || found->check != check))
        found = found->next;
    if (found == NULL)
        return 0;
    (void)proxy_send(worker, &found->target, (iso_str){found->reply, found->length});
    proxy_count(worker, retransmitted);
    proxy_count(worker, sent_replies);
    return 1;
}
