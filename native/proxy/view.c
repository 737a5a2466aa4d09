#include "view.h"

#include "text.h"

/* ---- Via ---- */

static iso_str
skip_blanks(iso_str text)
{
    while (text.n > 0 && proxy_is_blank(text.p[0]))
        text.p++, text.n--;
    return text;
}

/* Takes what stands before `stop` (or before a blank) and skips blanks and one `stop` behind it. 0: no such. */
static int
take_token(iso_str *rest, char stop, iso_str *token_out)
{
    size_t n = 0;
    while (n < rest->n && rest->p[n] != stop && !proxy_is_blank(rest->p[n]))
        n++;
    *token_out = (iso_str){rest->p, n};
    *rest = skip_blanks((iso_str){rest->p + n, rest->n - n});
    if (n == 0 || rest->n == 0 || rest->p[0] != stop)
        return 0;
    *rest = skip_blanks((iso_str){rest->p + 1, rest->n - 1});
    return 1;
}

/* sent-by = host [ COLON port ]; spaces may stand around the colon (RFC 3261 25.1, RFC 4475 3.1.1.1). */
static int
take_sent_by(iso_str *rest, proxy_via *via)
{
    size_t n = 0;
    if (rest->n > 0 && rest->p[0] == '[') {
        const char *close = memchr(rest->p, ']', rest->n);
        if (close == NULL)
            return 0;
        via->host = (iso_str){rest->p + 1, (size_t)(close - rest->p) - 1};
        n = (size_t)(close - rest->p) + 1;
    } else {
        while (n < rest->n && rest->p[n] != ':' && rest->p[n] != ';' && rest->p[n] != ',' &&
               !proxy_is_blank(rest->p[n]))
            n++;
        via->host = (iso_str){rest->p, n};
    }
    *rest = skip_blanks((iso_str){rest->p + n, rest->n - n});
    if (rest->n > 0 && rest->p[0] == ':') {
        *rest = skip_blanks((iso_str){rest->p + 1, rest->n - 1});
        for (n = 0; n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9'; n++)
            ;
        int64_t port = proxy_number((iso_str){rest->p, n}, UINT16_MAX);
        if (port <= 0)
            return 0;
        via->port = (uint16_t)port;
        *rest = skip_blanks((iso_str){rest->p + n, rest->n - n});
    }
    return via->host.n > 0 && (rest->n == 0 || rest->p[0] == ';' || rest->p[0] == ',');
}

static void
note_parameter(proxy_via *via, iso_str name, iso_str value)
{
    switch (name.n) {
    case 5:
        if (proxy_same(name, PROXY_TEXT("rport")))
            via->rport = value.p != NULL ? value : (iso_str){name.p + name.n, 0};
        else if (proxy_same(name, PROXY_TEXT("maddr")))
            via->maddr = value;
        break;
    case 6:
        if (proxy_same(name, PROXY_TEXT("branch")))
            via->branch = value;
        break;
    case 8:
        if (proxy_same(name, PROXY_TEXT("received")))
            via->received = value;
        break;
    default:
        break;
    }
}

/* The length up to an octet of `stops` outside quotes. */
static size_t
until(iso_str text, char first, char second)
{
    size_t n = 0;
    for (int quoted = 0; n < text.n; n++) {
        char c = text.p[n];
        if (quoted && c == '\\' && n + 1 < text.n)
            n++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == first || c == second))
            break;
    }
    return n;
}

int
proxy_via_read(const char *data, iso_str value, proxy_via *via)
{
    iso_str rest = skip_blanks(value), name, version;
    *via = (proxy_via){.start = (uint32_t)(rest.p - data)};
    /* Any version: a request of another one is answered 505, along its Via. */
    if (!take_token(&rest, '/', &name) || !take_token(&rest, '/', &version) || !proxy_same(name, PROXY_TEXT("SIP")))
        return 0;
    size_t n = 0;
    while (n < rest.n && !proxy_is_blank(rest.p[n]))
        n++;
    via->transport = (iso_str){rest.p, n};
    rest = skip_blanks((iso_str){rest.p + n, rest.n - n});
    if (n == 0 || !take_sent_by(&rest, via))
        return 0;
    while (rest.n > 0 && rest.p[0] == ';') {
        rest = (iso_str){rest.p + 1, rest.n - 1};
        n = until(rest, ';', ',');
        iso_str parameter = {rest.p, n}, text = {NULL, 0};
        const char *equals = memchr(parameter.p, '=', parameter.n);
        if (equals != NULL) {
            text = proxy_trim((iso_str){equals + 1, (size_t)(parameter.p + n - equals) - 1});
            parameter.n = (size_t)(equals - parameter.p);
        }
        note_parameter(via, proxy_trim(parameter), text);
        rest = (iso_str){rest.p + n, rest.n - n};
    }
    const char *end = rest.p;
    while (end > data + via->start && proxy_is_blank(end[-1]))
        end--;
    via->end = (uint32_t)(end - data);
    via->more = rest.n > 0;
    return 1;
}

/* ---- addresses ---- */

iso_str
proxy_header_uri(iso_str value)
{
    size_t open = until(value, '<', '<');
    if (open < value.n) {
        iso_str rest = {value.p + open + 1, value.n - open - 1};
        const char *close = memchr(rest.p, '>', rest.n);
        return (iso_str){rest.p, close != NULL ? (size_t)(close - rest.p) : rest.n};
    }
    return proxy_trim((iso_str){value.p, until(value, ';', ';')});
}

iso_str
proxy_header_parameters(iso_str value)
{
    size_t at = until(value, '<', '<');
    if (at < value.n) {
        const char *close = memchr(value.p + at, '>', value.n - at);
        at = close != NULL ? (size_t)(close - value.p) : value.n;
    } else {
        at = 0;
    }
    at += until((iso_str){value.p + at, value.n - at}, ';', ';');
    return (iso_str){value.p + at, value.n - at};
}

iso_str
proxy_tag_of(iso_str value)
{
    iso_str tag = {NULL, 0}, parameters = proxy_header_parameters(value);
    if (parameters.n > 0 && iso_parameter(parameters, PROXY_TEXT("tag"), &tag))
        return tag;
    return (iso_str){NULL, 0};
}

int
proxy_next_element(const proxy_view *view, iso_str name, uint32_t *cursor, iso_str *rest, iso_str *element_out)
{
    while (!iso_list_next(rest, element_out)) {
        if (!iso_msg_header(&view->msg, &view->index, name, cursor, NULL, rest))
            return 0;
    }
    return 1;
}

/* ---- the walk ---- */

static void
set_first(iso_str *slot, iso_str value)
{
    if (slot->p == NULL)
        *slot = proxy_trim(value);
}

static void
set_row(int32_t *slot, int32_t row)
{
    if (*slot < 0)
        *slot = row;
}

static void
note_via(proxy_view *view, int32_t row)
{
    view->more_vias |= view->first_via >= 0;
    set_row(&view->first_via, row);
}

static void
note_compact(proxy_view *view, int32_t row, char name, iso_str value)
{
    switch (proxy_lower(name)) {
    case 'v':
        note_via(view, row);
        break;
    case 'f':
        set_first(&view->from, value);
        break;
    case 't':
        set_first(&view->to, value);
        break;
    case 'i':
        set_first(&view->call_id, value);
        break;
    case 'l':
        set_first(&view->content_length, value);
        break;
    default:
        break;
    }
}

/* One row: by the length of its name, then by the name. Rows that a proxy does not read cost one branch. */
static void
note_row(proxy_view *view, int32_t row, iso_str name, iso_str value)
{
    switch (name.n) {
    case 1:
        note_compact(view, row, name.p[0], value);
        break;
    case 2:
        if (proxy_same(name, PROXY_TEXT("To")))
            set_first(&view->to, value);
        break;
    case 3:
        if (proxy_same(name, PROXY_TEXT("Via")))
            note_via(view, row);
        break;
    case 4:
        if (proxy_same(name, PROXY_TEXT("From")))
            set_first(&view->from, value);
        else if (proxy_same(name, PROXY_TEXT("CSeq")))
            set_first(&view->cseq, value);
        break;
    case 5:
        if (proxy_same(name, PROXY_TEXT("Route")))
            set_row(&view->first_route, row);
        break;
    case 7:
        if (proxy_same(name, PROXY_TEXT("Call-ID")))
            set_first(&view->call_id, value);
        break;
    case 12:
        if (proxy_same(name, PROXY_TEXT("Max-Forwards"))) {
            set_row(&view->first_max_forwards, row);
            set_first(&view->max_forwards, value);
        } else if (proxy_same(name, PROXY_TEXT("Record-Route"))) {
            set_row(&view->first_record_route, row);
        }
        break;
    case 13:
        if (proxy_same(name, PROXY_TEXT("Proxy-Require")))
            set_first(&view->proxy_require, value);
        break;
    case 14:
        if (proxy_same(name, PROXY_TEXT("Content-Length")))
            set_first(&view->content_length, value);
        break;
    case 19:
        if (proxy_same(name, PROXY_TEXT("Proxy-Authorization")))
            set_first(&view->proxy_authorization, value);
        break;
    default:
        break;
    }
}

/* Rows beyond those that the index stores are noted by value; their number is that of the last stored one plus
 * one, which says only that they are there. */
static void
note_rows(proxy_view *view)
{
    const iso_index *index = &view->index;
    const char *data = view->msg.data;
    for (uint16_t i = 0; i < index->row_count; i++) {
        const iso_row *row = &index->rows[i];
        note_row(view, i, (iso_str){data + row->name, row->name_length},
                 (iso_str){data + row->value, row->end - row->value});
    }
    uint32_t cursor = ISO_INDEX_ROWS;
    iso_str name, value;
    while (index->overflow != 0 && iso_msg_header(&view->msg, index, (iso_str){NULL, 0}, &cursor, &name, &value))
        note_row(view, ISO_INDEX_ROWS, name, value);
}

/* CSeq = 1*DIGIT LWS Method (RFC 3261 20.16); the number is less than 2**31. */
static int
read_cseq(proxy_view *view)
{
    iso_str rest = view->cseq;
    size_t n = 0;
    while (n < rest.n && !proxy_is_blank(rest.p[n]))
        n++;
    int64_t number = proxy_number((iso_str){rest.p, n}, INT32_MAX);
    iso_str method = skip_blanks((iso_str){rest.p + n, rest.n - n});
    if (number < 0 || method.n == 0)
        return 0;
    view->cseq_number = (uint32_t)number;
    if (view->index.type == ISO_TYPE_REPLY) {
        view->method_name = method;
        view->method = proxy_equal(method, PROXY_TEXT("INVITE"))   ? ISO_METHOD_INVITE
                       : proxy_equal(method, PROXY_TEXT("CANCEL")) ? ISO_METHOD_CANCEL
                                                                   : ISO_METHOD_OTHER;
        return 1;
    }
    return proxy_equal(method, view->method_name);
}

static const char *
read_start_line(proxy_view *view)
{
    const iso_index *index = &view->index;
    const char *data = view->msg.data;
    if (index->type == ISO_TYPE_REQUEST) {
        view->method = index->method;
        view->method_name = (iso_str){data + index->start, index->first_n};
        view->ruri = (iso_str){data + index->second, index->second_n};
        return NULL;
    }
    view->status = (int)proxy_number((iso_str){data + index->second, index->second_n}, 699);
    return view->status < 100 ? "the status code is not 100 to 699" : NULL;
}

static const char *
read_values(proxy_view *view)
{
    iso_str via = {NULL, 0};
    uint32_t cursor = 0;
    if (view->first_via < 0 || view->from.n == 0 || view->to.n == 0 || view->call_id.n == 0 || view->cseq.n == 0)
        return "Via, From, To, Call-ID or CSeq is missing";
    if (view->first_via >= view->index.row_count)
        return "Via stands below too many header rows";
    iso_msg_header(&view->msg, &view->index, PROXY_TEXT("Via"), &cursor, NULL, &via);
    if (!proxy_via_read(view->msg.data, via, &view->via))
        return "Via can not be read";
    view->more_vias |= view->via.more;
    view->to_tag = proxy_tag_of(view->to);
    return NULL;
}

const char *
proxy_view_read(proxy_view *view, const iso_msg *msg, int *reply_out)
{
    memset(view, 0, offsetof(proxy_view, index));
    *reply_out = 0;
    view->msg = *msg;
    view->msg.index = &view->index;
    view->hops = -1;
    view->first_via = view->first_route = view->first_record_route = view->first_max_forwards = -1;
    if (iso_msg_index(msg, &view->index) < 0)
        return "this is no SIP message";
    const char *wrong = read_start_line(view);
    if (wrong == NULL) {
        note_rows(view);
        wrong = read_values(view);
    }
    if (wrong != NULL)
        return wrong;
    *reply_out = view->index.type == ISO_TYPE_REQUEST;
    if (!view->index.complete)
        return "the headers do not end";
    if (!read_cseq(view))
        return "CSeq is wrong";
    if (view->max_forwards.p != NULL && (view->hops = (int)proxy_number(view->max_forwards, 255)) < 0)
        return "Max-Forwards is not 0 to 255";
    if (iso_msg_body(&view->msg, &view->index, &view->body) < 0)
        return "Content-Length is wrong";
    return NULL;
}
