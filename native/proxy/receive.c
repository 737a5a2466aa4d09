/* receive.c: what a message is, and who handles it (RFC 3261 16.3, 16.7, 17.2.3). */
#include <stdlib.h>

#include "proxy.h"

static void
refuse(proxy_worker *worker, int listener, uint64_t connection, int code, iso_str reason, iso_str rows)
{
    (void)proxy_reply_stateless(worker, &worker->view, listener, connection, code, reason, rows);
}

static void
hand_over(proxy_worker *worker, int owner, int listener, uint64_t connection)
{
    const iso_msg *msg = &worker->view.msg;
    proxy_parcel label = {
        .kind = PROXY_PARCEL_MESSAGE, .address = msg->source, .listener = listener, .connection = connection};
    if (proxy_inbox_push(&worker->proxy->workers[owner - 1].inbox, &label, msg->data, msg->length) == 0)
        proxy_count(worker, handed_over);
    else
        proxy_count(worker, dropped);
}

/* ---- replies ---- */

static void
receive_reply(proxy_worker *worker, int listener, uint64_t connection)
{
    isoproxy *proxy = worker->proxy;
    proxy_view *view = &worker->view;
    proxy_branch_id id;
    proxy_count(worker, received_replies);
    if (!proxy_branch_read(proxy, view->via.branch, &id)) { /* RFC 3261 18.1.2: not ours */
        proxy_count(worker, dropped);
        return;
    }
    if (id.worker != 0 && id.worker != worker->number) {
        hand_over(worker, id.worker, listener, connection);
        return;
    }
    const iso_edits *edits = NULL;
    if (!id.stateful) {
        if (proxy_route_reply(worker, view, NULL, listener, &edits))
            proxy_forward_reply(worker, view, &id, edits);
        return;
    }
    proxy_transaction *transaction = proxy_transaction_by_id(worker, id.slot);
    if (transaction == NULL || id.branch >= transaction->branch_count || id.loop != transaction->loop) {
        proxy_count(worker, dropped); /* RFC 6026 7.3: a stray reply is not forwarded */
        return;
    }
    /* The reply to our CANCEL ends here; the INVITE's own reply is what counts. */
    if (transaction->invite && view->method == ISO_METHOD_CANCEL)
        return;
    proxy_client_reply(transaction->branches[id.branch], view);
    proxy_transaction_settle(transaction);
}

/* ---- requests ---- */

/* An INVITE, and what belongs to it, may have come by another port or connection than the INVITE of another worker. 1: it
 * is handed over. */
static int
elsewhere(proxy_worker *worker, int listener, uint64_t connection)
{
    const isoproxy *proxy = worker->proxy;
    const proxy_view *view = &worker->view;
    if (proxy->transactions == NULL || worker->handed ||
        (view->method != ISO_METHOD_INVITE && view->method != ISO_METHOD_ACK && view->method != ISO_METHOD_CANCEL))
        return 0;
    int owner = proxy_directory_find(proxy->transactions, proxy_transaction_key(proxy, view));
    if (owner == 0 || owner == worker->number)
        return 0;
    hand_over(worker, owner, listener, connection);
    return 1;
}

/* 1: the request belongs to a transaction, or to a reply without one, and is done with. */
static int
in_transaction(proxy_worker *worker, int listener, uint64_t connection)
{
    const proxy_view *view = &worker->view;
    int method = view->method;
    proxy_transaction *transaction =
        proxy_transaction_find(worker, view, method == ISO_METHOD_ACK || method == ISO_METHOD_CANCEL);
    if (method == ISO_METHOD_ACK) {
        char tag[PROXY_TAG_TEXT];
        if (transaction == NULL)
            return (view->to_tag.p != NULL && proxy_equal(view->to_tag, proxy_tag(worker->proxy, view, tag))) ||
                   elsewhere(worker, listener, connection);
        if (transaction->state == PROXY_SERVER_ACCEPTED)
            return 0; /* of a 2xx, with the branch of its INVITE: goes on to who sent the 2xx */
        proxy_server_ack(transaction);
    } else if (transaction == NULL) {
        return view->method == ISO_METHOD_INVITE || view->method == ISO_METHOD_CANCEL
                   ? elsewhere(worker, listener, connection)
                   : proxy_finished_retransmitted(worker, view);
    } else if (method == ISO_METHOD_CANCEL) {
        refuse(worker, listener, connection, 200, PROXY_TEXT("canceling"), (iso_str){NULL, 0});
        proxy_relay_cancel(transaction);
    } else {
        proxy_count(worker, retransmitted);
        proxy_server_retransmitted(transaction);
    }
    proxy_transaction_settle(transaction);
    return 1;
}

/* RFC 3261 16.3. 1: refused. */
static int
invalid(proxy_worker *worker, int listener, uint64_t connection)
{
    const proxy_view *view = &worker->view;
    char memory[512];
    proxy_writer rows = {memory, 0, sizeof memory};
    iso_str version = {view->msg.data + view->index.third, view->index.third_n};
    if (!proxy_same(version, PROXY_TEXT("SIP/2.0"))) { /* RFC 3261 21.5.6 */
        refuse(worker, listener, connection, 505, proxy_reason(505), (iso_str){NULL, 0});
        return 1;
    }
    if (view->hops == 0) {
        refuse(worker, listener, connection, 483, proxy_reason(483), (iso_str){NULL, 0});
        return 1;
    }
    if (view->proxy_require.n > 0 && view->method != ISO_METHOD_ACK && view->method != ISO_METHOD_CANCEL) {
        proxy_put_text(&rows, "Unsupported: ");
        proxy_put(&rows, view->proxy_require);
        proxy_put_text(&rows, "\r\n");
        if (rows.n > rows.size)
            rows.n = 0;
        refuse(worker, listener, connection, 420, proxy_reason(420), proxy_written(&rows));
        return 1;
    }
    if (proxy_loops(worker->proxy, view)) {
        refuse(worker, listener, connection, 482, proxy_reason(482), (iso_str){NULL, 0});
        return 1;
    }
    return 0;
}

/* While the proxy drains, requests that begin something new go elsewhere. */
static int
drained(proxy_worker *worker, int listener, uint64_t connection)
{
    const proxy_view *view = &worker->view;
    if (atomic_load_explicit(&worker->proxy->stopping, memory_order_relaxed) == PROXY_SERVING ||
        view->to_tag.p != NULL || view->method == ISO_METHOD_ACK || view->method == ISO_METHOD_CANCEL)
        return 0;
    char memory[PROXY_RETRY_TEXT];
    refuse(worker, listener, connection, 503, proxy_reason(503), proxy_retry_after(worker->proxy, memory));
    return 1;
}

static void
receive_request(proxy_worker *worker, int listener, uint64_t connection)
{
    proxy_count(worker, received_requests);
    if (in_transaction(worker, listener, connection) || invalid(worker, listener, connection) ||
        drained(worker, listener, connection))
        return;
    proxy_route_request(worker, &worker->view, listener, connection);
}

void
proxy_receive(proxy_worker *worker, const char *data, size_t n, const iso_address *source, int listener,
              uint64_t connection)
{
    iso_msg msg;
    int reply;
    if (n < 4 || iso_msg_init(&msg, data, n) < 0)
        return; /* a keep-alive (RFC 5626, CRLF or a NUL) */
    msg.source = *source;
    msg.destination = worker->proxy->listeners[listener].address;
    const char *wrong = proxy_view_read(&worker->view, &msg, &reply);
    if (wrong != NULL) {
        proxy_count(worker, malformed);
        proxy_log_bad(worker, &worker->view, wrong);
        if (reply)
            refuse(worker, listener, connection, 400, proxy_text_of(wrong), (iso_str){NULL, 0});
    } else if (worker->view.index.type == ISO_TYPE_REPLY) {
        receive_reply(worker, listener, connection);
    } else {
        receive_request(worker, listener, connection);
    }
}

static void
receive_answer(proxy_worker *worker, const proxy_parcel *parcel)
{
    proxy_transaction *transaction = proxy_transaction_by_id(worker, parcel->transaction);
    proxy_answer answer;
    if (transaction == NULL || parcel->branch >= transaction->branch_count)
        return;
    memcpy(&answer, parcel->data, sizeof answer);
    transaction->users++;
    proxy_client_answer(transaction->branches[parcel->branch], &answer);
    transaction->users--;
    proxy_transaction_settle(transaction);
}

/* ---- errors ---- */

/* A quoted request may be cut anywhere: what follows its last whole row is left out. 1, or 0: no branch of ours. */
static int
read_quoted(const proxy_worker *worker, const char *data, size_t n, proxy_branch_id *id_out)
{
    iso_msg msg;
    iso_index index;
    iso_str value;
    proxy_via via;
    uint32_t cursor = 0;
    while (n > 0 && data[n - 1] != '\n')
        n--;
    return iso_msg_init(&msg, data, n) == 0 && iso_msg_index(&msg, &index) == 0 && index.type == ISO_TYPE_REQUEST &&
           iso_msg_header(&msg, &index, PROXY_TEXT("Via"), &cursor, NULL, &value) &&
           proxy_via_read(data, value, &via) && proxy_branch_read(worker->proxy, via.branch, id_out);
}

static void
receive_error(proxy_worker *worker, uint32_t id, uint32_t number)
{
    proxy_transaction *transaction = proxy_transaction_by_id(worker, id);
    if (transaction == NULL || number >= transaction->branch_count)
        return;
    proxy_branch *branch = transaction->branches[number];
    transaction->users++;
    if (branch->state == PROXY_CLIENT_CALLING) /* else there is somebody after all */
        proxy_client_failed(branch, 503);
    transaction->users--;
    proxy_transaction_settle(transaction);
}

void
proxy_receive_error(proxy_worker *worker, const char *data, size_t n)
{
    proxy_branch_id id;
    if (!read_quoted(worker, data, n, &id) || !id.stateful)
        return;
    if (id.worker == worker->number) {
        receive_error(worker, id.slot, (uint32_t)id.branch);
        return;
    }
    proxy_parcel label = {.kind = PROXY_PARCEL_ERROR, .transaction = id.slot, .branch = (uint32_t)id.branch};
    if (proxy_inbox_push(&worker->proxy->workers[id.worker - 1].inbox, &label, "", 0) == 0)
        proxy_count(worker, handed_over);
}

static void
handle_parcel(proxy_worker *worker, const proxy_parcel *parcel)
{
    switch (parcel->kind) {
    case PROXY_PARCEL_SEND:
        proxy_tcp_send_parcel(worker, parcel);
        break;
    case PROXY_PARCEL_ANSWER:
        receive_answer(worker, parcel);
        break;
    case PROXY_PARCEL_ERROR:
        receive_error(worker, parcel->transaction, parcel->branch);
        break;
    default:
        worker->handed = 1;
        proxy_receive(worker, parcel->data, parcel->length, &parcel->address, parcel->listener, parcel->connection);
        worker->handed = 0;
        break;
    }
}

void
proxy_receive_parcels(proxy_worker *worker)
{
    proxy_parcel *parcel = proxy_inbox_take(&worker->inbox);
    while (parcel != NULL) {
        proxy_parcel *next = parcel->next;
        handle_parcel(worker, parcel);
        free(parcel);
        parcel = next;
    }
}
