/* stateless.c: replies and relaying without a transaction (RFC 3261 8.2.7, 16.11). */
#include "proxy.h"

void
proxy_reply_target(const proxy_view *request, int listener, uint64_t connection, proxy_target *out)
{
    const proxy_via *via = &request->via;
    *out = (proxy_target){.address = request->msg.source, .listener = listener, .connection = connection};
    int symmetric = via->rport.p != NULL && out->address.protocol == ISO_PROTOCOL_UDP;
    if (!symmetric)
        out->address.port = via->port != 0 ? via->port : PROXY_DEFAULT_PORT;
    if (via->maddr.p != NULL && out->address.protocol == ISO_PROTOCOL_UDP)
        (void)proxy_address_of(&out->address, via->maddr, out->address.port, ISO_PROTOCOL_UDP);
}

iso_str
proxy_retry_after(const isoproxy *proxy, char text[PROXY_RETRY_TEXT])
{
    proxy_writer to = {text, 0, PROXY_RETRY_TEXT};
    proxy_put_text(&to, "Retry-After: ");
    proxy_put_number(&to, (uint64_t)proxy->config.retry_after / 1000);
    proxy_put_text(&to, "\r\n");
    return proxy_written(&to);
}

int
proxy_reply_stateless(proxy_worker *worker, const proxy_view *request, int listener, uint64_t connection, int code,
                      iso_str reason, iso_str rows)
{
    const isoproxy *proxy = worker->proxy;
    char tag_text[PROXY_TAG_TEXT];
    iso_str tag = {NULL, 0};
    proxy_target target;
    if (request->method == ISO_METHOD_ACK) /* RFC 3261 17: no reply to an ACK, ever */
        return ISO_EINVAL;
    if (code > 100)
        tag = proxy_tag(proxy, request, tag_text);
    proxy_reply_target(request, listener, connection, &target);
    proxy_writer to = proxy_out_begin(worker);
    proxy_build_reply(&to, request, code, reason, tag, proxy_text_of(proxy->config.server), rows, (iso_str){NULL, 0});
    proxy_count(worker, sent_replies);
    return proxy_out_send(worker, &target, &to);
}

/* Where the next Via of a reply wants it (RFC 3261 18.2.2). */
static int
next_via_target(const isoproxy *proxy, const proxy_view *reply, const proxy_branch_id *id, proxy_target *out)
{
    uint32_t cursor = 0;
    iso_str rest = {NULL, 0}, element;
    proxy_via via;
    for (int i = 0; i < 2; i++) {
        if (!proxy_next_element(reply, PROXY_TEXT("Via"), &cursor, &rest, &element))
            return ISO_EINVAL;
    }
    if (!proxy_via_read(reply->msg.data, element, &via))
        return ISO_EINVAL;
    uint8_t protocol = proxy_protocol_of(via.transport);
    int64_t port = via.rport.n > 0 ? proxy_number(via.rport, UINT16_MAX) : via.port;
    iso_str host = via.maddr.p != NULL ? via.maddr : via.received.p != NULL ? via.received : via.host;
    *out = (proxy_target){.connection = id->connection};
    if (protocol == ISO_PROTOCOL_UNKNOWN || port < 0 ||
        proxy_address_of(&out->address, host, port > 0 ? (uint16_t)port : PROXY_DEFAULT_PORT, protocol) < 0)
        return ISO_EINVAL;
    out->listener = proxy_listener_for(proxy, &out->address, id->listener);
    return out->listener < 0 ? ISO_EINVAL : 0;
}

void
proxy_forward_reply(proxy_worker *worker, const proxy_view *reply, const proxy_branch_id *id, const iso_edits *edits)
{
    proxy_target target;
    const proxy_view *view = proxy_apply_edits(worker, reply, edits);
    if (view == NULL || next_via_target(worker->proxy, reply, id, &target) < 0) {
        proxy_count(worker, dropped);
        return;
    }
    proxy_patches patches;
    proxy_patches_start(&patches);
    proxy_patch_pop_via(&patches, view);
    proxy_writer to = proxy_out_begin(worker);
    proxy_patches_apply(&patches, view, &to);
    if (proxy_out_send(worker, &target, &to) < 0)
        proxy_count(worker, dropped);
    else
        proxy_count(worker, sent_replies);
}

/* A name that nobody knows yet: the request waits in a transaction. An ACK and a CANCEL have none; they come again, with
 * the reply that was not acknowledged, and find the name known. */
static int
forward_later(proxy_worker *worker, proxy_context *context, const proxy_plan *plan)
{
    proxy_answer answer;
    if (context->view->method != ISO_METHOD_ACK && context->view->method != ISO_METHOD_CANCEL)
        return proxy_relay(context);
    (void)proxy_resolver_ask(worker->proxy->resolver, &plan->question, NULL, 0, 0, &answer);
    proxy_count(worker, dropped);
    return 0;
}

int
proxy_forward_stateless(proxy_worker *worker, proxy_context *context, iso_str destination)
{
    const proxy_view *view = context->view;
    proxy_plan plan;
    proxy_fork fork = {proxy_current_ruri(context), destination};
    proxy_changes changes = {.edits = context->edits, .fork = destination.n > 0 ? &fork : NULL};
    int code = proxy_plan_request(worker, view, &changes, context->listener, &plan);
    if (code == PROXY_LATER)
        return forward_later(worker, context, &plan);
    if (code != 0)
        return code;
    plan.record_route = context->record_route;
    /* A datagram's reply may come to any worker, which can send it on; a stream's only to its own. */
    proxy_branch_id id = {
        .worker = (int)(context->connection >> 32),
        .listener = context->listener,
        .connection = context->connection,
        .hash = proxy_request_hash(worker->proxy, view),
        .loop = proxy_loop_hash(worker->proxy, view),
    };
    char branch[PROXY_BRANCH_TEXT];
    size_t n = proxy_branch_write(worker->proxy, &id, branch);
    proxy_writer to;
    do {
        to = proxy_out_begin(worker);
        proxy_write_request(worker, &plan, (iso_str){branch, n}, &to);
    } while (proxy_plan_stream(worker->proxy, &plan, to.n));
    code = proxy_out_send(worker, &plan.target, &to);
    if (code < 0)
        return code == ISO_ESPACE ? 513 : 503;
    proxy_count(worker, sent_requests);
    return 0;
}
