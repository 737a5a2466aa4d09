#include "build.h"

#include "address.h"

/* ---- patches ---- */

int
proxy_patch_add(proxy_patches *patches, uint32_t at, uint32_t cut, iso_str text)
{
    if (patches->count == PROXY_PATCHES)
        return ISO_ESPACE;
    int i = patches->count++;
    while (i > 0 && patches->items[i - 1].at > at) {
        patches->items[i] = patches->items[i - 1];
        i--;
    }
    patches->items[i] = (proxy_patch){at, cut, text};
    return 0;
}

proxy_writer
proxy_patches_writer(proxy_patches *patches, size_t size)
{
    size_t room = sizeof patches->text - patches->used;
    return (proxy_writer){patches->text + patches->used, 0, size < room ? size : room};
}

iso_str
proxy_patches_end(proxy_patches *patches, const proxy_writer *writer)
{
    if (writer->n > writer->size)
        return (iso_str){NULL, 0};
    patches->used += writer->n;
    return proxy_written(writer);
}

void
proxy_patches_apply(const proxy_patches *patches, const proxy_view *view, proxy_writer *to)
{
    const char *data = view->msg.data;
    uint32_t at = view->index.start, end = view->index.body + (uint32_t)view->body.n;
    for (int i = 0; i < patches->count; i++) {
        const proxy_patch *patch = &patches->items[i];
        if (patch->at > at)
            proxy_put(to, (iso_str){data + at, patch->at - at});
        proxy_put(to, patch->text);
        if (patch->at + patch->cut > at)
            at = patch->at + patch->cut;
    }
    proxy_put(to, (iso_str){data + at, end - at});
}

uint32_t
proxy_row_start(const proxy_view *view, int32_t row)
{
    const iso_index *index = &view->index;
    if (row >= 0 && row < index->row_count)
        return index->rows[row].name;
    if (row >= 0 && index->overflow != 0)
        return index->overflow;
    uint32_t blank = index->body - 1; /* views are complete: a blank line stands before the body */
    return blank - (view->msg.data[blank - 1] == '\r');
}

/* ---- the patches that a proxy makes ---- */

void
proxy_patch_received(proxy_patches *patches, const proxy_view *view)
{
    const proxy_via *via = &view->via;
    const iso_address *source = &view->msg.source;
    char ip[PROXY_IP_TEXT];
    size_t n = proxy_ip_text(source, ip);
    int filled = via->rport.p == NULL || via->rport.n > 0;
    if (filled && via->received.p == NULL && proxy_same(via->host, (iso_str){ip, n}))
        return;
    if (!filled) {
        proxy_writer port = proxy_patches_writer(patches, 8);
        proxy_put_text(&port, "=");
        proxy_put_number(&port, source->port);
        proxy_patch_add(patches, (uint32_t)(via->rport.p - view->msg.data), 0, proxy_patches_end(patches, &port));
    }
    if (via->received.p != NULL) {
        proxy_writer text = proxy_patches_writer(patches, PROXY_IP_TEXT);
        proxy_put(&text, (iso_str){ip, n});
        proxy_patch_add(patches, (uint32_t)(via->received.p - view->msg.data), (uint32_t)via->received.n,
                        proxy_patches_end(patches, &text));
        return;
    }
    proxy_writer text = proxy_patches_writer(patches, PROXY_IP_TEXT + 16);
    proxy_put_text(&text, ";received=");
    proxy_put(&text, (iso_str){ip, n});
    proxy_patch_add(patches, via->end, 0, proxy_patches_end(patches, &text));
}

void
proxy_patch_hops(proxy_patches *patches, const proxy_view *view)
{
    if (view->hops < 0) {
        proxy_patch_add(patches, proxy_row_start(view, view->first_via), 0, PROXY_TEXT("Max-Forwards: 70\r\n"));
        return;
    }
    proxy_writer hops = proxy_patches_writer(patches, 4);
    proxy_put_number(&hops, view->hops > 0 ? (uint64_t)view->hops - 1 : 0);
    proxy_patch_add(patches, (uint32_t)(view->max_forwards.p - view->msg.data), (uint32_t)view->max_forwards.n,
                    proxy_patches_end(patches, &hops));
}

/* Cuts the first element of a row: the whole row with its line end if it is the only one. */
static void
cut_element(proxy_patches *patches, const proxy_view *view, int32_t row, uint32_t element, uint32_t element_end)
{
    const char *data = view->msg.data;
    uint32_t end = proxy_row_start(view, row + 1), at = element_end;
    while (at < end && proxy_is_blank(data[at]))
        at++;
    if (at < end && data[at] == ',') {
        for (at++; at < end && (data[at] == ' ' || data[at] == '\t'); at++)
            ;
        proxy_patch_add(patches, element, at - element, (iso_str){NULL, 0});
    } else {
        uint32_t start = proxy_row_start(view, row);
        proxy_patch_add(patches, start, end - start, (iso_str){NULL, 0});
    }
}

void
proxy_patch_pop_via(proxy_patches *patches, const proxy_view *view)
{
    cut_element(patches, view, view->first_via, view->via.start, view->via.end);
}

/* The number of the next row of this name at or after `row`, or -1: none of those that the index stores. */
static int32_t
next_row(const proxy_view *view, int32_t row, iso_str name)
{
    for (; row < view->index.row_count; row++) {
        const iso_row *at = &view->index.rows[row];
        if (proxy_same((iso_str){view->msg.data + at->name, at->name_length}, name))
            return row;
    }
    return -1;
}

void
proxy_patch_pop_routes(proxy_patches *patches, const proxy_view *view, int count)
{
    uint32_t cursor = 0;
    iso_str rest = {NULL, 0}, element;
    int32_t row = view->first_route - 1;
    for (int i = 0; i < count; i++) {
        int new_row = rest.n == 0;
        if (!proxy_next_element(view, PROXY_TEXT("Route"), &cursor, &rest, &element))
            return;
        if (new_row && (row = next_row(view, row + 1, PROXY_TEXT("Route"))) < 0)
            return;
        uint32_t at = (uint32_t)(element.p - view->msg.data);
        cut_element(patches, view, row, at, at + (uint32_t)element.n);
    }
}

/* ---- replies ---- */

/* RFC 3261 21. */
static const struct {
    int code;
    const char *text;
} reasons[] = {
    {100, "Trying"},
    {180, "Ringing"},
    {181, "Call Is Being Forwarded"},
    {182, "Queued"},
    {183, "Session Progress"},
    {200, "OK"},
    {202, "Accepted"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Moved Temporarily"},
    {305, "Use Proxy"},
    {380, "Alternative Service"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {410, "Gone"},
    {413, "Request Entity Too Large"},
    {414, "Request-URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Unsupported URI Scheme"},
    {420, "Bad Extension"},
    {421, "Extension Required"},
    {423, "Interval Too Brief"},
    {480, "Temporarily Unavailable"},
    {481, "Call/Transaction Does Not Exist"},
    {482, "Loop Detected"},
    {483, "Too Many Hops"},
    {484, "Address Incomplete"},
    {485, "Ambiguous"},
    {486, "Busy Here"},
    {487, "Request Terminated"},
    {488, "Not Acceptable Here"},
    {491, "Request Pending"},
    {493, "Undecipherable"},
    {500, "Server Internal Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Server Time-out"},
    {505, "Version Not Supported"},
    {513, "Message Too Large"},
    {600, "Busy Everywhere"},
    {603, "Decline"},
    {604, "Does Not Exist Anywhere"},
    {606, "Not Acceptable"},
};

iso_str
proxy_reason(int code)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].code == code)
            return proxy_text_of(reasons[i].text);
    }
    static const char *const classes[] = {"Progress", "OK", "Redirect", "Request Failure", "Server Failure", "Failure"};
    return proxy_text_of(classes[(code / 100 - 1) % 6]);
}

static void
put_row(proxy_writer *to, iso_str name, iso_str value)
{
    proxy_put(to, name);
    proxy_put(to, value);
    proxy_put_text(to, "\r\n");
}

/* Every Via, the first one with what proxy_patch_received says. */
static void
put_vias(proxy_writer *to, const proxy_view *request)
{
    proxy_patches patches;
    proxy_patches_start(&patches);
    proxy_patch_received(&patches, request);
    uint32_t cursor = 0;
    iso_str value;
    int first = 1;
    while (iso_msg_header(&request->msg, &request->index, PROXY_TEXT("Via"), &cursor, NULL, &value)) {
        proxy_put_text(to, "Via: ");
        for (int i = 0; first && i < patches.count; i++) {
            const proxy_patch *patch = &patches.items[i];
            size_t before = patch->at - (uint32_t)(value.p - request->msg.data);
            proxy_put(to, (iso_str){value.p, before});
            proxy_put(to, patch->text);
            value = (iso_str){value.p + before + patch->cut, value.n - before - patch->cut};
        }
        first = 0;
        put_row(to, (iso_str){NULL, 0}, value);
    }
}

static void
put_rows(proxy_writer *to, const proxy_view *request, iso_str name, iso_str label)
{
    uint32_t cursor = 0;
    iso_str value;
    while (iso_msg_header(&request->msg, &request->index, name, &cursor, NULL, &value))
        put_row(to, label, value);
}

void
proxy_build_reply(proxy_writer *to, const proxy_view *request, int code, iso_str reason, iso_str to_tag, iso_str server,
                  iso_str rows, iso_str body)
{
    proxy_put_text(to, "SIP/2.0 ");
    proxy_put_number(to, (uint64_t)code);
    proxy_put_text(to, " ");
    put_row(to, (iso_str){NULL, 0}, reason);
    put_vias(to, request);
    if (code == 100) /* RFC 3261 8.2.6.1 */
        put_rows(to, request, PROXY_TEXT("Timestamp"), PROXY_TEXT("Timestamp: "));
    else if (code < 300 && request->first_record_route >= 0) /* RFC 3261 12.1.1 */
        put_rows(to, request, PROXY_TEXT("Record-Route"), PROXY_TEXT("Record-Route: "));
    put_row(to, PROXY_TEXT("From: "), request->from);
    proxy_put_text(to, "To: ");
    proxy_put(to, request->to);
    if (to_tag.n > 0 && request->to_tag.p == NULL) {
        proxy_put_text(to, ";tag=");
        proxy_put(to, to_tag);
    }
    put_row(to, PROXY_TEXT("\r\nCall-ID: "), request->call_id);
    put_row(to, PROXY_TEXT("CSeq: "), request->cseq);
    if (server.n > 0)
        put_row(to, PROXY_TEXT("Server: "), server);
    proxy_put(to, rows);
    proxy_put_text(to, "Content-Length: ");
    proxy_put_number(to, body.n);
    proxy_put_text(to, "\r\n\r\n");
    proxy_put(to, body);
}
