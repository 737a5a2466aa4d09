/* transaction.c: the transactions of one worker: found by the key of a request, or by the id in a branch. */
#include <stdlib.h>

#include "proxy.h"

#define SLOT_BITS 20
#define SLOT_MASK ((1u << SLOT_BITS) - 1)
#define BUCKETS (1u << 16)
#define STREAM_BUCKETS 1024

struct proxy_table {
    uint32_t count, max;
    uint32_t used;              /* slots that were ever taken: those above were not */
    uint32_t free_count;
    uint32_t *free;             /* a stack of slots that are free again */
    uint16_t *generations;      /* of each slot; the ids of an old and a new one differ */
    proxy_transaction **slots;
    proxy_transaction *buckets[BUCKETS];
    proxy_branch *streams[STREAM_BUCKETS]; /* branches that wait for TCP peers, by peer */
};

int
proxy_table_open(proxy_worker *worker)
{
    proxy_table *table = worker->table = calloc(1, sizeof *table);
    if (table == NULL)
        return ISO_ENOMEM;
    /* Pages of these are taken by the kernel only when slots are used. */
    table->max = (uint32_t)worker->proxy->config.transactions;
    table->free = calloc(table->max, sizeof *table->free);
    table->generations = calloc(table->max, sizeof *table->generations);
    table->slots = calloc(table->max, sizeof(*table->slots));
    return table->free == NULL || table->generations == NULL || table->slots == NULL ? ISO_ENOMEM : 0;
}

size_t
proxy_table_count(const proxy_worker *worker)
{
    return worker->table->count;
}

/* ---- keys ---- */

uint64_t
proxy_transaction_key(const isoproxy *proxy, const proxy_view *view)
{
    int invite = view->method == ISO_METHOD_ACK || view->method == ISO_METHOD_CANCEL;
    return proxy_hash(proxy, proxy_request_hash(proxy, view), invite ? PROXY_TEXT("INVITE") : view->method_name);
}

/* The hash is keyed with 64 bits; what it is made from is compared all the same, for the branch alone may lie. */
static int
matches(const proxy_transaction *transaction, const proxy_view *view, int invite)
{
    const proxy_view *own = &transaction->request;
    return (invite ? transaction->invite : proxy_equal(own->method_name, view->method_name)) &&
           own->via.port == view->via.port && proxy_same(own->via.host, view->via.host) &&
           own->via.branch.n == view->via.branch.n &&
           (own->via.branch.n == 0 || proxy_equal(own->via.branch, view->via.branch)) &&
           proxy_equal(own->call_id, view->call_id) && own->cseq_number == view->cseq_number;
}

proxy_transaction *
proxy_transaction_find(proxy_worker *worker, const proxy_view *view, int invite)
{
    if (worker->table->count == 0)
        return NULL;
    uint64_t key = proxy_transaction_key(worker->proxy, view);
    proxy_transaction *found = worker->table->buckets[key % BUCKETS];
    while (found != NULL && (found->key != key || !matches(found, view, invite)))
        found = found->next;
    return found;
}

proxy_transaction *
proxy_transaction_by_id(proxy_worker *worker, uint32_t id)
{
    uint32_t slot = id & SLOT_MASK;
    proxy_transaction *found = slot < worker->table->max ? worker->table->slots[slot] : NULL;
    return found != NULL && found->id == id ? found : NULL;
}

/* ---- life ---- */

static uint32_t
take_slot(proxy_table *table)
{
    uint32_t slot = table->free_count > 0 ? table->free[--table->free_count] : table->used++;
    table->generations[slot] = (uint16_t)(table->generations[slot] % 0xfff + 1);
    return slot;
}

/* Only as many rows as there are: an index is larger than most messages. */
static proxy_transaction *
copy_request(const proxy_view *view)
{
    size_t rows = view->index.row_count + 1u < ISO_INDEX_ROWS ? view->index.row_count + 1u : ISO_INDEX_ROWS;
    size_t size = offsetof(proxy_transaction, request.index.rows) + rows * sizeof(iso_row);
    proxy_transaction *transaction = malloc(size + view->msg.length);
    if (transaction == NULL)
        return NULL;
    memset(transaction, 0, offsetof(proxy_transaction, request));
    iso_msg msg = view->msg;
    int reply;
    msg.index = NULL;
    msg.data = memcpy((char *)transaction + size, view->msg.data, view->msg.length);
    (void)proxy_view_read(&transaction->request, &msg, &reply); /* the same octets: it was read before */
    return transaction;
}

proxy_transaction *
proxy_transaction_new(proxy_worker *worker, const proxy_view *view, int listener, uint64_t connection)
{
    proxy_table *table = worker->table;
    proxy_transaction *transaction = NULL;
    if (table->count < table->max && proxy_may_begin(worker) && proxy_hold(worker, view->msg.length) == 0 &&
        (transaction = copy_request(view)) == NULL)
        proxy_release(worker, view->msg.length);
    if (transaction == NULL) {
        proxy_count(worker, overload);
        proxy_log_bad(worker, view, "there is no room for its transaction (setting transactions)");
        return NULL;
    }
    uint32_t slot = take_slot(table);
    transaction->worker = worker;
    transaction->key = proxy_transaction_key(worker->proxy, view);
    transaction->id = (uint32_t)table->generations[slot] << SLOT_BITS | slot;
    transaction->invite = view->method == ISO_METHOD_INVITE;
    transaction->loop = proxy_loop_hash(worker->proxy, view);
    transaction->listener = listener;
    transaction->connection = connection;
    proxy_reply_target(view, listener, connection, &transaction->target);
    (void)proxy_tag(worker->proxy, view, transaction->tag);
    table->slots[slot] = transaction;
    transaction->next = table->buckets[transaction->key % BUCKETS];
    table->buckets[transaction->key % BUCKETS] = transaction;
    table->count++;
    if (transaction->invite)
        proxy_directory_add(worker->proxy->transactions, transaction->key, worker->number);
    proxy_count(worker, transactions);
    atomic_store_explicit(&worker->counters.transactions_open, table->count, memory_order_relaxed);
    return transaction;
}

void
proxy_branch_free(proxy_branch *branch)
{
    proxy_worker *worker = branch->transaction->worker;
    proxy_branch_off_stream(branch);
    proxy_timer_end(&worker->wheel, &branch->again);
    proxy_timer_end(&worker->wheel, &branch->end);
    proxy_timer_end(&worker->wheel, &branch->ring);
    if (branch->spare != NULL)
        proxy_release(worker, branch->spare->length);
    free(branch->spare);
    proxy_let_go(worker, &branch->request);
    proxy_let_go(worker, &branch->reply);
    free(branch);
}

static void
free_transaction(proxy_transaction *transaction)
{
    proxy_worker *worker = transaction->worker;
    proxy_table *table = worker->table;
    proxy_transaction **link = &table->buckets[transaction->key % BUCKETS];
    while (*link != transaction)
        link = &(*link)->next;
    *link = transaction->next;
    if (transaction->invite)
        proxy_directory_remove(worker->proxy->transactions, transaction->key, worker->number);
    table->slots[transaction->id & SLOT_MASK] = NULL;
    table->free[table->free_count++] = transaction->id & SLOT_MASK;
    table->count--;
    atomic_store_explicit(&worker->counters.transactions_open, table->count, memory_order_relaxed);
    for (int i = 0; i < transaction->branch_count; i++)
        proxy_branch_free(transaction->branches[i]);
    proxy_timer_end(&worker->wheel, &transaction->again);
    proxy_timer_end(&worker->wheel, &transaction->end);
    proxy_let_go(worker, &transaction->reply);
    proxy_release(worker, transaction->request.msg.length);
    proxy_values_clear(&transaction->values);
    free(transaction);
}

void
proxy_transaction_settle(proxy_transaction *transaction)
{
    int lives = transaction->users > 0 || transaction->state != PROXY_SERVER_TERMINATED;
    for (int i = 0; i < transaction->branch_count && !lives; i++)
        lives = transaction->branches[i]->state != PROXY_CLIENT_TERMINATED;
    if (!lives)
        free_transaction(transaction);
}

void
proxy_table_close(proxy_worker *worker)
{
    proxy_table *table = worker->table;
    if (table == NULL)
        return;
    for (uint32_t i = 0; table->slots != NULL && i < table->used; i++) {
        if (table->slots[i] != NULL)
            free_transaction(table->slots[i]);
    }
    free(table->slots);
    free(table->free);
    free(table->generations);
    free(table);
    worker->table = NULL;
}

/* ---- branches that wait for a TCP peer ---- */

static proxy_branch **
streams_of(proxy_worker *worker, const iso_address *peer)
{
    iso_str ip = {(const char *)peer->ip, sizeof peer->ip};
    return &worker->table->streams[proxy_hash(worker->proxy, peer->port, ip) % STREAM_BUCKETS];
}

void
proxy_branch_on_stream(proxy_branch *branch)
{
    proxy_branch **list = streams_of(branch->transaction->worker, &branch->target.address);
    branch->next = *list;
    branch->link = list;
    if (*list != NULL)
        (*list)->link = &branch->next;
    *list = branch;
}

void
proxy_branch_off_stream(proxy_branch *branch)
{
    if (branch->link == NULL)
        return;
    *branch->link = branch->next;
    if (branch->next != NULL)
        branch->next->link = branch->link;
    branch->link = NULL;
}

static proxy_branch *
next_failed(proxy_worker *worker, const iso_address *peer)
{
    proxy_branch *branch = *streams_of(worker, peer);
    while (branch != NULL && !proxy_same_address(&branch->target.address, peer))
        branch = branch->next;
    return branch;
}

void
proxy_client_transport_failed(proxy_worker *worker, const iso_address *peer)
{
    proxy_branch *all = NULL, *branch;
    /* First taken out of the list: what follows their end may put others for the same peer in. */
    while ((branch = next_failed(worker, peer)) != NULL) {
        proxy_branch_off_stream(branch);
        branch->next = all;
        branch->transaction->users++;
        all = branch;
    }
    while ((branch = all) != NULL) {
        proxy_transaction *transaction = branch->transaction;
        all = branch->next;
        if (branch->state == PROXY_CLIENT_CALLING)
            proxy_client_failed(branch, 503);
        transaction->users--;
        proxy_transaction_settle(transaction);
    }
}
