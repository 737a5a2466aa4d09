/* load.h: what both sides of the load generator share: sockets, batches, time. */
#ifndef PERF_LOAD_H
#define PERF_LOAD_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, ROOM = 4096 };

/* Datagrams of one recvmmsg or sendmmsg. */
typedef struct batch {
    struct mmsghdr headers[BATCH];
    struct iovec parts[BATCH];
    struct sockaddr_in names[BATCH];
    char rooms[BATCH][ROOM];
} batch;

static inline uint64_t
now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline struct sockaddr_in
local(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* A datagram socket on 127.0.0.1 with large buffers (root may go beyond the system's limit). */
static inline int
open_socket(int port)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 8 << 20;
    struct sockaddr_in name = local(port);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0) {
        perror("bind");
        exit(2);
    }
    return fd;
}

static inline batch *
new_batch(int named)
{
    batch *made = calloc(1, sizeof *made);
    for (int i = 0; i < BATCH; i++) {
        made->parts[i] = (struct iovec){made->rooms[i], ROOM};
        made->headers[i].msg_hdr = (struct msghdr){.msg_iov = &made->parts[i], .msg_iovlen = 1};
        if (named) {
            made->headers[i].msg_hdr.msg_name = &made->names[i];
            made->headers[i].msg_hdr.msg_namelen = sizeof made->names[i];
        }
    }
    return made;
}

/* Answers the requests that are there, with 200. */
void answer_some(int fd, batch *in, batch *out);
/* The same until it is ended: the callee, and what a bare responder costs. */
int answer_all(int port);

#endif
