/* udp.c: the datagrams of one worker. One socket of each UDP listener, bound with SO_REUSEPORT, so the kernel spreads
 * peers over the workers; many datagrams in one system call each way. */
#define _GNU_SOURCE
#include <time.h> /* linux/errqueue.h needs it, and does not include it */

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "proxy.h"

/* Datagrams lie at a distance that is no power of 2: else each would use the same few lines of the cache. */
#define STRIDE (PROXY_MAX_MESSAGE + 1 + 64 * 5)
#define QUOTED 1024 /* octets of a datagram that did not arrive: Via stands at its start */
#define AT_ONCE 16 /* so many received together are few */
#define ROUNDS 8  /* full batches taken before timers and other sockets have their turn */

typedef struct udp_socket {
    int fd; /* -1: this listener is TCP */
    int count;
    struct mmsghdr headers[PROXY_BATCH];
    struct iovec parts[PROXY_BATCH];
    struct sockaddr_storage names[PROXY_BATCH];
} udp_socket;

struct proxy_udp {
    int count;
    int send_at; /* so many datagrams of a socket wait for one system call */
    char *buffers;
    struct mmsghdr headers[PROXY_BATCH]; /* of what is received, any socket */
    struct iovec parts[PROXY_BATCH];
    struct sockaddr_storage names[PROXY_BATCH];
    udp_socket sockets[];
};

static void
prepare(proxy_udp *udp)
{
    for (int i = 0; i < PROXY_BATCH; i++) {
        udp->parts[i] = (struct iovec){udp->buffers + (size_t)i * STRIDE, PROXY_MAX_MESSAGE};
        udp->headers[i].msg_hdr = (struct msghdr){
            .msg_name = &udp->names[i],
            .msg_namelen = sizeof udp->names[i],
            .msg_iov = &udp->parts[i],
            .msg_iovlen = 1,
        };
    }
}

/* Without it the kernel keeps to itself what it hears of datagrams that did not arrive (ip(7), IP_RECVERR). */
static void
ask_for_errors(int fd, int family)
{
    int one = 1;
    if (family == 6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof one);
    else
        setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof one);
}

int
proxy_udp_open(proxy_worker *worker, iso_error *err)
{
    isoproxy *proxy = worker->proxy;
    proxy_udp *udp = calloc(1, sizeof *udp + (size_t)proxy->listener_count * sizeof(udp_socket));
    worker->udp = udp;
    if (udp == NULL || (udp->buffers = malloc((size_t)PROXY_BATCH * STRIDE)) == NULL)
        return ISO_ENOMEM;
    udp->count = proxy->listener_count;
    udp->send_at = PROXY_BATCH;
    prepare(udp);
    for (int i = 0; i < udp->count; i++)
        udp->sockets[i].fd = -1;
    for (int i = 0; i < udp->count; i++) {
        const iso_address *address = &proxy->listeners[i].address;
        if (address->protocol != ISO_PROTOCOL_UDP)
            continue;
        int fd = udp->sockets[i].fd = proxy_bind(address, SOCK_DGRAM, 1);
        if (fd < 0 || proxy_worker_watch(worker, fd, EPOLLIN, PROXY_EVENT_UDP, (uint32_t)i, EPOLL_CTL_ADD) < 0) {
            snprintf(err->message, sizeof err->message, "udp:%s: %m", proxy->listeners[i].sent_by);
            return err->code = ISO_ECONFIG;
        }
        ask_for_errors(fd, address->family);
    }
    return 0;
}

void
proxy_udp_close(proxy_worker *worker)
{
    proxy_udp *udp = worker->udp;
    if (udp == NULL)
        return;
    for (int i = 0; i < udp->count; i++) {
        if (udp->sockets[i].fd >= 0)
            close(udp->sockets[i].fd);
    }
    free(udp->buffers);
    free(udp);
    worker->udp = NULL;
}

/* How many datagrams one system call sends while those received in another are handled. What waits for company leaves
 * late: a worker that keeps up receives few at a time and sends each at once; with many in hand half a batch goes
 * together, which costs 1 to 4 % of the highest rate. (All together made p99 at half load 1.4 times as long.) */
static int
send_at(int received)
{
    return received <= AT_ONCE ? 1 : received / 2;
}

void
proxy_udp_receive(proxy_worker *worker, int listener)
{
    proxy_udp *udp = worker->udp;
    int n = PROXY_BATCH;
    for (int round = 0; round < ROUNDS && n == PROXY_BATCH; round++) {
        n = recvmmsg(udp->sockets[listener].fd, udp->headers, PROXY_BATCH, MSG_DONTWAIT, NULL);
        udp->send_at = send_at(n);
        for (int i = 0; i < n; i++) {
            struct msghdr *header = &udp->headers[i].msg_hdr;
            iso_address source;
            proxy_from_system(header->msg_name, ISO_PROTOCOL_UDP, &source);
            header->msg_namelen = sizeof udp->names[i];
            if (udp->headers[i].msg_len > 0 && !(header->msg_flags & MSG_TRUNC))
                proxy_receive(worker, udp->parts[i].iov_base, udp->headers[i].msg_len, &source, listener, 0);
        }
        proxy_out_flush(worker); /* replies leave now: their peers wait */
    }
    udp->send_at = PROXY_BATCH;
}

/* ---- errors ---- */

/* Whether it says that the target can not be reached, rather than that this once the way was too long or the datagram too
 * big (RFC 3261 18.4). */
static int
unreachable(const struct sock_extended_err *error)
{
    switch (error->ee_origin) {
    case SO_EE_ORIGIN_ICMP:
        return (error->ee_type == ICMP_DEST_UNREACH && error->ee_code != ICMP_FRAG_NEEDED) ||
               error->ee_type == ICMP_PARAMETERPROB;
    case SO_EE_ORIGIN_ICMP6:
        return error->ee_type == ICMP6_DST_UNREACH || error->ee_type == ICMP6_PARAM_PROB;
    default:
        return 0;
    }
}

static int
says_unreachable(struct msghdr *header)
{
    for (struct cmsghdr *row = CMSG_FIRSTHDR(header); row != NULL; row = CMSG_NXTHDR(header, row)) {
        if ((row->cmsg_level == IPPROTO_IP && row->cmsg_type == IP_RECVERR) ||
            (row->cmsg_level == IPPROTO_IPV6 && row->cmsg_type == IPV6_RECVERR))
            return unreachable((const struct sock_extended_err *)CMSG_DATA(row));
    }
    return 0;
}

void
proxy_udp_errors(proxy_worker *worker, int listener)
{
    char quoted[QUOTED];
    _Alignas(struct cmsghdr) char control[256];
    for (int i = 0; i < ROUNDS * PROXY_BATCH; i++) { /* they have their part of the memory for what is received */
        struct iovec part = {quoted, sizeof quoted};
        struct msghdr header = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t n = recvmsg(worker->udp->sockets[listener].fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT);
        if (n < 0)
            return;
        if (says_unreachable(&header))
            proxy_receive_error(worker, quoted, (size_t)n);
    }
}

/* ---- sending ---- */

/* What the kernel can not take is lost, as on the way; a refusal for one address must not stop the others. The first
 * failure may tell of a datagram sent before (IP_RECVERR), so each gets a second try. */
static void
flush(proxy_worker *worker, udp_socket *socket)
{
    int at = 0, tried = -1;
    while (at < socket->count) {
        int n = sendmmsg(socket->fd, socket->headers + at, (unsigned)(socket->count - at), MSG_DONTWAIT);
        if (n <= 0 && (errno == EINTR || (errno != EAGAIN && tried < at))) {
            tried = errno == EINTR ? tried : at;
            continue;
        }
        if (n <= 0)
            proxy_count(worker, dropped);
        at += n > 0 ? n : 1;
    }
    socket->count = 0;
}

void
proxy_udp_flush(proxy_worker *worker)
{
    for (int i = 0; i < worker->udp->count; i++) {
        if (worker->udp->sockets[i].count > 0)
            flush(worker, &worker->udp->sockets[i]);
    }
}

void
proxy_udp_queue(proxy_worker *worker, const proxy_target *target, iso_str octets)
{
    udp_socket *socket = &worker->udp->sockets[target->listener];
    int i = socket->count++;
    socket->parts[i] = (struct iovec){(void *)octets.p, octets.n};
    socket->headers[i].msg_hdr = (struct msghdr){
        .msg_name = &socket->names[i],
        .msg_namelen = proxy_to_system(&target->address, &socket->names[i]),
        .msg_iov = &socket->parts[i],
        .msg_iovlen = 1,
    };
    if (socket->count >= worker->udp->send_at)
        flush(worker, socket);
}
