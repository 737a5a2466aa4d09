/* tcp.c: the connections of one worker: accepted by it, or made by it, and used by it alone.
 *
 * Input grows up to one message; frames are cut by iso_stream_next, several from one read. Output that the
 * kernel does not take waits in a bounded queue; a peer that does not read loses its connection, not our
 * memory. One timer a connection: idle, or not up in time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "proxy.h"

#define FIRST_INPUT 4096
#define MAX_OUTPUT (256 * 1024)
#define READS 16 /* of one connection before others have their turn */
#define SLOT_BITS 16
#define BUCKETS 1024

struct proxy_connection {
    proxy_connection *next; /* in its bucket, by peer */
    uint32_t id;            /* generation and slot; never 0 */
    int fd, listener;
    uint8_t up, watched;    /* connected; EPOLLOUT is asked for */
    uint8_t ours;           /* made by this proxy, not accepted */
    iso_address peer;
    proxy_timer idle;
    char *input;
    size_t input_n, input_size;
    char *output;
    size_t output_n, output_at, output_size;
};

struct proxy_tcp {
    int count;              /* listeners */
    int open, max;
    int spare;              /* a descriptor to give up when there is no other: to accept and close */
    uint32_t generation, next_slot;
    proxy_connection **slots;
    proxy_connection *buckets[BUCKETS];
    int fds[];
};

/* ---- the table ---- */

static uint64_t
key_of(const isoproxy *proxy, const iso_address *peer)
{
    iso_str ip = {(const char *)peer->ip, sizeof peer->ip};
    return proxy_hash(proxy, peer->port, ip);
}

static proxy_connection **
bucket_of(proxy_worker *worker, const iso_address *peer)
{
    return &worker->tcp->buckets[key_of(worker->proxy, peer) % BUCKETS];
}

/* What other files call a connection. */
static uint64_t
name_of(const proxy_worker *worker, const proxy_connection *connection)
{
    return (uint64_t)worker->number << 32 | connection->id;
}

static proxy_connection *
by_id(proxy_worker *worker, uint32_t id)
{
    proxy_connection *found = worker->tcp->slots[id & ((1u << SLOT_BITS) - 1)];
    return found != NULL && found->id == id ? found : NULL;
}

static proxy_connection *
by_peer(proxy_worker *worker, const iso_address *peer)
{
    proxy_connection *found = *bucket_of(worker, peer);
    while (found != NULL && !proxy_same_address(&found->peer, peer))
        found = found->next;
    return found;
}

static void
drop(proxy_worker *worker, proxy_connection *connection)
{
    proxy_tcp *tcp = worker->tcp;
    proxy_connection **link = bucket_of(worker, &connection->peer);
    while (*link != connection)
        link = &(*link)->next;
    *link = connection->next;
    proxy_directory_remove(worker->proxy->peers, key_of(worker->proxy, &connection->peer), worker->number);
    tcp->slots[connection->id & ((1u << SLOT_BITS) - 1)] = NULL;
    tcp->open--;
    atomic_store_explicit(&worker->counters.connections_open, (uint64_t)tcp->open, memory_order_relaxed);
    proxy_timer_end(&worker->wheel, &connection->idle);
    close(connection->fd);
    free(connection->input);
    free(connection->output);
    iso_address peer = connection->peer;
    int ours = connection->ours;
    free(connection);
    if (ours)
        proxy_client_transport_failed(worker, &peer);
}

static void
idle(proxy_timer *timer, void *worker)
{
    drop(worker, PROXY_OWNER(timer, proxy_connection, idle));
}

static void
touch(proxy_worker *worker, proxy_connection *connection)
{
    const isoproxy_config *config = &worker->proxy->config;
    proxy_worker_timer(worker, &connection->idle, (uint64_t)(connection->up ? config->tcp_idle : config->tcp_connect),
                       idle);
}

/* NULL: too many, or out of memory; the descriptor is then closed. */
static proxy_connection *
add(proxy_worker *worker, int fd, const iso_address *peer, int listener, int up)
{
    proxy_tcp *tcp = worker->tcp;
    proxy_connection *connection = tcp->open < tcp->max ? calloc(1, sizeof *connection) : NULL;
    if (connection == NULL) {
        close(fd);
        return NULL;
    }
    while (tcp->slots[tcp->next_slot] != NULL)
        tcp->next_slot = (tcp->next_slot + 1) % (uint32_t)tcp->max;
    tcp->generation = tcp->generation % 0xffff + 1;
    connection->id = tcp->generation << SLOT_BITS | tcp->next_slot;
    tcp->slots[tcp->next_slot] = connection;
    tcp->next_slot = (tcp->next_slot + 1) % (uint32_t)tcp->max;
    tcp->open++;
    connection->fd = fd;
    connection->listener = listener;
    connection->up = (uint8_t)up;
    connection->peer = *peer;
    proxy_connection **bucket = bucket_of(worker, peer);
    connection->next = *bucket;
    *bucket = connection;
    proxy_directory_add(worker->proxy->peers, key_of(worker->proxy, peer), worker->number);
    connection->watched = !up;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    touch(worker, connection);
    proxy_count(worker, connections);
    atomic_store_explicit(&worker->counters.connections_open, (uint64_t)tcp->open, memory_order_relaxed);
    if (proxy_worker_watch(worker, fd, up ? EPOLLIN : EPOLLIN | EPOLLOUT, PROXY_EVENT_TCP, connection->id,
                           EPOLL_CTL_ADD) < 0) {
        drop(worker, connection);
        return NULL;
    }
    return connection;
}

int
proxy_tcp_open(proxy_worker *worker, iso_error *err)
{
    isoproxy *proxy = worker->proxy;
    proxy_tcp *tcp = calloc(1, sizeof *tcp + (size_t)proxy->listener_count * sizeof(int));
    worker->tcp = tcp;
    if (tcp == NULL || (tcp->slots = calloc(1u << SLOT_BITS, sizeof(*tcp->slots))) == NULL)
        return ISO_ENOMEM;
    tcp->count = proxy->listener_count;
    tcp->max = proxy->config.tcp_connections;
    tcp->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < tcp->count; i++)
        tcp->fds[i] = -1;
    for (int i = 0; i < tcp->count; i++) {
        const iso_address *address = &proxy->listeners[i].address;
        if (address->protocol != ISO_PROTOCOL_TCP)
            continue;
        int fd = tcp->fds[i] = proxy_bind(address, SOCK_STREAM, 1);
        if (fd < 0 || listen(fd, 1024) < 0 ||
            proxy_worker_watch(worker, fd, EPOLLIN, PROXY_EVENT_ACCEPT, (uint32_t)i, EPOLL_CTL_ADD) < 0) {
            snprintf(err->message, sizeof err->message, "tcp:%s: %m", proxy->listeners[i].sent_by);
            return err->code = ISO_ECONFIG;
        }
    }
    return 0;
}

void
proxy_tcp_close(proxy_worker *worker)
{
    proxy_tcp *tcp = worker->tcp;
    if (tcp == NULL)
        return;
    for (int i = 0; i < tcp->count; i++) {
        if (tcp->fds[i] >= 0)
            close(tcp->fds[i]);
    }
    for (int i = 0; tcp->slots != NULL && i < tcp->max; i++) {
        if (tcp->slots[i] != NULL)
            drop(worker, tcp->slots[i]);
    }
    close(tcp->spare);
    free(tcp->slots);
    free(tcp);
    worker->tcp = NULL;
}

/* A peer that waits while there is no descriptor would wake the worker again and again: it is sent away. */
static void
send_away(proxy_worker *worker, int listener)
{
    proxy_tcp *tcp = worker->tcp;
    close(tcp->spare);
    int fd = accept(tcp->fds[listener], NULL, NULL);
    if (fd >= 0)
        close(fd);
    tcp->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    proxy_count(worker, overload);
}

void
proxy_tcp_accept(proxy_worker *worker, int listener)
{
    for (int i = 0; i < PROXY_BATCH; i++) {
        struct sockaddr_storage name;
        socklen_t n = sizeof name;
        int fd = accept4(worker->tcp->fds[listener], (struct sockaddr *)&name, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE))
            send_away(worker, listener);
        if (fd < 0)
            return;
        iso_address peer;
        proxy_from_system(&name, ISO_PROTOCOL_TCP, &peer);
        add(worker, fd, &peer, listener, 1);
    }
}

/* ---- output ---- */

static int
watch_output(proxy_worker *worker, proxy_connection *connection, int wanted)
{
    if (connection->watched == wanted)
        return 0;
    connection->watched = (uint8_t)wanted;
    return proxy_worker_watch(worker, connection->fd, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN, PROXY_EVENT_TCP,
                              connection->id, EPOLL_CTL_MOD);
}

/* Writes what the kernel takes of the queue. 0, or -1: the connection is of no use any more. */
static int
write_queue(proxy_worker *worker, proxy_connection *connection)
{
    while (connection->output_at < connection->output_n) {
        ssize_t n = send(connection->fd, connection->output + connection->output_at,
                         connection->output_n - connection->output_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? watch_output(worker, connection, 1) : -1;
        connection->output_at += (size_t)n;
    }
    connection->output_at = connection->output_n = 0;
    return watch_output(worker, connection, 0);
}

static int
queue(proxy_connection *connection, iso_str octets)
{
    size_t waiting = connection->output_n - connection->output_at;
    if (waiting + octets.n > MAX_OUTPUT)
        return ISO_EOVERLOAD;
    if (connection->output_at > 0) {
        memmove(connection->output, connection->output + connection->output_at, waiting);
        connection->output_n = waiting;
        connection->output_at = 0;
    }
    if (waiting + octets.n > connection->output_size) {
        size_t size =
            connection->output_size * 2 > waiting + octets.n ? connection->output_size * 2 : waiting + octets.n;
        char *output = realloc(connection->output, size);
        if (output == NULL)
            return ISO_ENOMEM;
        connection->output = output;
        connection->output_size = size;
    }
    memcpy(connection->output + connection->output_n, octets.p, octets.n);
    connection->output_n += octets.n;
    return 0;
}

static proxy_connection *
connect_to(proxy_worker *worker, const proxy_target *target)
{
    const iso_address *own = &worker->proxy->listeners[target->listener].address;
    iso_address from = *own;
    from.port = 0;
    int fd = proxy_bind(&from, SOCK_STREAM, 0);
    struct sockaddr_storage name;
    socklen_t n = proxy_to_system(&target->address, &name);
    if (fd < 0)
        return NULL;
    if (connect(fd, (struct sockaddr *)&name, n) < 0 && errno != EINPROGRESS) {
        close(fd);
        return NULL;
    }
    proxy_connection *connection = add(worker, fd, &target->address, target->listener, 0);
    if (connection != NULL)
        connection->ours = 1;
    return connection;
}

/* The worker that has the connection to send by: this one if it has any or nobody has. */
static int
owner_of(proxy_worker *worker, const proxy_target *target)
{
    if (target->connection != 0)
        return (int)(target->connection >> 32);
    int found = by_peer(worker, &target->address) != NULL
                    ? 0
                    : proxy_directory_find(worker->proxy->peers, key_of(worker->proxy, &target->address));
    return found != 0 ? found : worker->number;
}

static int
send_here(proxy_worker *worker, const proxy_target *target, iso_str octets)
{
    proxy_connection *connection = target->connection != 0 ? by_id(worker, (uint32_t)target->connection) : NULL;
    if (connection == NULL)
        connection = by_peer(worker, &target->address);
    if (connection == NULL && (connection = connect_to(worker, target)) == NULL)
        return ISO_EINVAL;
    int code = queue(connection, octets);
    if (code == 0 && (!connection->up || connection->watched))
        return 0; /* leaves when the socket takes octets again */
    /* Not dropped here: a transaction that sends must not be told of the end while it does. */
    if (code == ISO_EOVERLOAD || (code == 0 && write_queue(worker, connection) < 0)) {
        shutdown(connection->fd, SHUT_RDWR);
        return ISO_EOVERLOAD;
    }
    return code;
}

int
proxy_tcp_send(proxy_worker *worker, const proxy_target *target, iso_str octets)
{
    int owner = owner_of(worker, target);
    if (owner == worker->number)
        return send_here(worker, target, octets);
    proxy_count(worker, handed_over);
    proxy_parcel label = {.kind = PROXY_PARCEL_SEND,
                          .address = target->address,
                          .listener = target->listener,
                          .connection = target->connection};
    return proxy_inbox_push(&worker->proxy->workers[owner - 1].inbox, &label, octets.p, octets.n);
}

void
proxy_tcp_send_parcel(proxy_worker *worker, const proxy_parcel *parcel)
{
    proxy_target target = {.address = parcel->address, .listener = parcel->listener, .connection = parcel->connection};
    if (send_here(worker, &target, (iso_str){parcel->data, parcel->length}) < 0)
        proxy_count(worker, dropped);
}

/* ---- input ---- */

/* Hands out every whole message. 0, or -1: the stream can not be followed. */
static int
cut_frames(proxy_worker *worker, proxy_connection *connection)
{
    size_t at = 0;
    uint64_t name = name_of(worker, connection);
    int64_t length;
    do {
        size_t skip;
        const char *data = connection->input + at;
        length = iso_stream_next(data, connection->input_n - at, PROXY_MAX_MESSAGE, &skip);
        /* CRLF CRLF asks for a CRLF (RFC 5626 3.5.1). */
        if (skip >= 4 && length >= 0 && queue(connection, PROXY_TEXT("\r\n")) == 0 && connection->up &&
            write_queue(worker, connection) < 0)
            return -1;
        at += skip;
        if (length <= 0)
            break;
        proxy_receive(worker, data + skip, (size_t)length, &connection->peer, connection->listener, name);
        at += (size_t)length;
    } while (at < connection->input_n);
    connection->input_n -= at;
    memmove(connection->input, connection->input + at, connection->input_n);
    return length < 0 ? -1 : 0;
}

static int
grow_input(proxy_connection *connection)
{
    if (connection->input_n < connection->input_size)
        return 0;
    size_t size = connection->input_size > 0 ? connection->input_size * 2 : FIRST_INPUT;
    char *input = size > 2 * (PROXY_MAX_MESSAGE + 1) ? NULL : realloc(connection->input, size);
    if (input == NULL)
        return -1;
    connection->input = input;
    connection->input_size = size;
    return 0;
}

static int
read_input(proxy_worker *worker, proxy_connection *connection)
{
    for (int i = 0; i < READS; i++) {
        if (grow_input(connection) < 0)
            return -1;
        size_t room = connection->input_size - connection->input_n;
        ssize_t n = recv(connection->fd, connection->input + connection->input_n, room, 0);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        if (n == 0)
            return -1;
        size_t all = connection->input_n += (size_t)n;
        if (cut_frames(worker, connection) < 0) {
            proxy_count(worker, malformed);
            proxy_log_bad(worker, NULL, "the octets of a TCP connection are no SIP: it is closed");
            return -1;
        }
        if (connection->input_n < all) /* a peer that sends octets but never a whole message is idle */
            touch(worker, connection);
        if ((size_t)n < room)
            return 0;
    }
    return 0;
}

void
proxy_tcp_event(proxy_worker *worker, uint32_t id, uint32_t events)
{
    proxy_connection *connection = by_id(worker, id);
    if (connection == NULL)
        return; /* closed by what came before it in this wake-up */
    if (!connection->up && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        int why = 0;
        socklen_t n = sizeof why;
        getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &why, &n);
        if (why != 0) {
            drop(worker, connection);
            return;
        }
        connection->up = 1;
        touch(worker, connection);
    }
    if ((events & EPOLLOUT) && write_queue(worker, connection) < 0) {
        drop(worker, connection);
        return;
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && read_input(worker, connection) < 0)
        drop(worker, connection);
}
