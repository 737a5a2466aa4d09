/* settings.h: THE table of settings. The members of iso_config, iso_config_set, the TOML reader, the CLI,
 * the environment and docs/settings.md are made from it; a new setting is a member of iso_config and a
 * row here.
 *
 * X(member, kind, choices, default, min, max, unit, doc): kind STR, INT, BOOL or CHOICE; the default of
 * an INT, BOOL or CHOICE is its number, that of a STR its text or NULL. */
#ifndef ISO_SETTINGS_H
#define ISO_SETTINGS_H

#define ISO__SETTINGS(X)                                                                                               \
    X(script_name, STR, "", NULL, 0, 0, "", "Path of the handler script, .py or .pyc. Required.")                      \
    X(mod_init_function, STR, "", "mod_init", 0, 0, "",                                                                \
      "Function of the script that makes the handler object; called without arguments in each rank.")                  \
    X(child_init_method, STR, "", "child_init", 0, 0, "",                                                              \
      "Method of the handler object that is called with the rank number; a negative result fails the rank.")           \
    X(python_home, STR, "", NULL, 0, 0, "",                                                                            \
      "Prefix of the Python installation, when the engine starts Python and libpython's own is wrong.")                \
    X(venv, STR, "", NULL, 0, 0, "",                                                                                   \
      "Virtual environment whose packages scripts see, when the engine starts Python; default: the one that holds "    \
      "libisoexec.")                                                                                                   \
    X(preload, STR, "", NULL, 0, 0, "",                                                                                \
      "Comma list of modules that the main interpreter imports before the first rank, besides the engine's own "       \
      "list.")                                                                                                         \
    X(ranks, INT, "", 4, 1, 1024, "", "Number of ranks; each costs 2 to 9 MB.")                                        \
    X(log_level, CHOICE, "alert=-3|crit=-2|err=-1|warn=1|notice=2|info=3|dbg=4", ISO_LOG_INFO, -3, 4, "",              \
      "Lines less important than this are dropped before they are formatted.")                                         \
    X(max_depth, INT, "", 8, 1, 64, "", "How deep calls may nest on one rank through host functions.")                 \
    X(keep_edits_on_error, BOOL, "", 0, 0, 1, "", "Keep the edits of a method that raised, as OpenSIPS does.")         \
    X(timing, CHOICE, "off=0|sampled=1|full=2", ISO_TIMING_SAMPLED, 0, 2, "",                                          \
      "Which calls are timed: none, one in 16 for the histogram, or all (then results carry elapsed_ns, 20 ns a "      \
      "call).")                                                                                                        \
    X(allow_threads, BOOL, "", 1, 0, 1, "", "Scripts may start threads; they run while the rank is idle.")             \
    X(allow_daemon_threads, BOOL, "", 0, 0, 1, "",                                                                     \
      "Scripts may start daemon threads. A rank with one alive cannot be ended and is abandoned at stop.")             \
    X(grace_ms, INT, "", 5000, 0, 3600000, "ms", "How long a stop waits for the script's threads and for open ranks.") \
    X(recursion_limit, INT, "", 0, 0, 1000000, "", "sys.setrecursionlimit of each rank; 0 leaves CPython's.")          \
    X(switch_interval_us, INT, "", 500, 1, 1000000, "us",                                                              \
      "sys.setswitchinterval of each rank: how long a busy thread of the script may keep a call waiting.")             \
    X(channel, CHOICE, "inline=0|queue=1", ISO_CHANNEL_INLINE, 0, 1, "",                                               \
      "How calls reach the ranks: on the thread that opened the rank, or from any thread through a queue.")            \
    X(queue_size, INT, "", 1024, 2, 1048576, "",                                                                       \
      "Calls that may wait for one rank, and as many for any of them (rounded up to a power of 2).")                   \
    X(on_overload, CHOICE, "wait=0|reject=1", ISO_OVERLOAD_WAIT, 0, 1, "",                                             \
      "What a call does that finds its queue full: wait for room, or fail at once.")                                   \
    X(spin_us, INT, "", 20, 0, 1000, "us",                                                                             \
      "The longest that a queue rank or a caller spins before it sleeps; shorter while spinning does not pay.")        \
    X(allow_look, BOOL, "", 0, 0, 1, "", "Code may be run in a rank from outside, to look into it.")

#endif
