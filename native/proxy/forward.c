/* forward.c: the request that leaves (RFC 3261 16.4 to 16.6). */
#include "proxy.h"

iso_str
proxy_edit_of(const iso_edits *edits, int kind)
{
    iso_edit edit;
    iso_str found = {NULL, 0};
    for (size_t i = 0, n = iso_edits_count(edits); i < n && iso_edits_get(edits, i, &edit) == 0; i++) {
        if (edit.kind == kind)
            found = edit.value.n > 0 ? edit.value : (iso_str){NULL, 0};
    }
    return found;
}

iso_str
proxy_current_ruri(const proxy_context *context)
{
    iso_str edited = proxy_edit_of(context->edits, ISO_EDIT_SET_RURI);
    if (edited.p != NULL)
        return edited;
    return context->fork != NULL ? context->fork->ruri : context->view->ruri;
}

iso_str
proxy_current_dst_uri(const proxy_context *context)
{
    iso_str edited = proxy_edit_of(context->edits, ISO_EDIT_SET_DST_URI);
    if (edited.p != NULL || context->fork == NULL)
        return edited;
    return context->fork->dst_uri;
}

static int
edits_text(const iso_edits *edits)
{
    iso_edit edit;
    for (size_t i = 0, n = iso_edits_count(edits); i < n && iso_edits_get(edits, i, &edit) == 0; i++) {
        if (edit.kind != ISO_EDIT_SET_RURI && edit.kind != ISO_EDIT_SET_DST_URI)
            return 1;
    }
    return 0;
}

const proxy_view *
proxy_apply_edits(proxy_worker *worker, const proxy_view *view, const iso_edits *edits)
{
    if (!edits_text(edits))
        return view;
    int64_t n = iso_msg_render(&view->msg, edits, worker->scratch, PROXY_MAX_MESSAGE);
    iso_msg msg = view->msg;
    int reply;
    if (n <= 0 || n > PROXY_MAX_MESSAGE)
        return NULL;
    msg.data = worker->scratch;
    msg.length = (uint32_t)n;
    msg.index = NULL;
    return proxy_view_read(&worker->edited, &msg, &reply) == NULL ? &worker->edited : NULL;
}

/* Those of the branch route, over the text that the others have made. */
static const proxy_view *
apply_more_edits(proxy_worker *worker, const proxy_view *view, const iso_edits *edits)
{
    if (view == NULL || !edits_text(edits))
        return view;
    if (view == &worker->edited) { /* out of the way of what is written */
        iso_msg msg = view->msg;
        int reply;
        msg.data = memcpy(worker->scratch + PROXY_MAX_MESSAGE, view->msg.data, view->msg.length);
        msg.index = NULL;
        (void)proxy_view_read(&worker->edited, &msg, &reply); /* the same octets: it was read before */
    }
    return proxy_apply_edits(worker, view, edits);
}

int
proxy_plan_request(proxy_worker *worker, const proxy_view *request, const proxy_changes *changes, int listener,
                   proxy_plan *plan)
{
    const proxy_fork *fork = changes->fork;
    plan->target_count = plan->pop_routes = plan->record_route = plan->switches = plan->prepared = 0;
    plan->from = plan->preferred = listener;
    plan->ruri = (iso_str){NULL, 0};
    plan->view = apply_more_edits(worker, proxy_apply_edits(worker, request, changes->edits), changes->branch);
    if (plan->view == NULL)
        return 500;
    plan->ruri = proxy_edit_of(changes->branch, ISO_EDIT_SET_RURI);
    if (plan->ruri.p == NULL)
        plan->ruri = fork != NULL ? fork->ruri : proxy_edit_of(changes->edits, ISO_EDIT_SET_RURI);
    iso_str next = {NULL, 0}, dst = proxy_edit_of(changes->branch, ISO_EDIT_SET_DST_URI);
    if (dst.p == NULL)
        dst = fork != NULL ? fork->dst_uri : proxy_edit_of(changes->edits, ISO_EDIT_SET_DST_URI);
    int code = proxy_follow_routes(worker, plan, &next);
    if (code != 0)
        return code;
    return proxy_resolve(worker, dst.p != NULL ? dst : next, proxy_request_hash(worker->proxy, request), plan);
}

int
proxy_plan_stream(const isoproxy *proxy, proxy_plan *plan, size_t length)
{
    int limit = proxy->config.udp_limit;
    proxy_target stream = plan->target;
    stream.address.protocol = ISO_PROTOCOL_TCP;
    stream.listener = proxy_listener_for(proxy, &stream.address, plan->preferred);
    if (!plan->switches || plan->target.address.protocol != ISO_PROTOCOL_UDP || limit == 0 || length <= (size_t)limit ||
        stream.listener < 0)
        return 0;
    plan->switches = 0;
    plan->target = stream;
    return 1;
}

/* ---- our own rows ---- */

static void
put_record_route(proxy_writer *to, const proxy_listener *own, int pair)
{
    proxy_put_text(to, "Record-Route: <sip:");
    proxy_put(to, (iso_str){own->sent_by, own->sent_by_n});
    if (own->address.protocol == ISO_PROTOCOL_TCP)
        proxy_put_text(to, ";transport=tcp");
    if (pair)
        proxy_put_text(to, ";r2=on");
    proxy_put_text(to, ";lr>\r\n");
}

/* Two Record-Routes, the one for the next hop first, if the request leaves by another listener than it came by: each
 * side must find one that it can reach (RFC 5658). */
static void
patch_own_rows(proxy_patches *patches, const isoproxy *proxy, const proxy_plan *plan, iso_str branch)
{
    const proxy_listener *own = &proxy->listeners[plan->target.listener];
    proxy_writer rows = proxy_patches_writer(patches, 512);
    if (plan->record_route) {
        int pair = plan->from != plan->target.listener;
        put_record_route(&rows, own, pair);
        if (pair)
            put_record_route(&rows, &proxy->listeners[plan->from], pair);
    }
    proxy_put(&rows, own->address.protocol == ISO_PROTOCOL_TCP ? PROXY_TEXT("Via: SIP/2.0/TCP ")
                                                               : PROXY_TEXT("Via: SIP/2.0/UDP "));
    proxy_put(&rows, (iso_str){own->sent_by, own->sent_by_n});
    proxy_put_text(&rows, ";branch=");
    proxy_put(&rows, branch);
    proxy_put_text(&rows, "\r\n");
    /* Our Record-Route must stand before those of others, our Via before theirs (RFC 3261 16.6 steps 4, 8). */
    int32_t row = plan->view->first_via;
    if (plan->record_route && plan->view->first_record_route >= 0 && plan->view->first_record_route < row)
        row = plan->view->first_record_route;
    proxy_patch_add(patches, proxy_row_start(plan->view, row), 0, proxy_patches_end(patches, &rows));
}

/* A stream needs it (RFC 3261 18.3). */
static void
patch_length(proxy_patches *patches, const proxy_view *view)
{
    proxy_writer length = proxy_patches_writer(patches, 32);
    proxy_put_text(&length, "Content-Length: ");
    proxy_put_number(&length, view->body.n);
    proxy_put_text(&length, "\r\n");
    proxy_patch_add(patches, proxy_row_start(view, -1), 0, proxy_patches_end(patches, &length));
}

/* ---- writing ---- */

static void
patch_others(proxy_patches *patches, const proxy_plan *plan)
{
    const proxy_view *view = plan->view;
    if (plan->ruri.p != NULL)
        proxy_patch_add(patches, view->index.second, view->index.second_n, plan->ruri);
    proxy_patch_received(patches, view);
    proxy_patch_hops(patches, view);
    if (plan->pop_routes > 0)
        proxy_patch_pop_routes(patches, view, plan->pop_routes);
}

void
proxy_write_prepared(const proxy_plan *plan, proxy_writer *to)
{
    proxy_patches patches;
    proxy_patches_start(&patches);
    patch_others(&patches, plan);
    proxy_patches_apply(&patches, plan->view, to);
}

void
proxy_write_request(proxy_worker *worker, const proxy_plan *plan, iso_str branch, proxy_writer *to)
{
    proxy_patches patches;
    proxy_patches_start(&patches);
    patch_own_rows(&patches, worker->proxy, plan, branch);
    if (!plan->prepared)
        patch_others(&patches, plan);
    if (plan->view->content_length.p == NULL && plan->target.address.protocol == ISO_PROTOCOL_TCP)
        patch_length(&patches, plan->view);
    proxy_patches_apply(&patches, plan->view, to);
}
