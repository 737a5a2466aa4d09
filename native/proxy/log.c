#include <stdarg.h>
#include <stdio.h>

#include "proxy.h"

enum { LINE = 1024 };

static void
write_line(const isoproxy *proxy, int level, int rank, const char *text)
{
    if (proxy->config.log != NULL)
        proxy->config.log(proxy->config.log_user, level, rank, text);
    else
        iso_log_standard_error(NULL, level, rank, text);
}

void
proxy_log(const proxy_worker *worker, int level, const proxy_view *view, const char *format, ...)
{
    char line[LINE];
    if (level > worker->proxy->config.log_level)
        return;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (view != NULL && view->call_id.p != NULL && n > 0 && n < LINE)
        snprintf(line + n, sizeof line - (size_t)n, " (Call-ID %.*s)",
                 (int)(view->call_id.n < 256 ? view->call_id.n : 256), view->call_id.p);
    write_line(worker->proxy, level, worker->number, line);
}

void
proxy_log_bad(proxy_worker *worker, const proxy_view *view, const char *what)
{
    uint64_t second = worker->now / 1000;
    if (second != worker->log_second) {
        if (worker->log_lines > PROXY_LOG_RATE)
            proxy_log(worker, ISO_LOG_NOTICE, NULL, "%u more messages were refused without a line",
                      worker->log_lines - PROXY_LOG_RATE);
        worker->log_second = second;
        worker->log_lines = 0;
    }
    if (worker->log_lines++ < PROXY_LOG_RATE)
        proxy_log(worker, ISO_LOG_NOTICE, view, "a message is refused: %s", what);
}

void
proxy_log_plain(const isoproxy *proxy, int level, const char *format, ...)
{
    char line[LINE];
    if (level > proxy->config.log_level)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    write_line(proxy, level, 0, line);
}

void
isoproxy_log_statistics(const isoproxy *proxy)
{
    char line[LINE];
    isoproxy_stats stats;
    int n = snprintf(line, sizeof line, "counters:");
    isoproxy_statistics(proxy, &stats);
#define ADD(name) n += snprintf(line + n, sizeof line - (size_t)n, " " #name "=%llu", (unsigned long long)stats.name);
    ISOPROXY_COUNTERS(ADD) /* 14 names of at most 20 octets and as many digits: they fit */
#undef ADD
    write_line(proxy, ISO_LOG_NOTICE, 0, line);
}
