/* resolve.c: from a URI to the targets to try, one after another (RFC 3263 4). */
#include "proxy.h"

/* What the URI says: host, port, transport. 0, or a status code. */
static int
read_uri(iso_str text, iso_str *host_out, uint16_t *port_out, uint8_t *protocol_out)
{
    iso_uri uri;
    iso_str value;
    if (iso_uri_parse(text, &uri) < 0 || !proxy_same(uri.scheme, PROXY_TEXT("sip")))
        return 416;
    *host_out = uri.host;
    *port_out = uri.port;
    *protocol_out = ISO_PROTOCOL_UNKNOWN;
    if (uri.parameters.p == NULL)
        return 0;
    if (iso_parameter(uri.parameters, PROXY_TEXT("transport"), &value) &&
        (*protocol_out = proxy_protocol_of(value)) == ISO_PROTOCOL_UNKNOWN)
        return 503;
    if (iso_parameter(uri.parameters, PROXY_TEXT("maddr"), &value) && value.n > 0)
        *host_out = value;
    return 0;
}

static int
ask_for(proxy_question *question, iso_str host, uint16_t port, uint8_t protocol)
{
    memset(question, 0, sizeof *question);
    if (host.n == 0 || host.n >= sizeof question->name)
        return 503;
    for (size_t i = 0; i < host.n; i++) {
        if (host.p[i] == '\0')
            return 503;
        question->name[i] = proxy_lower(host.p[i]);
    }
    question->port = port;
    question->protocol = protocol;
    return PROXY_LATER;
}

int
proxy_resolve(proxy_worker *worker, iso_str text, uint64_t seed, proxy_plan *plan)
{
    iso_str host;
    uint16_t port;
    uint8_t protocol;
    proxy_target *target = &plan->target;
    int code = read_uri(text, &host, &port, &protocol);
    if (code != 0)
        return code;
    *target = (proxy_target){.listener = -1};
    if (proxy_address_of(&target->address, host, port != 0 ? port : PROXY_DEFAULT_PORT,
                         protocol != ISO_PROTOCOL_UNKNOWN ? protocol : ISO_PROTOCOL_UDP) < 0) {
        proxy_answer answer;
        code = ask_for(&plan->question, host, port, protocol);
        if (code != PROXY_LATER || !proxy_resolver_find(worker->proxy->resolver, &plan->question, &answer))
            return code;
        return proxy_take_answer(worker, &answer, seed, plan);
    }
    plan->switches = protocol == ISO_PROTOCOL_UNKNOWN;
    target->listener = proxy_listener_for(worker->proxy, &target->address, plan->preferred);
    if (target->listener < 0 && plan->switches) { /* a proxy without UDP */
        target->address.protocol = ISO_PROTOCOL_TCP;
        target->listener = proxy_listener_for(worker->proxy, &target->address, plan->preferred);
    }
    worker->targets[0] = *target;
    plan->target_count = 1;
    return target->listener < 0 ? 503 : 0;
}

/* ---- SRV: in the order of RFC 2782 ---- */

/* Of the records that have the lowest priority of those left, one by weight. */
static const proxy_found *
choose(const proxy_answer *answer, const uint8_t taken[], uint64_t *seed)
{
    const proxy_found *best = NULL;
    uint64_t sum = 0;
    for (int i = 0; i < answer->count; i++) {
        const proxy_found *item = &answer->items[i];
        if (taken[i] || (best != NULL && item->priority > best->priority))
            continue;
        if (best == NULL || item->priority < best->priority) {
            best = item;
            sum = 0;
        }
        sum += item->weight + 1u; /* one more, so that weight 0 has a small chance */
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        if ((*seed >> 33) % sum <= item->weight)
            best = item;
    }
    return best;
}

int
proxy_take_answer(proxy_worker *worker, const proxy_answer *answer, uint64_t seed, proxy_plan *plan)
{
    uint8_t taken[PROXY_MAX_TARGETS] = {0};
    plan->switches = !answer->fixed;
    plan->target_count = 0;
    const proxy_found *chosen;
    while ((chosen = choose(answer, taken, &seed)) != NULL) {
        for (int i = 0; i < answer->count; i++) { /* the addresses of one record stay together */
            const proxy_found *item = &answer->items[i];
            if (item->priority != chosen->priority || item->record != chosen->record)
                continue;
            taken[i] = 1;
            proxy_target target = {.address = item->address};
            target.listener = proxy_listener_for(worker->proxy, &target.address, plan->preferred);
            if (target.listener >= 0)
                worker->targets[plan->target_count++] = target;
        }
    }
    plan->target = worker->targets[0];
    return plan->target_count > 0 ? 0 : 503;
}
