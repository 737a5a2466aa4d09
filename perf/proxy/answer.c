/* answer.c: the least that a responder can do: receive, copy five header rows, send; in batches. */
#include "load.h"

#include <poll.h>

static size_t
add(char *to, size_t at, const char *text, size_t n)
{
    memcpy(to + at, text, n);
    return at + n;
}

static int
wanted(const char *row)
{
    static const char *const names[] = {"Via:", "From:", "To:", "Call-ID:", "CSeq:"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(row, names[i], strlen(names[i])) == 0)
            return 1;
    }
    return 0;
}

/* The length of the reply, 0: no request. */
static size_t
write_reply(const char *request, size_t n, char *to)
{
    static const char first[] = "SIP/2.0 200 OK\r\n", last[] = "Content-Length: 0\r\n\r\n";
    const char *end = request + n, *row = memchr(request, '\n', n);
    if (row == NULL || n < 8 || memcmp(request, "SIP/2.0 ", 8) == 0)
        return 0;
    size_t at = add(to, 0, first, sizeof first - 1);
    for (row++; row < end;) {
        const char *stop = memchr(row, '\n', (size_t)(end - row));
        if (stop == NULL || stop - row <= 1)
            break;
        size_t length = (size_t)(stop - row) + 1;
        int is_to = strncmp(row, "To:", 3) == 0;
        if (wanted(row) && at + length + sizeof last + 16 < ROOM) {
            at = add(to, at, row, is_to ? length - 2 : length);
            if (is_to)
                at = add(to, at, ";tag=callee\r\n", 13);
        }
        row = stop + 1;
    }
    return add(to, at, last, sizeof last - 1);
}

void
answer_some(int fd, batch *in, batch *out)
{
    int n = recvmmsg(fd, in->headers, BATCH, MSG_DONTWAIT, NULL), count = 0;
    for (int i = 0; i < n; i++) {
        size_t length = write_reply(in->rooms[i], in->headers[i].msg_len, out->rooms[count]);
        if (length == 0)
            continue;
        out->parts[count].iov_len = length;
        out->names[count++] = in->names[i];
    }
    for (int at = 0; at < count;) {
        int sent = sendmmsg(fd, out->headers + at, (unsigned)(count - at), 0);
        at += sent > 0 ? sent : 1;
    }
}

int
answer_all(int port)
{
    int fd = open_socket(port);
    batch *in = new_batch(1), *out = new_batch(1);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    for (;;) {
        poll(&ready, 1, -1);
        answer_some(fd, in, out);
    }
}
