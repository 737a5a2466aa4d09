#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "proxy.h"

int
proxy_bind(const iso_address *address, int type, int shared)
{
    struct sockaddr_storage system;
    socklen_t n = proxy_to_system(address, &system);
    int fd = socket(system.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int one = 1, buffer = 4 << 20;
    /* [::]:5060 and 0.0.0.0:5060 are two listeners. */
    if (address->family == 6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (type == SOCK_STREAM) /* for datagrams it would let others take the port */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (type == SOCK_DGRAM) { /* a burst must fit while a handler runs; the kernel cuts it to its limit */
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    }
    if ((shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) ||
        bind(fd, (struct sockaddr *)&system, n) < 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}
