/* isoproxy.h: a multi-threaded SIP proxy on isoexec.h, for a program that wants one inside.
 *
 * The model. A proxy has workers; each is a thread that opens one rank of an engine with channel inline and
 * owns, beside it, one UDP socket of every listen address, its TCP connections, its transactions and its
 * timers. Workers share nothing on the path of a message. The engine must have been created with the host
 * functions of isoproxy_functions() and at least as many ranks as there are workers; it stays the caller's
 * and must outlive the proxy.
 *
 * Threads. Every function may be called from any thread with no Python thread state attached; start and
 * stop of one proxy by one thread at a time.
 *
 * Failures are those of isoexec.h: 0 or a count, or a negative ISO_E... code with `err` filled. */
#ifndef ISOPROXY_H
#define ISOPROXY_H

#include "isoexec.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct isoproxy isoproxy;

#define ISOPROXY_MAX_LISTEN 16
#define ISOPROXY_MAX_WORKERS 255 /* a branch names its worker by two hexadecimal digits */
#define ISOPROXY_ADDRESS_TEXT 72 /* enough for "udp:[address]:port" with its NUL */

enum { ISOPROXY_RELAY_STATEFUL, ISOPROXY_RELAY_STATELESS };

/* Strings are borrowed until isoproxy_start returned. Times are in milliseconds. */
typedef struct isoproxy_config {
    const char *listen[ISOPROXY_MAX_LISTEN]; /* "udp:HOST:PORT", "tcp:HOST:PORT"; port 0: any; 0.0.0.0 or [::]: every
                                                address of this machine */
    int listen_count;
    int workers;                 /* 0: one for each rank of the engine that may be opened */
    const char *request_route;   /* "route"; method that each request outside a transaction reaches */
    const char *onreply_route;   /* "": none; for every reply, unless t_on_reply named another */
    const char *failure_route;   /* "": none; before a final reply of 300 and above goes back */
    const char *branch_route;    /* "": none; before a branch is sent */
    int relay;                   /* ISOPROXY_RELAY_STATEFUL: what happens when the request route answers > 0 */
    const char *server;          /* "": no Server header in own replies */
    int t1, t2, t4;              /* 500, 4000, 5000: RFC 3261 17.1.1.1 */
    int timer_c;                 /* 180000: RFC 3261 16.6 step 11, must be above three minutes on a public network */
    int tcp_idle;                /* 120000: a connection that brings no whole message is closed */
    int tcp_connect;             /* 5000: how long a connection may take to come up */
    int tcp_connections;         /* 4096 for each worker */
    int transactions;            /* 131072 for each worker, and 8 KiB of messages for each; beyond: 503 */
    int retry_after;             /* 5 s: what Retry-After says */
    int udp_limit;               /* 1300 octets: a longer request goes by TCP if it may, 0: never */
    const char *nameserver;      /* "": those of the system; "IPv4:port": asked instead */
    int resolvers;               /* 2 threads that look names up */
    int resolve_timeout;         /* 10000: how long a request may wait for a name */
    int resolve_negative;        /* 10000: how long a name that does not exist is remembered */
    iso_log_fn log;              /* NULL: iso_log_standard_error */
    void *log_user;
    int log_level;               /* ISO_LOG_INFO */
} isoproxy_config;

/* Every default. */
void isoproxy_config_init(isoproxy_config *config);
/* Sets one member by its name from text ("listen" adds one): for a config file. ISO_ECONFIG with a sentence. */
int isoproxy_config_set(isoproxy_config *config, const char *name, const char *text, iso_error *err);
/* The i-th row of the table of settings, or NULL past the end. Static memory. */
const iso_setting *isoproxy_setting_get(size_t i);

/* The host functions that handlers of a proxy may call, for iso_config.functions. Static memory. */
size_t isoproxy_functions(const iso_function **out);

/* Binds the addresses, starts the workers and waits until each serves. On failure nothing is left running:
 * ISO_ECONFIG (an address), ISO_ENOMEM, or what iso_rank_open said. Blocks. */
int isoproxy_start(isoproxy **out, const isoproxy_config *config, iso_engine *engine, int ranks, iso_error *err);
/* The i-th address that is listened on, as "udp:127.0.0.1:5060": its length, or 0 past the end. */
size_t isoproxy_address(const isoproxy *proxy, size_t i, char text[ISOPROXY_ADDRESS_TEXT]);

/* Ends the proxy. New requests outside a transaction get 503; workers end when their transactions have, or
 * when grace_ms are over (0: at once). Waits a second longer for the messages that are handled, then until the ranks are
 * closed; returns the number of workers that are stuck in a handler. Blocks. */
int isoproxy_stop(isoproxy *proxy, int grace_ms);
/* Makes every worker stop what isoproxy_stop waits for: the second signal. From a signal handler too. */
void isoproxy_hurry(isoproxy *proxy);
/* Frees a proxy that was stopped. One with stuck workers is kept for them. NULL is a no-op. */
void isoproxy_free(isoproxy *proxy);

/* Tells systemd "READY=1", "STOPPING=1" or the like, if it started this process and wants to know. */
void isoproxy_notify(const char *text);

/* Counters since the start, added up over the workers while they run. */
/* clang-format off */
#define ISOPROXY_COUNTERS(X)                                                                                           \
    X(received_requests) X(received_replies) X(sent_requests) X(sent_replies) X(malformed) X(retransmitted)            \
    X(handed_over) X(dropped) X(transactions) X(transactions_open) X(connections) X(connections_open)                  \
    X(handler_failed) X(overload)
/* clang-format on */
typedef struct isoproxy_stats {
#define ISOPROXY_COUNTER_MEMBER(name) uint64_t name;
    ISOPROXY_COUNTERS(ISOPROXY_COUNTER_MEMBER)
#undef ISOPROXY_COUNTER_MEMBER
} isoproxy_stats;
void isoproxy_statistics(const isoproxy *proxy, isoproxy_stats *out);
/* One log line with all of them, at any log_level: somebody asked. */
void isoproxy_log_statistics(const isoproxy *proxy);

#ifdef __cplusplus
}
#endif
#endif
