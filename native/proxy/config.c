/* config.c: the settings of a proxy, in one table that command lines, TOML and documentation are made from. */
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isoproxy.h"
#include "text.h"

typedef struct row {
    iso_setting shown;
    size_t member;
} row;

#define ROW(name, type, choices, text, range, low, high, doc)                                                          \
    {{#name, type, "engine", choices, text, range, low, high, doc}, offsetof(isoproxy_config, name)}
#define STR(name, text, doc) ROW(name, "str", "", text, "", 0, 0, doc)
#define INT(name, text, range, low, high, doc) ROW(name, "int", "", text, range, low, high, doc)
#define TIME(name, text, range, low, high, doc) ROW(name, "time", "", text, range, low, high, doc)

static const row rows[] = {
    ROW(listen, "list", "", "", "udp:HOST:PORT or tcp:HOST:PORT", 0, 0,
        "An address to listen on; may be given again. 0.0.0.0 and [::] stand for every address of the machine."),
    INT(workers, "0", "0 to 255", 0, ISOPROXY_MAX_WORKERS, "Worker threads, each with one rank; 0: as many as ranks."),
    STR(request_route, "route", "Method of the handler that each request outside a transaction reaches."),
    STR(onreply_route, "", "Method that each reply reaches, unless t_on_reply named another."),
    STR(failure_route, "", "Method that is called before a final reply of 300 or above goes back."),
    STR(branch_route, "", "Method that is called before a branch is sent."),
    ROW(relay, "choice", "stateful=0|stateless=1", "stateful", "stateful or stateless", 0, 0,
        "How a request is relayed whose request route answered more than 0 and did nothing else."),
    STR(server, "", "Value of the Server header in the proxy's own replies; none if empty."),
    TIME(t1, "500ms", "10ms to 60s", 10, 60000, "Estimate of the round trip (RFC 3261 T1)."),
    TIME(t2, "4s", "10ms to 60s", 10, 60000, "Longest time between retransmissions (RFC 3261 T2)."),
    TIME(t4, "5s", "10ms to 60s", 10, 60000, "How long a message may stay in the network (RFC 3261 T4)."),
    TIME(timer_c, "3m", "100ms to 1h", 100, 3600000, "How long an INVITE may ring (RFC 3261 timer C)."),
    TIME(tcp_idle, "2m", "100ms to 24h", 100, 86400000,
         "A TCP connection that brings no whole message for so long is closed."),
    TIME(tcp_connect, "5s", "10ms to 60s", 10, 60000, "How long a TCP connection may take to come up."),
    INT(tcp_connections, "4096", "1 to 65535", 1, 65535, "TCP connections of each worker."),
    INT(transactions, "131072", "1 to 1048575", 1, 1048575,
        "Transactions of each worker, and 8 KiB of messages for each; above it requests are answered 503."),
    TIME(retry_after, "5s", "1s to 1h", 1000, 3600000, "What Retry-After says when the proxy is overloaded."),
    INT(udp_limit, "1300", "0 to 65535", 0, 65535,
        "A request above this many octets goes by TCP unless UDP was asked for (RFC 3261 18.1.1); 0: never."),
    STR(nameserver, "", "DNS server to ask, as IPv4:PORT; those of the system if empty."),
    INT(resolvers, "2", "1 to 64", 1, 64, "Threads that look up the names of next hops."),
    TIME(resolve_timeout, "10s", "100ms to 60s", 100, 60000, "How long a request waits for the name of its next hop."),
    TIME(resolve_negative, "10s", "1s to 1h", 1000, 3600000, "How long a name that does not exist is remembered."),
    INT(log_level, "3", "-3 to 4", ISO_LOG_ALERT, ISO_LOG_DBG, "Lines of the proxy above this level are dropped."),
};

enum { ROWS = sizeof rows / sizeof *rows };

const iso_setting *
isoproxy_setting_get(size_t i)
{
    return i < ROWS ? &rows[i].shown : NULL;
}

static int
fail(iso_error *err, const char *name, const char *text, const char *range)
{
    if (err != NULL) {
        *err = (iso_error){.code = ISO_ECONFIG};
        snprintf(err->message, sizeof err->message, "%s must be %s, not %.100s", name, range, text);
    }
    return ISO_ECONFIG;
}

/* In milliseconds, or -1. */
static int64_t
read_time(const char *text)
{
    int64_t ns;
    return iso_time_parse(text, &ns) == 0 ? (ns + 500000) / 1000000 : -1;
}

static int64_t
read_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, text, n) == 0 && at[n] == '=')
            return at[n + 1] - '0';
    }
    return -1;
}

static int64_t
read_int(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    return end == text || *end != '\0' ? INT64_MIN : value;
}

int
isoproxy_config_set(isoproxy_config *config, const char *name, const char *text, iso_error *err)
{
    for (size_t i = 0; i < ROWS; i++) {
        const iso_setting *setting = &rows[i].shown;
        char *member = (char *)config + rows[i].member;
        if (strcmp(setting->name, name) != 0)
            continue;
        if (strcmp(setting->type, "list") == 0) {
            if (config->listen_count == ISOPROXY_MAX_LISTEN)
                return fail(err, name, text, "given at most 16 times");
            config->listen[config->listen_count++] = text;
        } else if (strcmp(setting->type, "str") == 0) {
            memcpy(member, &text, sizeof text);
        } else {
            int choice = strcmp(setting->type, "choice") == 0;
            int64_t value = choice                               ? read_choice(setting->choices, text)
                            : strcmp(setting->type, "time") == 0 ? read_time(text)
                                                                 : read_int(text);
            if (choice ? value < 0 : value < setting->min || value > setting->max)
                return fail(err, name, text, setting->range_text);
            int number = (int)value;
            memcpy(member, &number, sizeof number);
        }
        return 0;
    }
    return fail(err, "a setting of the proxy", name, "one of its table");
}

void
isoproxy_config_init(isoproxy_config *config)
{
    memset(config, 0, sizeof *config);
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].shown.type, "list") != 0)
            (void)isoproxy_config_set(config, rows[i].shown.name, rows[i].shown.default_text, NULL);
    }
}
