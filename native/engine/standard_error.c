/* standard_error.c: log lines of hosts that have no callback. A reader that has stopped must not stop calls: a line
 * for which there is no room is dropped, and the next one that gets through says how many were. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "isoexec.h"

enum { LINE = 2048 }; /* below PIPE_BUF (4096): a pipe that poll(2) calls writable takes a line whole, pipe(7) */

/* Of the process, as its standard error is. The lock is held over poll and write, so that no second line takes the
 * room of the first; it is innermost, and nothing waits while it is held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t lost;

static const char *
level_name(int level)
{
    static const char *const names[] = {"ALERT", "CRIT", "ERR", "DBG", "WARN", "NOTICE", "INFO", "DBG"};
    return names[level >= ISO_LOG_ALERT && level <= ISO_LOG_DBG ? level - ISO_LOG_ALERT : 7];
}

/* The length of the line, its end included. */
static size_t
make_line(char line[LINE], int level, int rank, const char *text)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    int n = snprintf(line, LINE - 1, "%02d:%02d:%02d.%03ld isoexec[%d] %s rank %d: %s", parts.tm_hour, parts.tm_min,
                     parts.tm_sec, now.tv_nsec / 1000000, (int)getpid(), level_name(level), rank, text);
    if (n < 0)
        return 0;
    size_t length = (size_t)n < LINE - 2 ? (size_t)n : LINE - 2;
    line[length++] = '\n';
    return length;
}

static int
has_room(void)
{
    struct pollfd standard_error = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&standard_error, 1, 0) > 0 && (standard_error.revents & POLLOUT) != 0;
}

/* One write(2), so that lines of several processes do not mix. 0, or -1 if the line is lost. */
static int
put(const char *line, size_t length)
{
    if (!has_room())
        return -1;
    ssize_t written;
    do
        written = write(STDERR_FILENO, line, length);
    while (written < 0 && errno == EINTR);
    return written == (ssize_t)length ? 0 : -1;
}

static void
tell_lost(void)
{
    char line[LINE], text[96];
    snprintf(text, sizeof text, "%llu log lines were lost: nobody read standard error", (unsigned long long)lost);
    if (put(line, make_line(line, ISO_LOG_WARN, 0, text)) == 0)
        lost = 0;
}

void
iso_log_standard_error(void *user, int level, int rank, const char *text)
{
    (void)user;
    char line[LINE];
    int error = errno;
    size_t length = make_line(line, level, rank, text);
    pthread_mutex_lock(&lock);
    if (lost > 0)
        tell_lost();
    if (lost > 0 || put(line, length) < 0)
        lost++;
    pthread_mutex_unlock(&lock);
    errno = error;
}
