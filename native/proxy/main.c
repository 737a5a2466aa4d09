/* main.c: the program isoproxy: one engine, one proxy, until a signal says otherwise. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "isoproxy.h"

enum { EXIT_USAGE = 2, EXIT_CONFIG = 3, EXIT_START = 4, EXIT_SCRIPT = 5, SETTING_NAME = 64 };

typedef struct options {
    iso_config engine;
    isoproxy_config proxy;
    int graceful_ms; /* how long TERM waits for transactions */
} options;

typedef struct ending {
    isoproxy *proxy;
    int grace_ms;
    int stuck;
    _Atomic int done;
} ending;

static void
usage(FILE *to)
{
    fputs("usage: isoproxy [--SETTING VALUE]... HANDLER\n"
          "  --listen udp:HOST:PORT   may be given again; tcp:HOST:PORT too\n"
          "  --graceful-timeout SECONDS   how long SIGTERM waits for transactions (10)\n"
          "Settings of the proxy:\n",
          to);
    const iso_setting *setting;
    for (size_t i = 0; (setting = isoproxy_setting_get(i)) != NULL; i++)
        fprintf(to, "  --%s  %s [%s; default: %s]\n", setting->name, setting->doc, setting->range_text,
                setting->default_text);
    fputs("Settings of the engine:\n", to);
    for (size_t i = 0; (setting = iso_setting_get(i)) != NULL; i++)
        fprintf(to, "  --%s  %s\n", setting->name, setting->doc);
}

/* A name with dashes is the one with underscores; the proxy's settings go before the engine's. */
static int
set_option(options *given, const char *dashed, const char *text, iso_error *err)
{
    char name[SETTING_NAME];
    const iso_setting *setting;
    snprintf(name, sizeof name, "%s", dashed);
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '-' ? '_' : *c;
    if (strcmp(name, "graceful_timeout") == 0) {
        char *end;
        double seconds = strtod(text, &end);
        if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 86400)) {
            snprintf(err->message, sizeof err->message, "graceful_timeout must be 0 to 86400 seconds, not %s", text);
            return err->code = ISO_ECONFIG;
        }
        given->graceful_ms = (int)(seconds * 1000);
        return 0;
    }
    for (size_t i = 0; (setting = isoproxy_setting_get(i)) != NULL; i++) {
        if (strcmp(setting->name, name) == 0)
            return isoproxy_config_set(&given->proxy, name, text, err);
    }
    return iso_config_set(&given->engine, name, text, err);
}

/* 0, or the exit code. */
static int
read_options(options *given, int argc, char **argv)
{
    iso_error err;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            usage(stdout);
            exit(0);
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("isoproxy %s\n", iso_version());
            exit(0);
        }
        const char *name = strcmp(argv[i], "-w") == 0 ? "workers" : strncmp(argv[i], "--", 2) == 0 ? argv[i] + 2 : NULL;
        if (name == NULL && given->engine.script_name == NULL) {
            given->engine.script_name = argv[i];
        } else if (name == NULL || i + 1 == argc) {
            usage(stderr);
            return EXIT_USAGE;
        } else if (set_option(given, name, argv[++i], &err) < 0) {
            fprintf(stderr, "isoproxy: %s\n", err.message);
            return EXIT_CONFIG;
        }
    }
    if (given->engine.script_name == NULL) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (given->proxy.workers > 0)
        given->engine.ranks = given->proxy.workers;
    given->engine.function_count = isoproxy_functions(&given->engine.functions);
    given->engine.channel = ISO_CHANNEL_INLINE;
    given->engine.log_level = given->proxy.log_level;
    return 0;
}

static int
failed(const iso_error *err)
{
    fprintf(stderr, "isoproxy: %s\n%s", err->message, err->traceback);
    switch (err->code) {
    case ISO_ECONFIG:
        return EXIT_CONFIG;
    case ISO_ESCRIPT:
    case ISO_EINIT:
        return EXIT_SCRIPT;
    default:
        return EXIT_START;
    }
}

static void
print_ready(const isoproxy *proxy, const options *given)
{
    char address[ISOPROXY_ADDRESS_TEXT];
    printf("isoproxy %s ready: %d workers, handler %s, listening on", iso_version(), given->engine.ranks,
           given->engine.script_name);
    for (size_t i = 0; isoproxy_address(proxy, i, address) > 0; i++)
        printf(" %s", address);
    printf("\n");
    fflush(stdout);
}

static void *
end_proxy(void *argument)
{
    ending *self = argument;
    self->stuck = isoproxy_stop(self->proxy, self->grace_ms);
    atomic_store(&self->done, 1);
    return NULL;
}

/* TERM drains, INT is quick, and either one hurries a drain that goes on. Returns what isoproxy_stop said. */
static int
serve(isoproxy *proxy, int graceful_ms, const sigset_t *signals)
{
    ending end = {.proxy = proxy, .grace_ms = graceful_ms};
    int signal_number;
    while (sigwait(signals, &signal_number) == 0 && signal_number != SIGTERM && signal_number != SIGINT) {
        if (signal_number == SIGUSR2)
            isoproxy_log_statistics(proxy);
    }
    isoproxy_notify("STOPPING=1");
    if (signal_number == SIGINT)
        end.grace_ms = 0;
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_proxy, &end) != 0)
        return isoproxy_stop(proxy, 0);
    const struct timespec moment = {0, 20000000};
    while (!atomic_load(&end.done)) {
        signal_number = sigtimedwait(signals, NULL, &moment);
        if ((signal_number == SIGTERM || signal_number == SIGINT) && !atomic_load(&end.done))
            isoproxy_hurry(proxy);
    }
    pthread_join(thread, NULL);
    return end.stuck;
}

/* Every thread that is made from here on inherits it. *waited_for: what serve() takes. A SIGHUP that does not reload
 * must not end the proxy either. */
static void
block_signals(sigset_t *waited_for, int reload_signal)
{
    sigemptyset(waited_for);
    sigaddset(waited_for, SIGTERM);
    sigaddset(waited_for, SIGINT);
    sigaddset(waited_for, SIGHUP);
    sigaddset(waited_for, SIGUSR2);
    if (reload_signal != 0)
        sigaddset(waited_for, reload_signal);
    pthread_sigmask(SIG_BLOCK, waited_for, NULL);
    if (reload_signal != 0)
        sigdelset(waited_for, reload_signal);
}

/* The engine takes its signal on this thread alone, so that no worker is disturbed. */
static void
allow_reload(int reload_signal)
{
    sigset_t set;
    if (reload_signal == 0)
        return;
    sigemptyset(&set);
    sigaddset(&set, reload_signal);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int
main(int argc, char **argv)
{
    options given = {.graceful_ms = 10000};
    iso_error err = {0};
    iso_engine *engine;
    isoproxy *proxy;
    sigset_t signals;
    iso_config_init(&given.engine);
    given.engine.reload_signal = SIGHUP;
    isoproxy_config_init(&given.proxy);
    int code = read_options(&given, argc, argv);
    if (code != 0)
        return code;
    block_signals(&signals, given.engine.reload_signal);
    if (iso_engine_create(&engine, &given.engine, &err) < 0)
        return failed(&err);
    if (isoproxy_start(&proxy, &given.proxy, engine, given.engine.ranks, &err) < 0) {
        code = failed(&err);
        iso_engine_destroy(engine);
        return code;
    }
    allow_reload(given.engine.reload_signal);
    print_ready(proxy, &given);
    isoproxy_notify("READY=1");
    int stuck = serve(proxy, given.graceful_ms, &signals);
    fflush(NULL);
    if (stuck > 0) /* their ranks can not be ended: the engine would wait for them in vain */
        _exit(1);
    isoproxy_free(proxy);
    int abandoned = iso_engine_destroy(engine);
    _exit(abandoned > 0); /* an abandoned rank may run on in what exit() would take down */
}
