/* load.c: a caller that sends OPTIONS to 127.0.0.1, as fast as answers come or at a rate, and notes how long each took.
 *
 * usage: load call LOCAL_PORT PORT WINDOW RATE SECONDS WARM_SECONDS CALLEE_PORT
 *        load answer PORT
 *     RATE 0: WINDOW requests are always open. CALLEE_PORT 0: no callee, or another process is it.
 * prints: requests answered per second, answered, lost; in us p50, p90, p99, p99.9, the longest, and the median of the
 *     p99 of each span of 20 ms, which one stop of the machine does not reach.
 *
 * At a rate it never sleeps, and is the callee too: what has to be woken costs the server as much as a request, for each
 * one that it sends, and is late itself. An answer came when the kernel put it into the socket, not when it was read. */
#include "load.h"

#include <errno.h>
#include <poll.h>

enum { MOST_OPEN = 65536, STEPS = 64, BUCKETS = 64 * STEPS, DIGITS = 8, MARKS = 8 };
#define SPAN_NS 20000000u
#define LOST_NS 1000000000u /* no answer in a second: counted as lost */
#define MARK "z9hG4bKq-"

typedef struct slot {
    uint64_t sent; /* 0: free */
    uint32_t number;
} slot;

typedef union stamp {
    struct cmsghdr head;
    char octets[CMSG_SPACE(sizeof(struct timespec))];
} stamp;

typedef struct histogram {
    uint64_t count, buckets[BUCKETS];
} histogram;

typedef struct load {
    int fd, callee, window, spare_count; /* callee: -1 if it is none */
    double rate;
    uint64_t began, warm, end, next, looked;
    uint64_t answered, lost, longest;
    uint32_t number;
    char text[ROOM];
    size_t length, slot_marks[MARKS], number_marks[MARKS];
    int slot_count, number_count;
    slot slots[MOST_OPEN];
    uint32_t spare[MOST_OPEN];
    histogram all, span, span_p99; /* the last: of the p99 of each span that is over */
    uint64_t span_end;
    batch *in, *out, *callee_in, *callee_out;
    stamp stamps[BATCH];
} load;

/* ---- latency: log-linear, 64 steps an octave ---- */

static size_t
bucket_of(uint64_t ns)
{
    ns >>= 4;
    if (ns < STEPS)
        return ns;
    unsigned octave = 63 - (unsigned)__builtin_clzll(ns);
    return (size_t)(octave - 5) * STEPS + ((ns >> (octave - 6)) & (STEPS - 1));
}

static double
us_of(size_t bucket)
{
    if (bucket < STEPS)
        return (double)(bucket << 4) / 1000;
    unsigned octave = (unsigned)(bucket / STEPS) + 5;
    return (double)(((uint64_t)(STEPS | bucket % STEPS) << (octave - 6)) << 4) / 1000;
}

static size_t
bucket_at(const histogram *of, double p)
{
    uint64_t wanted = (uint64_t)((double)of->count * p), seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += of->buckets[i];
        if (seen > wanted)
            return i;
    }
    return 0;
}

static double
quantile(const histogram *of, double p)
{
    return us_of(bucket_at(of, p));
}

static void
count_in(histogram *to, size_t bucket)
{
    to->buckets[bucket]++;
    to->count++;
}

static void
note_delay(load *self, uint64_t ns)
{
    size_t bucket = bucket_of(ns);
    count_in(&self->all, bucket);
    count_in(&self->span, bucket);
    self->longest = ns > self->longest ? ns : self->longest;
}

static void
end_span(load *self, uint64_t now)
{
    if (now < self->span_end)
        return;
    if (self->span.count > 0)
        count_in(&self->span_p99, bucket_at(&self->span, 0.99));
    self->span = (histogram){0};
    self->span_end = now + SPAN_NS;
}

/* ---- the request ---- */

static int
find_marks(const load *self, const char *mark, size_t *marks)
{
    int count = 0;
    for (const char *at = self->text; (at = strstr(at, mark)) != NULL && count < MARKS; at += DIGITS)
        marks[count++] = (size_t)(at - self->text);
    return count;
}

static void
make_request(load *self, int own_port, int port)
{
    int n = snprintf(self->text, ROOM,
                     "OPTIONS sip:alice@127.0.0.1:%d SIP/2.0\r\n"
                     "Via: SIP/2.0/UDP 127.0.0.1:%d;branch=" MARK "SSSSSSSS-QQQQQQQQ;rport\r\n"
                     "Max-Forwards: 70\r\n"
                     "From: \"Load\" <sip:load@127.0.0.1:%d>;tag=SSSSSSSSQQQQQQQQ\r\n"
                     "To: <sip:alice@127.0.0.1:%d>\r\n"
                     "Call-ID: SSSSSSSS-QQQQQQQQ@127.0.0.1\r\n"
                     "CSeq: 1 OPTIONS\r\n"
                     "Contact: <sip:load@127.0.0.1:%d>\r\n"
                     "User-Agent: isoexec-load\r\n"
                     "Accept: application/sdp\r\n"
                     "Content-Length: 0\r\n\r\n",
                     port, own_port, own_port, port, own_port);
    self->length = (size_t)n;
    self->slot_count = find_marks(self, "SSSSSSSS", self->slot_marks);
    self->number_count = find_marks(self, "QQQQQQQQ", self->number_marks);
    for (int i = 0; i < BATCH; i++) {
        memcpy(self->out->rooms[i], self->text, self->length);
        self->out->parts[i].iov_len = self->length;
    }
}

static void
put_number(char *to, uint32_t number)
{
    for (int i = DIGITS - 1; i >= 0; i--, number >>= 4)
        to[i] = "0123456789abcdef"[number & 15];
}

static int
get_number(const char *text, uint32_t *number_out)
{
    char digits[DIGITS + 1] = {0}, *end;
    memcpy(digits, text, DIGITS);
    *number_out = (uint32_t)strtoul(digits, &end, 16);
    return end == digits + DIGITS;
}

static void
write_request(load *self, int i, uint64_t now)
{
    uint32_t at = self->spare[--self->spare_count], number = ++self->number;
    char *text = self->out->rooms[i];
    for (int k = 0; k < self->slot_count; k++)
        put_number(text + self->slot_marks[k], at);
    for (int k = 0; k < self->number_count; k++)
        put_number(text + self->number_marks[k], number);
    self->slots[at] = (slot){now, number};
}

/* ---- the loop ---- */

static void
send_due(load *self, uint64_t now)
{
    int count = 0;
    while (count < BATCH && self->spare_count > 0 && now < self->end && (self->rate == 0 || self->next <= now)) {
        write_request(self, count++, now);
        if (self->rate > 0)
            self->next = self->began + (uint64_t)((double)self->number * 1e9 / self->rate);
    }
    for (int at = 0; at < count;) {
        int sent = sendmmsg(self->fd, self->out->headers + at, (unsigned)(count - at), 0);
        at += sent > 0 ? sent : 0;
        if (sent < 0 && errno != EINTR && errno != ECONNREFUSED) {
            perror("sendmmsg");
            exit(2);
        }
    }
}

static void
take_answer(load *self, const char *text, size_t n, uint64_t now)
{
    uint32_t at, number;
    const char *mark = memmem(text, n, MARK, sizeof MARK - 1);
    if (n < 12 || memcmp(text, "SIP/2.0 2", 9) != 0 || mark == NULL || mark + 26 > text + n)
        return; /* provisional, or no good answer: lost in the end */
    if (!get_number(mark + 9, &at) || !get_number(mark + 18, &number) || at >= (uint32_t)self->window)
        return;
    slot *slot = &self->slots[at];
    if (slot->sent == 0 || slot->number != number)
        return;
    self->answered++;
    if (slot->sent >= self->warm && now < self->end)
        note_delay(self, now > slot->sent ? now - slot->sent : 0);
    slot->sent = 0;
    self->spare[self->spare_count++] = at;
}

static void
ask_for_stamps(load *self)
{
    int on = 1;
    if (setsockopt(self->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) < 0) {
        perror("SO_TIMESTAMPNS");
        exit(2);
    }
    for (int i = 0; i < BATCH; i++)
        self->in->headers[i].msg_hdr.msg_control = &self->stamps[i];
}

/* How long ago the datagram came, by the clock of its stamp; 0 if that was set meanwhile. */
static uint64_t
age_of(load *self, int i, const struct timespec *real)
{
    struct msghdr *header = &self->in->headers[i].msg_hdr;
    struct cmsghdr *head = CMSG_FIRSTHDR(header);
    struct timespec came;
    if (head == NULL || head->cmsg_type != SO_TIMESTAMPNS)
        return 0;
    memcpy(&came, CMSG_DATA(head), sizeof came);
    int64_t age = (int64_t)(real->tv_sec - came.tv_sec) * 1000000000 + (real->tv_nsec - came.tv_nsec);
    return age > 0 && age < LOST_NS ? (uint64_t)age : 0;
}

static void
take_answers(load *self)
{
    struct timespec real;
    for (int i = 0; i < BATCH && self->rate > 0; i++)
        self->in->headers[i].msg_hdr.msg_controllen = sizeof self->stamps[i];
    int n = recvmmsg(self->fd, self->in->headers, BATCH, MSG_DONTWAIT, NULL);
    uint64_t now = now_ns();
    clock_gettime(CLOCK_REALTIME, &real);
    if (n <= 0 && self->rate == 0) {
        struct pollfd ready = {.fd = self->fd, .events = POLLIN};
        poll(&ready, 1, 1);
    }
    for (int i = 0; i < n; i++)
        take_answer(self, self->in->rooms[i], self->in->headers[i].msg_len, now - age_of(self, i, &real));
}

static void
give_up_lost(load *self, uint64_t now)
{
    if (now < self->looked + LOST_NS / 50)
        return;
    self->looked = now;
    for (int i = 0; i < self->window; i++) {
        if (self->slots[i].sent != 0 && now > self->slots[i].sent + LOST_NS) {
            self->slots[i].sent = 0;
            self->spare[self->spare_count++] = (uint32_t)i;
            self->lost++;
        }
    }
}

static int
call_all(char **argv)
{
    static const double shown[] = {0.5, 0.9, 0.99, 0.999};
    load *self = calloc(1, sizeof *self);
    int own_port = atoi(argv[0]), port = atoi(argv[1]);
    struct sockaddr_in peer = local(port);
    self->window = atoi(argv[2]) < MOST_OPEN ? atoi(argv[2]) : MOST_OPEN;
    self->rate = atof(argv[3]);
    self->fd = open_socket(own_port);
    self->callee = atoi(argv[6]) > 0 ? open_socket(atoi(argv[6])) : -1;
    self->callee_in = new_batch(1);
    self->callee_out = new_batch(1);
    self->in = new_batch(0);
    self->out = new_batch(0);
    if (connect(self->fd, (struct sockaddr *)&peer, sizeof peer) < 0)
        return 2;
    if (self->rate > 0)
        ask_for_stamps(self);
    make_request(self, own_port, port);
    for (int i = 0; i < self->window; i++)
        self->spare[self->spare_count++] = (uint32_t)i;
    self->began = self->next = now_ns();
    self->warm = self->began + (uint64_t)(atof(argv[5]) * 1e9);
    self->end = self->warm + (uint64_t)(atof(argv[4]) * 1e9);
    for (uint64_t now = self->began; now < self->end || (self->spare_count < self->window && now < self->end + LOST_NS);
         now = now_ns()) {
        send_due(self, now);
        if (self->callee >= 0)
            answer_some(self->callee, self->callee_in, self->callee_out);
        take_answers(self);
        give_up_lost(self, now);
        end_span(self, now);
    }
    self->lost += (uint64_t)(self->window - self->spare_count);
    double seconds = (double)(self->end - self->warm) / 1e9;
    printf("%.1f %llu %llu", (double)self->all.count / seconds, (unsigned long long)self->answered,
           (unsigned long long)self->lost);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        printf(" %.1f", quantile(&self->all, shown[i]));
    printf(" %.1f %.1f\n", (double)self->longest / 1000, quantile(&self->span_p99, 0.5));
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc == 9 && strcmp(argv[1], "call") == 0)
        return call_all(argv + 2);
    if (argc == 3 && strcmp(argv[1], "answer") == 0)
        return answer_all(atoi(argv[2]));
    fputs("usage: load call LOCAL_PORT PORT WINDOW RATE SECONDS WARM_SECONDS CALLEE_PORT | load answer PORT\n", stderr);
    return 2;
}
