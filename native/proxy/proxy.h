/* proxy.h: the inside of the proxy. Who owns what, and which thread may touch it.
 *
 * Everything below a proxy_worker belongs to that worker's thread alone: no locks, no atomics, except its inbox
 * (any worker pushes) and its counters (any thread reads). What all workers share, struct isoproxy, is written
 * before they start and read-only after, except `stopping`.
 *
 * A message is handled to its end before the next one: receive.c reads it into worker->view, finds its
 * transaction, or calls the request route (route.c), whose host functions (functions.c) find their
 * proxy_context through proxy_current. Whatever must outlive that is copied into a proxy_transaction. */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <pthread.h>
#include <stdatomic.h>

#include "address.h"
#include "build.h"
#include "directory.h"
#include "handover.h"
#include "isoproxy.h"
#include "resolver.h"
#include "text.h"
#include "timer.h"
#include "values.h"
#include "view.h"

#define PROXY_MAX_MESSAGE 65535
/* Datagrams that leave stay here until the flush, so that one system call sends many. */
#define PROXY_OUT_MEMORY (8 * (PROXY_MAX_MESSAGE + 1))
#define PROXY_BATCH 64      /* datagrams of one recvmmsg and sendmmsg */
#define PROXY_DEFAULT_PORT 5060
#define PROXY_MAX_BRANCHES 16
#define PROXY_MAX_ROUTES 64
#define PROXY_METHOD_NAME 64
#define PROXY_FLAGS 32
#define PROXY_FLAG_NAME 32

typedef struct proxy_worker proxy_worker;
typedef struct proxy_transaction proxy_transaction;
typedef struct proxy_branch proxy_branch;
typedef struct proxy_context proxy_context;
typedef struct proxy_connection proxy_connection;

/* ---- shared by all workers, read-only while they run ---------------------------------------- */

typedef struct proxy_listener {
    iso_address address; /* with the port it was bound to */
    char sent_by[PROXY_IP_TEXT + 8];
    size_t sent_by_n;    /* "192.0.2.1:5060": for Via and Record-Route */
} proxy_listener;

enum { PROXY_SERVING, PROXY_DRAINING, PROXY_STOPPING }; /* of isoproxy.stopping; it only rises */

struct isoproxy {
    isoproxy_config config; /* strings are the proxy's own */
    iso_engine *engine;     /* the caller's */
    proxy_listener listeners[ISOPROXY_MAX_LISTEN * 4];
    int listener_count;
    int worker_count;
    proxy_worker *workers;
    uint32_t instance;      /* random; in each branch and tag that this proxy makes */
    uint64_t secret[2];     /* of proxy_hash */
    proxy_directory *transactions; /* INVITE: which worker has the transaction of a key; NULL with one worker */
    proxy_directory *peers; /* which worker has a TCP connection to a peer; NULL with one worker */
    proxy_resolver *resolver;
    uint64_t drain_until;   /* worker clock; of PROXY_DRAINING, written before it */
    _Atomic int stopping;
    pthread_mutex_t lock;   /* guards what follows; start and stop only */
    pthread_cond_t changed;
    int started;            /* workers that serve, or failed to */
    int left, ended;        /* that have left their loop; that have closed their rank */
    iso_error failure;      /* of the first worker that did not start */
};

/* ---- where a message goes --------------------------------------------------------------------- */

typedef struct proxy_target {
    iso_address address; /* protocol says how */
    int listener;        /* number of the listener whose socket or name it leaves by */
    uint64_t connection; /* TCP: the connection to use if it is still there, its worker in the upper half; 0: one to
                            `address` */
} proxy_target;

/* Where a copy of a request goes: append_branch. */
typedef struct proxy_fork {
    iso_str ruri, dst_uri; /* dst_uri.p == NULL: where Route or R-URI say */
} proxy_fork;

/* ---- the worker ------------------------------------------------------------------------------- */

typedef struct proxy_udp proxy_udp; /* udp.c: one socket and its batch */
typedef struct proxy_tcp proxy_tcp; /* tcp.c: listening sockets and connections */
typedef struct proxy_table proxy_table; /* transaction.c */
typedef struct proxy_finished proxy_finished; /* finished.c */

struct proxy_worker {
    isoproxy *proxy;
    iso_rank *rank;
    pthread_t thread;
    int number;            /* rank number, from 1 */
    int epoll, timer;      /* descriptors */
    uint64_t now;          /* ms, monotonic; read once for each wake-up */
    uint64_t armed;        /* when the timerfd fires, UINT64_MAX: it does not */
    proxy_wheel wheel;
    proxy_inbox inbox;
    int handed;            /* the message that is handled was handed over: not again */
    uint64_t log_second;   /* log.c: since when `log_lines` counts lines about bad messages */
    uint32_t log_lines;
    proxy_udp *udp;
    proxy_tcp *tcp;
    proxy_table *table;
    proxy_finished *finished;
    size_t kept, most_kept; /* keep.c: octets now, and most of them since memory was given back */
    proxy_values values;   /* $var(...) */
    char flags[PROXY_FLAGS][PROXY_FLAG_NAME]; /* names of setflag, in the order they were first used */
    int flag_count;
    char *out;             /* memory of messages that leave, flushed at the end of each wake-up */
    size_t out_n;
    char *scratch;         /* 2 * PROXY_MAX_MESSAGE: a message with a handler's edits applied */
    proxy_context *context; /* the innermost route call that runs, NULL: none */
    proxy_view view;       /* the message that is handled */
    proxy_view edited;     /* the same with edits applied, over `scratch` */
    proxy_target targets[PROXY_MAX_TARGETS]; /* of the plan that was made last */
    struct {
#define PROXY_COUNTER_MEMBER(name) _Atomic uint64_t name;
        ISOPROXY_COUNTERS(PROXY_COUNTER_MEMBER)
#undef PROXY_COUNTER_MEMBER
    } counters;
};

/* The worker of this thread; NULL on threads of others. Host functions start here. */
extern _Thread_local proxy_worker *proxy_current;

/* Counters have one writer, so adding needs no locked instruction. */
#define proxy_count_by(worker, name, by)                                                                               \
    atomic_store_explicit(&(worker)->counters.name,                                                                    \
                          atomic_load_explicit(&(worker)->counters.name, memory_order_relaxed) + (uint64_t)(by),       \
                          memory_order_relaxed)
#define proxy_count(worker, name) proxy_count_by(worker, name, 1)

/* worker.c. Runs one worker to its end (thread start routine). */
void *proxy_worker_run(void *worker);
void proxy_worker_timer(proxy_worker *worker, proxy_timer *timer, uint64_t after_ms, proxy_timer_fn fire);
/* What an epoll event is about: kind, and a number that the kind understands. */
enum { PROXY_EVENT_INBOX, PROXY_EVENT_TIMER, PROXY_EVENT_RANK, PROXY_EVENT_UDP, PROXY_EVENT_ACCEPT, PROXY_EVENT_TCP };
int proxy_worker_watch(proxy_worker *worker, int fd, uint32_t events, int kind, uint32_t number, int operation);

/* log.c. One line, with the Call-ID if `view` is not NULL. */
void proxy_log(const proxy_worker *worker, int level, const proxy_view *view, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for what any peer can bring about: at most PROXY_LOG_RATE lines a second. */
#define PROXY_LOG_RATE 10
void proxy_log_bad(proxy_worker *worker, const proxy_view *view, const char *what);
void proxy_log_plain(const isoproxy *proxy, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- sending: send.c, udp.c, tcp.c ------------------------------------------------------------ */

/* Room for one message of up to PROXY_MAX_MESSAGE in the worker's out memory; at most one is open. */
proxy_writer proxy_out_begin(proxy_worker *worker);
/* Sends what was written into that room. 0, or ISO_ESPACE (did not fit), ISO_EINVAL (no way there), or
 * ISO_EOVERLOAD (the peer does not read). A datagram leaves at proxy_out_flush. */
int proxy_out_send(proxy_worker *worker, const proxy_target *target, const proxy_writer *message);
/* Sends a copy of octets that the caller keeps. */
int proxy_send(proxy_worker *worker, const proxy_target *target, iso_str message);
void proxy_out_flush(proxy_worker *worker);
/* The listener to leave by: `preferred` if it fits protocol and family, else the first that does, else -1. */
int proxy_listener_for(const isoproxy *proxy, const iso_address *address, int preferred);

int proxy_udp_open(proxy_worker *worker, iso_error *err);
void proxy_udp_close(proxy_worker *worker);
void proxy_udp_receive(proxy_worker *worker, int listener);
/* What the network says of datagrams that did not arrive. */
void proxy_udp_errors(proxy_worker *worker, int listener);
/* `octets` lie in the worker's out memory until the flush. */
void proxy_udp_queue(proxy_worker *worker, const proxy_target *target, iso_str octets);
void proxy_udp_flush(proxy_worker *worker);

int proxy_tcp_open(proxy_worker *worker, iso_error *err);
void proxy_tcp_close(proxy_worker *worker);
void proxy_tcp_accept(proxy_worker *worker, int listener);
void proxy_tcp_event(proxy_worker *worker, uint32_t connection, uint32_t events);
int proxy_tcp_send(proxy_worker *worker, const proxy_target *target, iso_str octets);
/* Sends by a connection of this worker what another one handed over. */
void proxy_tcp_send_parcel(proxy_worker *worker, const proxy_parcel *parcel);
/* tcp.c calls it when a connection that it made is gone: client transactions that wait there end with 503. */
void proxy_client_transport_failed(proxy_worker *worker, const iso_address *peer);

/* Binds a socket of this kind, `shared`: with SO_REUSEPORT. Descriptor or -1 with errno. socket.c */
int proxy_bind(const iso_address *address, int type, int shared);

/* ---- receiving: receive.c --------------------------------------------------------------------- */

/* One message, as it came. `listener`: where; `connection`: on which, 0: a datagram. */
void proxy_receive(proxy_worker *worker, const char *data, size_t n, const iso_address *source, int listener,
                   uint64_t connection);
void proxy_receive_parcels(proxy_worker *worker);
/* The network says that a datagram did not arrive, and quotes its first octets: the branch that sent it is given up
 * (RFC 3261 18.4), by its worker. */
void proxy_receive_error(proxy_worker *worker, const char *data, size_t n);

/* ---- branches and tags: branch_id.c ----------------------------------------------------------- */

/* z9hG4bK.IIIIIIII then tWWSSSSSSSSBBOOOOOOOO (a client transaction) or sWWLLCCCCCCCCHHHHHHHHHHHHHHHHOOOOOOOO (stateless),
 * all hexadecimal: instance, worker, slot, branch, listener, connection, hash, loop. */
#define PROXY_BRANCH_TEXT 56
typedef struct proxy_branch_id {
    int stateful;
    int worker;          /* 0: any */
    uint32_t slot;       /* of the transaction: proxy_transaction.id */
    int branch;
    int listener;        /* stateless: where the request came in */
    uint64_t connection; /* stateless: where the request came in, 0: a datagram */
    uint64_t hash;       /* stateless: of the request, which makes it unique; never read back */
    uint32_t loop;       /* proxy_loop_hash of the request as it came in */
} proxy_branch_id;
size_t proxy_branch_write(const isoproxy *proxy, const proxy_branch_id *id, char text[PROXY_BRANCH_TEXT]);
/* 1 if the text is a branch of this proxy. */
int proxy_branch_read(const isoproxy *proxy, iso_str text, proxy_branch_id *id_out);
/* Keyed: peers can not choose what collides. */
uint64_t proxy_hash(const isoproxy *proxy, uint64_t start, iso_str text);
/* Of what makes two requests the same transaction to a stateless proxy (RFC 3261 16.11). */
uint64_t proxy_request_hash(const isoproxy *proxy, const proxy_view *view);
/* Of what decides where a request goes: if it comes back with the same, it loops (RFC 3261 16.3, RFC 5393 4.2). */
uint32_t proxy_loop_hash(const isoproxy *proxy, const proxy_view *view);
/* Whether this proxy has forwarded the request before, unchanged: 482. A spiral is none. */
int proxy_loops(const isoproxy *proxy, const proxy_view *view);
/* The To tag of replies that this proxy makes: the same for each retransmission (RFC 3261 8.2.7). */
#define PROXY_TAG_TEXT 32
iso_str proxy_tag(const isoproxy *proxy, const proxy_view *view, char text[PROXY_TAG_TEXT]);

/* ---- stateless: stateless.c ------------------------------------------------------------------- */

/* Where the reply to a request goes that arrived (RFC 3261 18.2.2, RFC 3581). */
void proxy_reply_target(const proxy_view *request, int listener, uint64_t connection, proxy_target *out);
/* The row "Retry-After: SECONDS" of a 503 (RFC 3261 20.33). */
#define PROXY_RETRY_TEXT 48
iso_str proxy_retry_after(const isoproxy *proxy, char text[PROXY_RETRY_TEXT]);
/* A reply without a transaction. `rows`: more header rows. */
int proxy_reply_stateless(proxy_worker *worker, const proxy_view *request, int listener, uint64_t connection, int code,
                          iso_str reason, iso_str rows);
/* Sends a reply of somebody else on to its next Via (RFC 3261 16.7, 18.1.2). */
void proxy_forward_reply(proxy_worker *worker, const proxy_view *reply, const proxy_branch_id *id,
                         const iso_edits *edits);

/* ---- the request that leaves: forward.c ------------------------------------------------------- */

/* What the handler wants of the copy that goes out. */
typedef struct proxy_changes {
    const iso_edits *edits;    /* of the request or failure route */
    const iso_edits *branch;   /* of the branch route, on top of them; NULL: none */
    const proxy_fork *fork;    /* where this copy goes instead of what `edits` say; NULL: there */
} proxy_changes;

/* How a request goes out: made by proxy_plan_request, used at once. */
typedef struct proxy_plan {
    const proxy_view *view; /* the request, or worker->edited */
    int target_count;       /* in worker->targets, the best first */
    proxy_target target;    /* the one to write for: at first the best */
    iso_str ruri;           /* p == NULL: as it is in the view */
    int from;               /* the listener where the request came in */
    int preferred;          /* the listener to leave by, if it can */
    int pop_routes;         /* so many first Route elements name this proxy: they go (RFC 3261 16.4) */
    int record_route;       /* put our Record-Route in */
    int switches;           /* a long request may go by TCP instead of UDP: nothing said UDP */
    int prepared;           /* all but our own rows is done: the view is over the text of a proxy_spare */
    proxy_question question; /* PROXY_LATER: what is to be looked up first */
} proxy_plan;
enum { PROXY_LATER = -1 }; /* beside status codes */
/* The message with a handler's edits of rows and body applied: `view` itself if there are none, else
 * worker->edited, or NULL if it does not fit. */
const proxy_view *proxy_apply_edits(proxy_worker *worker, const proxy_view *view, const iso_edits *edits);
/* Applies the edits and finds the next hop: dst-URI, else Route, else R-URI. 0, PROXY_LATER, or a status code to
 * answer. */
int proxy_plan_request(proxy_worker *worker, const proxy_view *request, const proxy_changes *changes, int listener,
                       proxy_plan *out);
/* Over 1300 octets, or what is set, a request must go by a transport with congestion control (RFC 3261 18.1.1). 1: the
 * plan now names TCP, and the request is to be written again. */
int proxy_plan_stream(const isoproxy *proxy, proxy_plan *plan, size_t length);
/* Writes the request with Via, Max-Forwards, Route, Record-Route as planned. */
void proxy_write_request(proxy_worker *worker, const proxy_plan *plan, iso_str branch, proxy_writer *to);
/* The same without Via, Record-Route and Content-Length: what is kept when the target may change. */
void proxy_write_prepared(const proxy_plan *plan, proxy_writer *to);
/* What the Route rows say: pops our own, repairs what strict routers did, and prepares for one (path.c). *next_out: the
 * URI of the next hop. 0, or a status code. */
int proxy_follow_routes(proxy_worker *worker, proxy_plan *plan, iso_str *next_out);
/* The targets of a URI: 0, PROXY_LATER, or a status code. `seed` decides between SRV records (RFC 2782). resolve.c */
int proxy_resolve(proxy_worker *worker, iso_str uri, uint64_t seed, proxy_plan *plan);
/* The targets of an answer go into the plan: 0, or 503. */
int proxy_take_answer(proxy_worker *worker, const proxy_answer *answer, uint64_t seed, proxy_plan *plan);
/* Whether host and port are ours (RFC 3261 16.4). */
int proxy_is_own(const isoproxy *proxy, iso_str host, uint16_t port);
/* Sends it on without a transaction, to `destination` if it is given. A request to a name that is not known yet waits
 * in one. 0, or the status code to answer. stateless.c */
int proxy_forward_stateless(proxy_worker *worker, proxy_context *context, iso_str destination);

/* ---- transactions: transaction.c, server.c, client.c, relay.c ---------------------------------- */

/* RFC 3261 17.2 and RFC 6026. Non-INVITE: TRYING, PROCEEDING, COMPLETED, TERMINATED. */
enum {
    PROXY_SERVER_TRYING,
    PROXY_SERVER_PROCEEDING,
    PROXY_SERVER_COMPLETED,
    PROXY_SERVER_CONFIRMED,
    PROXY_SERVER_ACCEPTED,
    PROXY_SERVER_TERMINATED
};
/* RFC 3261 17.1 and RFC 6026. CALLING is TRYING of a non-INVITE; WAITING is for the resolver. */
enum {
    PROXY_CLIENT_WAITING,
    PROXY_CLIENT_CALLING,
    PROXY_CLIENT_PROCEEDING,
    PROXY_CLIENT_COMPLETED,
    PROXY_CLIENT_ACCEPTED,
    PROXY_CLIENT_TERMINATED
};

/* What a branch needs to try another target, or the first one when the resolver answers. One block. */
typedef struct proxy_spare {
    int from, record_route, preferred, switches;
    int count; /* targets that were not tried */
    proxy_target targets[PROXY_MAX_TARGETS];
    proxy_question question;
    uint32_t length;
    char text[]; /* the request but for our own rows */
} proxy_spare;

/* A client transaction: one copy of the request that was sent on. Owned by its transaction. */
struct proxy_branch {
    proxy_transaction *transaction;
    uint8_t number;      /* in the transaction, and in the branch parameter */
    uint8_t state;       /* PROXY_CLIENT_... */
    uint8_t cancel;      /* wanted: sent as soon as a provisional reply is there (RFC 3261 9.1) */
    uint8_t cancelled;   /* sent */
    uint8_t replaced;    /* another target was tried after it: its end does not count */
    uint16_t code;       /* of the best reply so far, 0: none */
    uint16_t interval;   /* ms to the next retransmission */
    proxy_timer again;   /* A, E */
    proxy_timer end;     /* B, F, then D, K, M */
    proxy_timer ring;    /* C */
    proxy_target target;
    iso_str request;     /* as sent; the branch's own */
    iso_str reply;       /* the final one, as received; its own; n == 0: made from `code` */
    iso_address replier; /* who sent it */
    proxy_spare *spare;  /* its own, NULL: this target is the only one */
    proxy_branch *next,
        **link; /* transaction.c: in the list of those that wait for a TCP peer; link == NULL: in none */
};

/* A server transaction and its branches. Lives in its worker's table until server and branches have terminated and
 * no context uses it. */
struct proxy_transaction {
    proxy_worker *worker;
    proxy_transaction *next; /* in its bucket */
    uint64_t key;            /* RFC 3261 17.2.3 */
    uint32_t loop;           /* proxy_loop_hash of the request */
    uint32_t id;             /* slot and generation: what a branch parameter names */
    uint8_t state;           /* PROXY_SERVER_... */
    uint8_t invite;
    uint8_t cancelled;       /* a CANCEL came */
    uint8_t branch_count;
    uint16_t users;          /* contexts that hold it */
    uint16_t code;           /* of the last reply that was sent, 0: none */
    uint16_t interval;       /* ms to the next retransmission of the final reply (G) */
    int listener;            /* where the request came in */
    uint64_t connection;
    proxy_timer again;       /* G */
    proxy_timer end;         /* H, I, J, L */
    proxy_target target;     /* of replies */
    iso_str reply;           /* the last one, as sent; its own */
    uint32_t flags;          /* setflag and the like: bits by the worker's names */
    proxy_values values;     /* $avp(...) */
    char on_reply[PROXY_METHOD_NAME], on_failure[PROXY_METHOD_NAME], on_branch[PROXY_METHOD_NAME];
    char tag[PROXY_TAG_TEXT];
    proxy_branch *branches[PROXY_MAX_BRANCHES];
    proxy_view request;      /* over a copy of the octets. The last member: allocated with as many rows as it has */
};

int proxy_table_open(proxy_worker *worker);
/* Frees every transaction. */
void proxy_table_close(proxy_worker *worker);
size_t proxy_table_count(const proxy_worker *worker);

/* The key of a request; ACK and CANCEL have that of their INVITE. */
uint64_t proxy_transaction_key(const isoproxy *proxy, const proxy_view *view);
/* The transaction that a request belongs to, NULL: none. `invite`: look for an INVITE whatever the method. */
proxy_transaction *proxy_transaction_find(proxy_worker *worker, const proxy_view *view, int invite);
proxy_transaction *proxy_transaction_by_id(proxy_worker *worker, uint32_t id);
/* Copies the request. NULL: out of memory, above the setting `transactions`, or too many octets are kept. */
proxy_transaction *proxy_transaction_new(proxy_worker *worker, const proxy_view *view, int listener,
                                         uint64_t connection);
/* Notes, until the other is called, that the branch ends when the connection to its target does. */
void proxy_branch_on_stream(proxy_branch *branch);
void proxy_branch_off_stream(proxy_branch *branch);
/* Frees it if nothing of it lives any more. Call last after each event. */
void proxy_transaction_settle(proxy_transaction *transaction);
/* Ends its timers and frees it. The caller takes it out of its transaction. */
void proxy_branch_free(proxy_branch *branch);

/* keep.c: octets of messages that transactions keep. */
/* Whether there is room for what comes of one more. */
int proxy_may_begin(const proxy_worker *worker);
/* Counts octets that the caller will keep: 0, or ISO_EOVERLOAD: it must not. */
int proxy_hold(proxy_worker *worker, size_t octets);
void proxy_release(proxy_worker *worker, size_t octets);
/* Puts a copy of a message in place of the one before, which goes: 0, or ISO_ENOMEM or ISO_EOVERLOAD and there is none. */
int proxy_keep(proxy_worker *worker, iso_str *slot, iso_str text);
void proxy_let_go(proxy_worker *worker, iso_str *slot);
/* After a burst: freed memory goes back to the system. Takes some ms then; the rank should be detached. */
void proxy_give_back(proxy_worker *worker);

/* server.c: replies to the client side. */
void proxy_server_retransmitted(proxy_transaction *transaction);
void proxy_server_ack(proxy_transaction *transaction);
/* Makes a reply and sends it; state and timers follow. */
int proxy_server_reply(proxy_transaction *transaction, int code, iso_str reason, iso_str rows);
/* Sends on a reply that is written already (Via taken off). */
int proxy_server_pass(proxy_transaction *transaction, int code, const proxy_writer *message);

/* finished.c: the final reply of a non-INVITE transaction, kept for timer J while the transaction is freed. */
int proxy_finished_open(proxy_worker *worker);
void proxy_finished_close(proxy_worker *worker);
size_t proxy_finished_octets(const proxy_worker *worker);
void proxy_finished_add(const proxy_transaction *transaction, iso_str reply);
/* Sends the reply again if the request belongs to one: 1, else 0. */
int proxy_finished_retransmitted(proxy_worker *worker, const proxy_view *request);

/* start.c: one branch. Starts it, or lets it wait for the resolver: 0, or a status code. */
int proxy_client_start(proxy_transaction *transaction, proxy_plan *plan);
/* The resolver's answer to a branch that waits. */
void proxy_client_answer(proxy_branch *branch, const proxy_answer *answer);
/* Tries the next target of a branch that ended, as a new branch: 1, or 0: there is none. */
int proxy_client_next(proxy_branch *branch);

/* client.c: the state machine. Its request has just been sent, or it waits for an answer. */
void proxy_client_sent(proxy_branch *branch);
void proxy_client_waits(proxy_branch *branch);
/* It ends without a reply: as if `code` had come (RFC 3261 16.9). */
void proxy_client_failed(proxy_branch *branch, int code);
void proxy_client_reply(proxy_branch *branch, const proxy_view *reply);
/* Ends it without a word: its transaction has answered. */
void proxy_client_forget(proxy_branch *branch);
/* Sends CANCEL, or notes that it is wanted. */
void proxy_client_cancel(proxy_branch *branch);

/* relay.c: what a transaction does with its branches (RFC 3261 16.7 to 16.10). */
/* Makes the transaction of the context's request if there is none. 0, or a status code. */
int proxy_relay_begin(proxy_context *context);
/* t_relay: one more branch with the edits so far. 0, or a status code to answer. */
int proxy_relay(proxy_context *context);
/* A branch has a provisional reply, or a 2xx of an INVITE: pass it on now. */
void proxy_relay_pass(proxy_branch *branch, const proxy_view *reply, const iso_edits *edits);
/* A branch ended with `branch->code`; when all have, the best one goes back or the failure route runs. */
void proxy_relay_ended(proxy_branch *branch);
void proxy_relay_cancel(proxy_transaction *transaction);

/* ---- routes and host functions: route.c, functions.c ------------------------------------------- */

enum { PROXY_REPLIED = 1, PROXY_RELAYED = 2, PROXY_DROPPED = 4 };

/* One call of a method. On the stack of route.c; host functions find the innermost by proxy_current->context. */
struct proxy_context {
    proxy_worker *worker;
    proxy_context *outer;
    int route;               /* ISO_ROUTE_... */
    const proxy_view *view;  /* the message of the call; in a failure route, the request */
    const proxy_view *reply; /* onreply and failure: the reply, NULL: none (a timer made it) */
    proxy_transaction *transaction; /* NULL: none yet */
    proxy_branch *branch;    /* onreply and branch */
    int listener;            /* where the message came in */
    uint64_t connection;
    const iso_edits *edits;  /* so far: renewed before each host function, final after the method */
    unsigned done;           /* PROXY_REPLIED | ...: what the handler did */
    int record_route;
    int overloaded;          /* there was no room for a transaction */
    int last_code;           /* of the last host function: $rc */
    uint32_t flags;          /* until there is a transaction, which then has them */
    proxy_values values;     /* the same */
    const proxy_fork *fork;  /* branch: where this copy goes; NULL: where the edits say */
    int fork_count;
    size_t fork_text_n;
    char on_reply[PROXY_METHOD_NAME], on_failure[PROXY_METHOD_NAME], on_branch[PROXY_METHOD_NAME];
    size_t reply_rows_n;
    char reply_rows[1024];   /* append_to_reply */
    proxy_fork forks[PROXY_MAX_BRANCHES]; /* append_branch: further copies, when the request is relayed */
    char fork_text[2048];    /* of their URIs */
};

/* Runs `method` with the context; returns its code (as iso_result.code), -1 also if there is no such method. */
int proxy_route_call(proxy_context *context, const char *method);
/* The request route, and the default after it (design: code > 0 relays, 0 ends, < 0 answers 500). */
void proxy_route_request(proxy_worker *worker, const proxy_view *view, int listener, uint64_t connection);
/* The onreply route. Returns 0 if the reply was dropped by it; *edits_out is borrowed until the next route. */
int proxy_route_reply(proxy_worker *worker, const proxy_view *reply, proxy_branch *branch, int listener,
                      const iso_edits **edits_out);
/* The failure route with the request. 1 if it started a branch or replied: the transaction goes on. */
int proxy_route_failure(proxy_branch *best);
int proxy_has_branch_route(const proxy_transaction *transaction);
/* The branch route for a copy that is to go as `changes` say. 1 if it is to be sent; changes->branch is then borrowed
 * until the next route. */
int proxy_route_branch(proxy_context *outer, proxy_changes *changes);
/* Answers the context's request: through its transaction if it has one. */
int proxy_route_answer(proxy_context *context, int code, iso_str reason);
/* Of the reply; in a failure route, of the best one; 0: none. function_relay.c */
int proxy_reply_code(const proxy_context *context);
/* The last edit of this kind so far, or absent. forward.c */
iso_str proxy_edit_of(const iso_edits *edits, int kind);
/* Where the request goes by what the script has done so far. The dst-URI may be absent. */
iso_str proxy_current_ruri(const proxy_context *context);
iso_str proxy_current_dst_uri(const proxy_context *context);

#endif
