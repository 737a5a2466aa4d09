/* branch_id.c: branch parameters and tags that this proxy makes, and the hash behind them. */
#include "proxy.h"

#define COOKIE PROXY_BRANCH_COOKIE "."

size_t
proxy_branch_write(const isoproxy *proxy, const proxy_branch_id *id, char text[PROXY_BRANCH_TEXT])
{
    proxy_writer to = {text, 0, PROXY_BRANCH_TEXT};
    proxy_put_text(&to, COOKIE);
    proxy_put_hex(&to, proxy->instance, 8);
    proxy_put(&to, id->stateful ? PROXY_TEXT("t") : PROXY_TEXT("s"));
    proxy_put_hex(&to, (uint64_t)id->worker, 2);
    if (id->stateful) {
        proxy_put_hex(&to, id->slot, 8);
        proxy_put_hex(&to, (uint64_t)id->branch, 2);
    } else {
        proxy_put_hex(&to, (uint64_t)id->listener, 2);
        proxy_put_hex(&to, id->connection, 8);
        proxy_put_hex(&to, id->hash, 16);
    }
    proxy_put_hex(&to, id->loop, 8);
    return to.n;
}

int
proxy_branch_read(const isoproxy *proxy, iso_str text, proxy_branch_id *id)
{
    enum {
        HEAD = sizeof COOKIE - 1,
        STATEFUL = HEAD + 8 + 1 + 2 + 8 + 2 + 8,
        STATELESS = HEAD + 8 + 1 + 2 + 2 + 8 + 16 + 8
    };
    if (text.n < STATEFUL || memcmp(text.p, COOKIE, HEAD) != 0 || proxy_read_hex(text.p + HEAD, 8) != proxy->instance)
        return 0;
    const char *p = text.p + HEAD + 8;
    int stateful = p[0] == 't';
    int64_t worker = proxy_read_hex(p + 1, 2), wide = proxy_read_hex(p + (stateful ? 3 : 5), 8);
    int64_t narrow = proxy_read_hex(p + (stateful ? 11 : 3), 2);
    int64_t loop = text.n == (stateful ? STATEFUL : STATELESS) ? proxy_read_hex(text.p + text.n - 8, 8) : -1;
    if ((!stateful && p[0] != 's') || worker < stateful || worker > proxy->worker_count || wide < 0 || narrow < 0 ||
        loop < 0)
        return 0;
    *id = (proxy_branch_id){.stateful = stateful, .worker = (int)worker, .loop = (uint32_t)loop};
    if (stateful) {
        id->slot = (uint32_t)wide;
        id->branch = (int)narrow;
        return 1;
    }
    id->listener = (int)narrow;
    id->connection = wide != 0 ? (uint64_t)worker << 32 | (uint64_t)wide : 0;
    return narrow < proxy->listener_count;
}

/* ---- hash ---- */

static uint64_t
mix(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Folded 64 by 64 multiplications, each operand masked by the secret (as wyhash does). */
uint64_t
proxy_hash(const isoproxy *proxy, uint64_t start, iso_str text)
{
    uint64_t state = start ^ proxy->secret[0] ^ text.n;
    while (text.n > 0) {
        uint64_t word[2] = {0, 0};
        size_t n = text.n < sizeof word ? text.n : sizeof word;
        memcpy(word, text.p, n);
        state = mix(word[0] ^ proxy->secret[1], word[1] ^ state);
        text.p += n;
        text.n -= n;
    }
    return mix(state ^ proxy->secret[0], proxy->secret[1]);
}

uint64_t
proxy_request_hash(const isoproxy *proxy, const proxy_view *view)
{
    const proxy_via *via = &view->via;
    uint64_t hash = proxy_hash(proxy, via->port, via->host);
    if (via->branch.n > sizeof PROXY_BRANCH_COOKIE - 1 &&
        memcmp(via->branch.p, PROXY_BRANCH_COOKIE, sizeof PROXY_BRANCH_COOKIE - 1) == 0)
        return proxy_hash(proxy, hash, via->branch);
    /* RFC 2543: To tag left out, since the ACK of a final reply has one that its INVITE had not. */
    hash = proxy_hash(proxy, hash, view->call_id);
    hash = proxy_hash(proxy, hash ^ view->cseq_number, proxy_tag_of(view->from));
    return proxy_hash(proxy, hash, view->ruri);
}

uint32_t
proxy_loop_hash(const isoproxy *proxy, const proxy_view *view)
{
    uint64_t hash = proxy_hash(proxy, view->cseq_number, view->ruri);
    hash = proxy_hash(proxy, hash, proxy_tag_of(view->from));
    hash = proxy_hash(proxy, hash, view->to_tag);
    hash = proxy_hash(proxy, hash, view->call_id);
    hash = proxy_hash(proxy, hash, view->proxy_require);
    hash = proxy_hash(proxy, hash, view->proxy_authorization);
    uint32_t cursor = 0;
    iso_str value;
    while (view->first_route >= 0 &&
           iso_msg_header(&view->msg, &view->index, PROXY_TEXT("Route"), &cursor, NULL, &value))
        hash = proxy_hash(proxy, hash, value);
    return (uint32_t)hash;
}

int
proxy_loops(const isoproxy *proxy, const proxy_view *view)
{
    uint32_t cursor = 0, loop = 0;
    iso_str rest = {NULL, 0}, element;
    proxy_branch_id id;
    proxy_via via;
    int known = 0;
    if (!view->more_vias) /* below ours stands that of who sent the request to us */
        return 0;
    while (proxy_next_element(view, PROXY_TEXT("Via"), &cursor, &rest, &element)) {
        if (!proxy_via_read(view->msg.data, element, &via) || !proxy_branch_read(proxy, via.branch, &id))
            continue;
        if (!known)
            loop = proxy_loop_hash(proxy, view);
        known = 1;
        if (id.loop == loop)
            return 1;
    }
    return 0;
}

iso_str
proxy_tag(const isoproxy *proxy, const proxy_view *view, char text[PROXY_TAG_TEXT])
{
    proxy_writer to = {text, 0, PROXY_TAG_TEXT};
    proxy_put_hex(&to, proxy->instance, 8);
    proxy_put_text(&to, ".");
    proxy_put_hex(&to, proxy_hash(proxy, proxy_request_hash(proxy, view), view->call_id), 16);
    return proxy_written(&to);
}
