/* process_output.c: what the process of a rank wrote to its descriptors 1 and 2 (C libraries, programs that it
 * started, the last words of Python) and into the ring of log lines. */
#include <string.h>
#include <unistd.h>

#include "engine/elsewhere.h"

#define TAIL_KEPT 2048   /* of what it wrote, for the reason of its end */
#define LINE_MOST 8192   /* octets without a line end that make a line */
#define AT_ONCE 16       /* reads of the pipe, before others have their turn */

bool
iso__process_read_log(iso_rank *rank, iso__process *process)
{
    int level, got = 0;
    uint64_t end = atomic_load(&process->region->log.head);
    while (!process->nonsense && process->log_tail != end &&
           (got = iso__log_ring_take(process->region, &process->log_tail, &level, &process->line)) > 0)
        iso__log_script(rank, level, (iso_str){process->line.p, process->line.n});
    process->nonsense = process->nonsense || got < 0;
    uint64_t lost = atomic_load(&process->region->log.lost);
    if (lost != process->log_lost)
        iso__log(rank->engine, ISO_LOG_WARN, rank->number,
                 "%llu log lines of its process were lost: they came faster "
                 "than the host takes them",
                 (unsigned long long)(lost - process->log_lost));
    process->log_lost = lost;
    return !process->nonsense && atomic_load(&process->region->log.head) != process->log_tail;
}

static void
keep_tail(iso__text *tail, const char *p, size_t n)
{
    iso__text_add(tail, p, n);
    if (tail->n <= 2 * TAIL_KEPT)
        return;
    memmove(tail->p, tail->p + tail->n - TAIL_KEPT, TAIL_KEPT);
    tail->n = TAIL_KEPT;
}

void
iso__process_flush_output(iso_rank *rank, iso__process *process)
{
    iso__text *line = &process->output_line;
    if (line->n > 0)
        iso__log_lines(rank, ISO_LOG_WARN, (iso_str){line->p, line->n});
    line->n = 0;
}

/* Lines go out whole. */
static void
take_output(iso_rank *rank, iso__process *process, const char *p, size_t n)
{
    iso__text *line = &process->output_line;
    keep_tail(&process->tail, p, n);
    for (size_t i = 0; i < n; i++) {
        char octet = p[i] != '\0' ? p[i] : ' '; /* a line of C text ends at NUL */
        iso__text_add(line, &octet, 1);
        if (octet == '\n' || line->n >= LINE_MOST)
            iso__process_flush_output(rank, process);
    }
}

void
iso__process_read_output(iso_rank *rank, iso__process *process)
{
    char octets[4096];
    for (int i = 0; i < AT_ONCE; i++) {
        ssize_t n = read(process->output, octets, sizeof octets);
        process->output_ended = process->output_ended || n == 0;
        if (n <= 0)
            return;
        take_output(rank, process, octets, (size_t)n);
    }
}
