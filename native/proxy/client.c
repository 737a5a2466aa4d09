/* client.c: the client transaction of one branch (RFC 3261 17.1, RFC 6026 8.4). */
#include <stdlib.h>

#include "proxy.h"

static int
reliable(const proxy_branch *branch)
{
    return branch->target.address.protocol == ISO_PROTOCOL_TCP;
}

static const isoproxy_config *
config_of(const proxy_branch *branch)
{
    return &branch->transaction->worker->proxy->config;
}

static void
stop_timers(proxy_branch *branch)
{
    proxy_wheel *wheel = &branch->transaction->worker->wheel;
    proxy_branch_off_stream(branch);
    proxy_timer_end(wheel, &branch->again);
    proxy_timer_end(wheel, &branch->end);
    proxy_timer_end(wheel, &branch->ring);
}

/* ---- the end ---- */

void
proxy_client_forget(proxy_branch *branch)
{
    stop_timers(branch);
    branch->state = PROXY_CLIENT_TERMINATED;
}

/* The branch has its final code: the next target is tried, if there is one and this one gave none at all, else the
 * transaction goes on without it (RFC 3263 4.3). */
static void
ended(proxy_branch *branch)
{
    int gave_up = branch->code == 408 || branch->code == 503;
    if (!gave_up || branch->cancel || branch->cancelled || !proxy_client_next(branch))
        proxy_relay_ended(branch);
}

void
proxy_client_failed(proxy_branch *branch, int code)
{
    proxy_client_forget(branch);
    if (branch->code < 200) {
        branch->code = (uint16_t)code;
        ended(branch);
    }
}

/* B and F: nobody answered. D, K and M: late copies have had their time. */
static void
end(proxy_timer *timer, void *worker)
{
    proxy_branch *branch = PROXY_OWNER(timer, proxy_branch, end);
    proxy_transaction *transaction = branch->transaction;
    (void)worker;
    proxy_client_failed(branch, 408);
    proxy_transaction_settle(transaction);
}

static void
end_after(proxy_branch *branch, int ms)
{
    stop_timers(branch);
    if (ms > 0)
        proxy_worker_timer(branch->transaction->worker, &branch->end, (uint64_t)ms, end);
    else
        branch->state = PROXY_CLIENT_TERMINATED;
}

/* Timer C: rang too long. Cancelled, and given up if that brings no answer (RFC 3261 16.8, 9.1). */
static void
rang(proxy_timer *timer, void *worker)
{
    proxy_branch *branch = PROXY_OWNER(timer, proxy_branch, ring);
    proxy_client_cancel(branch);
    proxy_worker_timer(worker, &branch->end, (uint64_t)(64 * config_of(branch)->t1), end);
}

/* Timers A and E. */
static void
again(proxy_timer *timer, void *worker)
{
    proxy_branch *branch = PROXY_OWNER(timer, proxy_branch, again);
    int interval = branch->interval * 2, t2 = config_of(branch)->t2;
    if (!branch->transaction->invite && (interval > t2 || branch->state == PROXY_CLIENT_PROCEEDING))
        interval = t2;
    branch->interval = (uint16_t)interval;
    (void)proxy_send(worker, &branch->target, branch->request);
    proxy_count((proxy_worker *)worker, sent_requests);
    proxy_worker_timer(worker, timer, (uint64_t)interval, again);
}

/* Timers of a request that has just been sent. */
void
proxy_client_sent(proxy_branch *branch)
{
    proxy_worker *worker = branch->transaction->worker;
    const isoproxy_config *config = config_of(branch);
    branch->state = PROXY_CLIENT_CALLING;
    branch->interval = (uint16_t)config->t1;
    if (reliable(branch))
        proxy_branch_on_stream(branch);
    else
        proxy_worker_timer(worker, &branch->again, (uint64_t)config->t1, again);
    proxy_worker_timer(worker, &branch->end, (uint64_t)(64 * config->t1), end);
    if (branch->transaction->invite)
        proxy_worker_timer(worker, &branch->ring, (uint64_t)config->timer_c, rang);
    proxy_count(worker, sent_requests);
}

/* The resolver has so much time. */
void
proxy_client_waits(proxy_branch *branch)
{
    branch->state = PROXY_CLIENT_WAITING;
    proxy_worker_timer(branch->transaction->worker, &branch->end, (uint64_t)config_of(branch)->resolve_timeout, end);
}

/* ---- ACK and CANCEL of one hop ---- */

/* Both have the request's R-URI, topmost Via, From, Call-ID, CSeq number and Route (RFC 3261 17.1.1.3, 9.1); a CANCEL
 * has its To, an ACK that of the reply. */
static void
send_hop(proxy_branch *branch, iso_str method, iso_str to_value)
{
    proxy_worker *worker = branch->transaction->worker;
    proxy_view *sent = &worker->edited;
    iso_msg msg;
    int reply;
    if (iso_msg_init(&msg, branch->request.p, branch->request.n) < 0 || proxy_view_read(sent, &msg, &reply) != NULL)
        return;
    proxy_writer to = proxy_out_begin(worker);
    proxy_put(&to, method);
    proxy_put_text(&to, " ");
    proxy_put(&to, sent->ruri);
    proxy_put_text(&to, " SIP/2.0\r\nVia: ");
    proxy_put(&to, (iso_str){msg.data + sent->via.start, sent->via.end - sent->via.start});
    proxy_put_text(&to, "\r\n");
    uint32_t cursor = 0;
    iso_str route;
    while (iso_msg_header(&sent->msg, &sent->index, PROXY_TEXT("Route"), &cursor, NULL, &route)) {
        proxy_put_text(&to, "Route: ");
        proxy_put(&to, route);
        proxy_put_text(&to, "\r\n");
    }
    proxy_put_text(&to, "Max-Forwards: 70\r\nFrom: ");
    proxy_put(&to, sent->from);
    proxy_put_text(&to, "\r\nTo: ");
    proxy_put(&to, to_value.p != NULL ? to_value : sent->to);
    proxy_put_text(&to, "\r\nCall-ID: ");
    proxy_put(&to, sent->call_id);
    proxy_put_text(&to, "\r\nCSeq: ");
    proxy_put_number(&to, sent->cseq_number);
    proxy_put_text(&to, " ");
    proxy_put(&to, method);
    proxy_put_text(&to, "\r\nContent-Length: 0\r\n\r\n");
    (void)proxy_out_send(worker, &branch->target, &to);
    proxy_count(worker, sent_requests);
}

void
proxy_client_cancel(proxy_branch *branch)
{
    if (branch->cancelled || !branch->transaction->invite)
        return;
    if (branch->state == PROXY_CLIENT_WAITING) {
        proxy_client_failed(branch, 487); /* nobody has heard of it */
    } else if (branch->state == PROXY_CLIENT_CALLING) {
        branch->cancel = 1;
    } else if (branch->state == PROXY_CLIENT_PROCEEDING) {
        branch->cancelled = 1;
        send_hop(branch, PROXY_TEXT("CANCEL"), (iso_str){NULL, 0});
        proxy_worker_timer(branch->transaction->worker, &branch->end, (uint64_t)(64 * config_of(branch)->t1), end);
    }
}

/* ---- replies ---- */

static void
provisional(proxy_branch *branch, const proxy_view *reply, const iso_edits *edits)
{
    proxy_worker *worker = branch->transaction->worker;
    if (branch->state > PROXY_CLIENT_PROCEEDING)
        return;
    branch->state = PROXY_CLIENT_PROCEEDING;
    proxy_branch_off_stream(branch); /* its connection may end: the reply may come by another */
    branch->code = (uint16_t)reply->status;
    if (branch->transaction->invite) {
        proxy_timer_end(&worker->wheel, &branch->again);
        if (!branch->cancelled) /* B is for no answer at all */
            proxy_timer_end(&worker->wheel, &branch->end);
        if (reply->status > 100) /* RFC 3261 16.7 step 2 */
            proxy_worker_timer(worker, &branch->ring, (uint64_t)config_of(branch)->timer_c, rang);
    }
    if (branch->cancel)
        proxy_client_cancel(branch);
    if (reply->status > 100)
        proxy_relay_pass(branch, reply, edits);
}

static void
final(proxy_branch *branch, const proxy_view *reply, const iso_edits *edits)
{
    const isoproxy_config *config = config_of(branch);
    int invite = branch->transaction->invite, status = reply->status, first = branch->state <= PROXY_CLIENT_PROCEEDING;
    if (invite && status < 300) {
        if (first) {
            branch->state = PROXY_CLIENT_ACCEPTED;
            end_after(branch, 64 * config->t1);
        }
        if (branch->state == PROXY_CLIENT_ACCEPTED) { /* also each retransmission, from end to end */
            branch->code = (uint16_t)status;
            proxy_relay_pass(branch, reply, edits);
        }
        return;
    }
    if (invite && (first || branch->state == PROXY_CLIENT_COMPLETED))
        send_hop(branch, PROXY_TEXT("ACK"), reply->to);
    if (!first)
        return;
    branch->state = PROXY_CLIENT_COMPLETED;
    branch->code = (uint16_t)status;
    branch->replier = reply->msg.source;
    end_after(branch, reliable(branch) ? 0 : invite ? 64 * config->t1 : config->t4);
    if (status < 300) {
        proxy_relay_pass(branch, reply, edits);
        return;
    }
    const proxy_view *edited = proxy_apply_edits(branch->transaction->worker, reply, edits);
    if (edited != NULL)
        (void)proxy_keep(branch->transaction->worker, &branch->reply,
                         (iso_str){edited->msg.data, edited->msg.length}); /* without: its code alone */
    ended(branch);
}

void
proxy_client_reply(proxy_branch *branch, const proxy_view *reply)
{
    proxy_transaction *transaction = branch->transaction;
    const iso_edits *edits = NULL;
    if (!proxy_equal(reply->method_name, transaction->request.method_name))
        return; /* RFC 3261 17.1.3 */
    int late = branch->state == PROXY_CLIENT_COMPLETED || branch->state == PROXY_CLIENT_TERMINATED;
    transaction->users++;
    int wanted = late || proxy_route_reply(transaction->worker, reply, branch, transaction->listener, &edits) ||
                 reply->status >= 200;
    if (wanted && reply->status < 200)
        provisional(branch, reply, edits);
    else if (wanted)
        final(branch, reply, edits);
    transaction->users--;
}
