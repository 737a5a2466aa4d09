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
        proxy_put_hex(&to, id->hash, 8);
    } else {
        proxy_put_hex(&to, (uint64_t)id->listener, 2);
        proxy_put_hex(&to, id->connection, 8);
        proxy_put_hex(&to, id->hash, 16);
    }
    return to.n;
}

int
proxy_branch_read(const isoproxy *proxy, iso_str text, proxy_branch_id *id)
{
    enum {
        HEAD = sizeof COOKIE - 1,
        STATEFUL = HEAD + 8 + 1 + 2 + 8 + 2 + 8,
        STATELESS = HEAD + 8 + 1 + 2 + 2 + 8 + 16
    };
    if (text.n < STATEFUL || memcmp(text.p, COOKIE, HEAD) != 0 || proxy_read_hex(text.p + HEAD, 8) != proxy->instance)
        return 0;
    const char *p = text.p + HEAD + 8;
    int stateful = p[0] == 't';
    int64_t worker = proxy_read_hex(p + 1, 2), wide = proxy_read_hex(p + (stateful ? 3 : 5), 8);
    int64_t narrow = proxy_read_hex(p + (stateful ? 11 : 3), 2);
    if ((!stateful && p[0] != 's') || worker < stateful || worker > proxy->worker_count || wide < 0 || narrow < 0 ||
        text.n != (stateful ? STATEFUL : STATELESS))
        return 0;
    *id = (proxy_branch_id){.stateful = stateful, .worker = (int)worker};
    if (stateful) {
        id->slot = (uint32_t)wide;
        id->branch = (int)narrow;
        id->hash = (uint64_t)proxy_read_hex(p + 13, 8);
        return 1;
    }
    id->listener = (int)narrow;
    id->connection = (uint32_t)wide;
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

iso_str
proxy_tag(const isoproxy *proxy, const proxy_view *view, char text[PROXY_TAG_TEXT])
{
    proxy_writer to = {text, 0, PROXY_TAG_TEXT};
    proxy_put_hex(&to, proxy->instance, 8);
    proxy_put_text(&to, ".");
    proxy_put_hex(&to, proxy_hash(proxy, proxy_request_hash(proxy, view), view->call_id), 16);
    return proxy_written(&to);
}
