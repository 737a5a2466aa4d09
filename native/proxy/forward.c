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

/* The URI of the next hop by the Route rows; our own first one is to be popped (RFC 3261 16.4). */
static iso_str
route_uri(const isoproxy *proxy, proxy_plan *plan)
{
    uint32_t cursor = 0;
    iso_str rest = {NULL, 0}, element, none = {NULL, 0};
    iso_uri uri;
    if (plan->view->first_route < 0 || !proxy_next_element(plan->view, PROXY_TEXT("Route"), &cursor, &rest, &element))
        return none;
    iso_str first = proxy_header_uri(element);
    if (iso_uri_parse(first, &uri) < 0 || !proxy_is_own(proxy, uri.host, uri.port))
        return first;
    plan->pop_route = 1;
    return proxy_next_element(plan->view, PROXY_TEXT("Route"), &cursor, &rest, &element) ? proxy_header_uri(element)
                                                                                         : none;
}

int
proxy_plan_request(proxy_worker *worker, const proxy_view *request, const iso_edits *edits, int listener,
                   proxy_plan *plan)
{
    *plan = (proxy_plan){.view = proxy_apply_edits(worker, request, edits)};
    if (plan->view == NULL)
        return 500;
    iso_str ruri = proxy_edit_of(edits, ISO_EDIT_SET_RURI), next = proxy_edit_of(edits, ISO_EDIT_SET_DST_URI);
    if (plan->view == request)
        plan->ruri = ruri;
    iso_str route = route_uri(worker->proxy, plan);
    if (next.p == NULL)
        next = route.p != NULL ? route : ruri.p != NULL ? ruri : request->ruri;
    return proxy_resolve(worker, next, listener, &plan->target);
}

static void
put_own_uri(proxy_writer *to, const proxy_listener *own)
{
    proxy_put_text(to, "<sip:");
    proxy_put(to, (iso_str){own->sent_by, own->sent_by_n});
    if (own->address.protocol == ISO_PROTOCOL_TCP)
        proxy_put_text(to, ";transport=tcp");
    proxy_put_text(to, ";lr>");
}

static void
patch_own_rows(proxy_patches *patches, const isoproxy *proxy, const proxy_plan *plan, iso_str branch)
{
    const proxy_listener *own = &proxy->listeners[plan->target.listener];
    proxy_writer rows = proxy_patches_writer(patches, 512);
    if (plan->record_route) {
        proxy_put_text(&rows, "Record-Route: ");
        put_own_uri(&rows, own);
        proxy_put_text(&rows, "\r\n");
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

void
proxy_write_request(proxy_worker *worker, const proxy_plan *plan, iso_str branch, proxy_writer *to)
{
    const proxy_view *view = plan->view;
    proxy_patches patches;
    patches.count = 0;
    patches.used = 0;
    if (plan->ruri.p != NULL)
        proxy_patch_add(&patches, view->index.second, view->index.second_n, plan->ruri);
    patch_own_rows(&patches, worker->proxy, plan, branch);
    proxy_patch_received(&patches, view);
    proxy_patch_hops(&patches, view);
    if (plan->pop_route)
        proxy_patch_pop_route(&patches, view);
    if (view->content_length.p == NULL && plan->target.address.protocol == ISO_PROTOCOL_TCP) {
        proxy_writer length = proxy_patches_writer(&patches, 32);
        proxy_put_text(&length, "Content-Length: ");
        proxy_put_number(&length, view->body.n);
        proxy_put_text(&length, "\r\n");
        proxy_patch_add(&patches, proxy_row_start(view, -1), 0, proxy_patches_end(&patches, &length));
    }
    proxy_patches_apply(&patches, view, to);
}
