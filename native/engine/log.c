#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

static void
emit(const iso_engine *engine, int level, int rank, const char *text)
{
    if (engine->config.log != NULL)
        engine->config.log(engine->config.log_user, level, rank, text);
    else
        iso_log_standard_error(NULL, level, rank, text);
}

void
iso__log(const iso_engine *engine, int level, int rank, const char *format, ...)
{
    if (level > engine->config.log_level)
        return;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    emit(engine, level, rank, text);
}

static void
emit_line(iso_rank *rank, int level, const char *p, size_t n)
{
    char small[512];
    char *line = n < sizeof small ? small : malloc(n + 1);
    if (line == NULL) {
        line = small;
        n = sizeof small - 1;
    }
    memcpy(line, p, n);
    line[n] = '\0';
    emit(rank->engine, level, rank->number, line);
    iso__count(&rank->counters.log_lines, 1);
    if (line != small)
        free(line);
}

void
iso__log_lines(iso_rank *rank, int level, iso_str text)
{
    if (level > rank->engine->config.log_level)
        return;
    while (text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t n = end != NULL ? (size_t)(end - text.p) : text.n;
        size_t shown = n > 0 && text.p[n - 1] == '\r' ? n - 1 : n;
        emit_line(rank, level, text.p, shown);
        n += end != NULL;
        text.p += n;
        text.n -= n;
    }
}

void
iso__log_script(void *owner, int level, iso_str text)
{
    iso_rank *rank = owner;
    if (text.n == 0 && level <= rank->engine->config.log_level)
        emit_line(rank, level, "", 0);
    iso__log_lines(rank, level, text);
}

/* stdout is information, stderr a warning: what a script that uses them instead of LM_... means. */
static int
stream_level(int stream)
{
    return stream == 2 ? ISO_LOG_WARN : ISO_LOG_INFO;
}

/* Whole lines go out at once, the rest waits for its end, a flush or the end of the call. */
void
iso__log_output(iso_rank *rank, int stream, iso_str text)
{
    iso__text *pending = &rank->output[stream == 2];
    const char *end = memrchr(text.p, '\n', text.n);
    size_t whole = end != NULL ? (size_t)(end - text.p) + 1 : 0;
    if (whole > 0) {
        if (pending->n > 0) {
            iso__text_add(pending, text.p, whole);
            iso__log_lines(rank, stream_level(stream), (iso_str){pending->p, pending->n});
            pending->n = 0;
        } else {
            iso__log_lines(rank, stream_level(stream), (iso_str){text.p, whole});
        }
    }
    if (text.n > whole)
        iso__text_add(pending, text.p + whole, text.n - whole);
    rank->output_pending = rank->output[0].n > 0 || rank->output[1].n > 0;
}

void
iso__log_output_flush(iso_rank *rank)
{
    for (int i = 0; i < 2; i++) {
        iso__text *pending = &rank->output[i];
        if (pending->n > 0)
            iso__log_lines(rank, stream_level(i + 1), (iso_str){pending->p, pending->n});
        pending->n = 0;
    }
    rank->output_pending = false;
}

void
iso__event(const iso_engine *engine, int event, int rank)
{
    if (engine->config.event != NULL)
        engine->config.event(engine->config.event_user, event, rank);
}
