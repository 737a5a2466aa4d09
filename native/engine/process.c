/* process.c: one process of a rank: its start, its end, and its memory. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child_boot_py.h"
#include "engine/clock.h"
#include "engine/config.h"
#include "engine/elsewhere.h"
#include "engine/units.h"

/* ---- descriptors ---- */

/* The same file under a number that is none of those the process gets. -1: there is none. */
static int
above(int fd)
{
    int high = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, ISO__FD_OTHERS) : -1;
    int reason = errno;
    if (fd >= 0)
        close(fd);
    errno = reason;
    return high;
}

static int
make_pipe(int *read_end, int *write_end)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    *read_end = above(ends[0]);
    *write_end = above(ends[1]);
    return *read_end < 0 || *write_end < 0 ? -1 : 0;
}

static void
close_all(int *fds, int count)
{
    for (int i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

/* ---- the shared memory ---- */

/* Of a size that neither side can change: a page that went away would be a SIGBUS for the other. */
static int
make_region(iso__process *process)
{
    int fd = above(memfd_create("isoexec-rank", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0)
        return -1;
    void *at = MAP_FAILED;
    if (ftruncate(fd, (off_t)ISO__REGION_SIZE) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        at = mmap(NULL, ISO__REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        close(fd);
        return -1;
    }
    madvise(at, ISO__REGION_SIZE, MADV_DONTDUMP);
    process->region = at;
    process->region->layout = iso__region_layout();
    return fd;
}

/* ---- the first post ---- */

static int
add_texts(iso__text *blob, const iso_config *config)
{
    int failed = 0;
    for (size_t i = 0; i < iso__row_count && !failed; i++) {
        if (!iso__row_is_text(&iso__rows[i]))
            continue;
        const char *text = *iso__row_text(&iso__rows[i], config);
        failed = iso__text_add(blob, text != NULL ? "\1" : "", 1);
        if (text != NULL && !failed)
            failed = iso__text_add(blob, text, strlen(text) + 1);
    }
    return failed;
}

static int
add_functions(iso__text *blob, const iso_config *config)
{
    int failed = 0;
    for (size_t i = 0; i < config->function_count && !failed; i++) {
        const iso_function *function = &config->functions[i];
        failed = iso__text_add(blob, (const char *)&function->flags, sizeof function->flags);
        if (!failed)
            failed = iso__text_add(blob, function->name, strlen(function->name) + 1);
        if (!failed)
            failed = iso__text_add(blob, function->signature, strlen(function->signature) + 1);
    }
    return failed;
}

static int
say_start(iso_rank *rank, iso__process *process)
{
    iso__start start = {rank->number, iso__clock_ns_per_tick, (uint32_t)rank->engine->config.function_count,
                        rank->settings};
    iso_config *config = &start.config;
    iso__text texts = {0}, functions = {0};
    config->script_name = rank->engine->script_path;
    config->timing = ISO_TIMING_OFF; /* the engine's side counts and times */
    config->functions = NULL;
    config->function_count = 0;
    config->log = NULL;
    config->event = NULL;
    int failed = add_texts(&texts, config);
    if (!failed)
        failed = add_functions(&functions, &rank->engine->config);
    const iso__part parts[] = {{&start, sizeof start}, {texts.p, texts.n}, {functions.p, functions.n}};
    if (!failed && iso__say(process, 0, ISO__DOWN_START, parts, functions.n > 0 ? 3 : 2) < 0)
        failed = ISO_ENOMEM;
    iso__text_fini(&texts);
    iso__text_fini(&functions);
    return failed;
}

/* ---- the program ---- */

/* The environment of this process, and over it what the setting says. Freed by free(). */
static char **
make_environment(const iso_config *settings)
{
    size_t count = 0, room = 0;
    iso__list list = iso__list_over(settings->environment);
    iso_str item;
    while (environ[count] != NULL)
        count++;
    while (iso__list_next(&list, &item))
        room += item.n + 1 + sizeof(char *);
    char **made = calloc(1, (count + 1) * sizeof(char *) + room);
    if (made == NULL)
        return NULL;
    memcpy(made, environ, count * sizeof(char *));
    char *text = (char *)made + (count + 1) * sizeof(char *) + room;
    list = iso__list_over(settings->environment);
    while (iso__list_next(&list, &item)) {
        const char *equals = memchr(item.p, '=', item.n);
        size_t at = 0, name = equals != NULL ? (size_t)(equals - item.p) + 1 : item.n;
        while (at < count && strncmp(made[at], item.p, name) != 0)
            at++;
        count += at == count;
        text -= item.n + 1;
        memcpy(text, item.p, item.n);
        made[at] = text;
    }
    return made;
}

static bool
library_path(char *out)
{
    Dl_info info;
    return dladdr((void *)iso_version, &info) != 0 && info.dli_fname != NULL && realpath(info.dli_fname, out) != NULL;
}

static int
spawn(pid_t *pid, char *const argv[], char *const envp[], const int fds[5])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, held;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    for (int i = 0; i < 5; i++)
        posix_spawn_file_actions_adddup2(&actions, fds[i], STDOUT_FILENO + i);
    sigfillset(&all);
    sigemptyset(&held); /* until the process can outlive them */
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGHUP);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &held);
    posix_spawnattr_setpgroup(&attributes, 0); /* Ctrl-C in the host's terminal is the host's affair */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    int failed = posix_spawnp(pid, argv[0], &actions, &attributes, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return failed;
}

/* command..., -c BOOT, the library, the version. */
static int
run_program(iso_rank *rank, iso__process *process, char *const command[], const int fds[5], iso_error *err)
{
    char library[PATH_MAX], version[16];
    size_t count = 0;
    if (!library_path(library))
        return iso__fail(err, ISO_EINTERP, "rank %d: the file of libisoexec is not known", rank->number);
    snprintf(version, sizeof version, "%d.%d", PY_MAJOR_VERSION, PY_MINOR_VERSION);
    while (command[count] != NULL)
        count++;
    char **argv = calloc(count + 5, sizeof *argv), **envp = make_environment(&rank->settings);
    int failed = ENOMEM;
    if (argv != NULL && envp != NULL) {
        const char *own = rank->settings.python_executable;
        memcpy(argv, command, count * sizeof *argv);
        if (own != NULL && own[0] != '\0')
            argv[0] = (char *)own;
        argv[count++] = "-c";
        argv[count++] = (char *)iso__child_boot_py;
        argv[count++] = library;
        argv[count] = version;
        failed = spawn(&process->pid, argv, envp, fds);
        if (failed)
            iso__fail(err, ISO_EINTERP, "rank %d: %s can not be run: %s (setting python_executable)", rank->number,
                      argv[0], strerror(failed));
    } else {
        iso__fail(err, ISO_ENOMEM, "rank %d: no memory for the arguments of its process", rank->number);
    }
    free(argv);
    free(envp);
    return failed ? err->code : 0;
}

int
iso__process_start(iso_rank *rank, char *const command[], iso__process **out, iso_error *err)
{
    iso__process *process = calloc(1, sizeof *process);
    if (process == NULL)
        return iso__fail(err, ISO_ENOMEM, "rank %d: no memory for its process", rank->number);
    int fds[5] = {-1, -1, -1, -1, -1}; /* that it gets as 1, 2, region, lifeline, bell */
    process->output = process->lifeline = process->bell = process->pidfd = -1;
    atomic_store(&process->shares, 1);
    fds[2] = make_region(process);
    process->bell = above(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    fds[4] = process->bell >= 0 ? fcntl(process->bell, F_DUPFD_CLOEXEC, ISO__FD_OTHERS) : -1;
    int code = 0;
    if (fds[2] < 0 || fds[4] < 0 || make_pipe(&process->output, &fds[0]) < 0 ||
        make_pipe(&fds[3], &process->lifeline) < 0 || fcntl(process->output, F_SETFL, O_NONBLOCK) < 0)
        code = iso__fail(err, ISO_EINTERP, "rank %d: no descriptors or memory for its process: %s", rank->number,
                         strerror(errno));
    if (code == 0 && say_start(rank, process) < 0)
        code = iso__fail(err, ISO_ENOMEM, "rank %d: no memory for its process", rank->number);
    fds[1] = code == 0 ? fcntl(fds[0], F_DUPFD_CLOEXEC, ISO__FD_OTHERS) : -1;
    if (code == 0)
        code = run_program(rank, process, command, fds, err);
    close_all(fds, 5);
    if (code != 0) {
        close_all((int[]){process->output, process->lifeline, process->bell}, 3);
        iso__process_drop(process);
        return code;
    }
    process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    *out = process;
    return 0;
}

/* ---- its end ---- */

void
iso__process_close(iso__process *process)
{
    close_all((int[]){process->output, process->lifeline, process->bell, process->pidfd}, 4);
}

void
iso__process_drop(iso__process *process)
{
    if (atomic_fetch_sub(&process->shares, 1) > 1)
        return;
    if (process->region != NULL)
        munmap(process->region, ISO__REGION_SIZE);
    iso__text_fini(&process->inbox);
    iso__text_fini(&process->line);
    iso__text_fini(&process->output_line);
    iso__text_fini(&process->tail);
    free(process);
}

void
iso__process_kill(iso__process *process, const char *why)
{
    const char *nothing = NULL;
    atomic_compare_exchange_strong(&process->killed_for, &nothing, why);
    if (kill(-process->pid, SIGKILL) < 0)
        kill(process->pid, SIGKILL);
}

bool
iso__process_is_stopped(const iso__process *process)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)process->pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid == process->pid;
}

static const char *
signal_name(int number)
{
    static const char *const names[] = {
        [SIGHUP] = "SIGHUP",   [SIGINT] = "SIGINT",   [SIGQUIT] = "SIGQUIT", [SIGILL] = "SIGILL",
        [SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT", [SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",
        [SIGKILL] = "SIGKILL", [SIGSEGV] = "SIGSEGV", [SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM",
        [SIGTERM] = "SIGTERM", [SIGXCPU] = "SIGXCPU", [SIGSYS] = "SIGSYS",
    };
    return number > 0 && number < (int)(sizeof names / sizeof *names) && names[number] != NULL ? names[number]
                                                                                               : "a signal";
}

static void
describe_end(iso__process *process, const siginfo_t *info)
{
    const char *why = atomic_load(&process->killed_for);
    if (why != NULL)
        snprintf(process->end, sizeof process->end, "was killed: %s", why);
    else if (info->si_pid == 0) /* the host took its status, or ignores SIGCHLD */
        snprintf(process->end, sizeof process->end, "ended");
    else if (info->si_code == CLD_EXITED)
        snprintf(process->end, sizeof process->end, "ended with status %d", info->si_status);
    else
        snprintf(process->end, sizeof process->end, "was ended by %s (%d)%s", signal_name(info->si_status),
                 info->si_status,
                 info->si_status == SIGKILL ? ", by somebody or by the kernel when memory ran out" : "");
}

bool
iso__process_reap(iso__process *process)
{
    siginfo_t info = {0};
    int failed = waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG);
    if (failed < 0 ? errno != ECHILD : info.si_pid == 0)
        return false;
    describe_end(process, &info);
    return true;
}
