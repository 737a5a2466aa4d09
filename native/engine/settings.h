/* settings.h: THE table of settings. The members of iso_config, iso_config_set, the TOML reader, the CLI,
 * the environment and docs/settings.md are made from it; a new setting is a member of iso_config and a
 * row here.
 *
 * X(member, kind, scope, choices, default, min, max, doc).
 * kind: STR, LIST (text of items, iso__list_next; `choices` is what an item is), INT, BOOL, CHOICE (int), TIME (int64_t, ns), SIZE (int64_t,
 * octets). The default of a STR or LIST is its text or NULL, that of the others its number; a TIME or SIZE of 0
 * is "none", whatever min says.
 * scope: ENGINE one value for the engine; RANK may differ from rank to rank; INTERPRETER the same, but it acts
 * on a whole interpreter, so that a rank with isolation main can not have it; PROCESS only for ranks with
 * isolation process. */
#ifndef ISO_SETTINGS_H
#define ISO_SETTINGS_H

#define ISO__US INT64_C(1000)
#define ISO__MS INT64_C(1000000)
#define ISO__SECOND INT64_C(1000000000)
#define ISO__HOUR (3600 * ISO__SECOND)
#define ISO__MIB (INT64_C(1) << 20)

#define ISO__SETTINGS(X)                                                                                               \
    X(script_name, STR, ENGINE, "", NULL, 0, 0, "Path of the handler script, .py or .pyc. Required.")                  \
    X(mod_init_function, STR, ENGINE, "", "mod_init", 0, 0,                                                            \
      "Function of the script that makes the handler object; called without arguments in each rank.")                  \
    X(child_init_method, STR, ENGINE, "", "child_init", 0, 0,                                                          \
      "Method of the handler object that is called with the rank number; a negative result fails the rank.")           \
    X(python_home, STR, ENGINE, "", NULL, 0, 0,                                                                        \
      "Prefix of the Python installation, when the engine starts Python and libpython's own is wrong.")                \
    X(venv, STR, ENGINE, "", NULL, 0, 0,                                                                               \
      "Virtual environment whose packages scripts see, when the engine starts Python; default: the one that holds "    \
      "libisoexec.")                                                                                                   \
    X(preload, LIST, ENGINE, "MODULE", NULL, 0, 0,                                                                     \
      "Modules that the main interpreter imports before the first rank, besides the engine's own list.")               \
    X(ranks, INT, ENGINE, "", 4, 1, 1024, "Number of ranks; each costs 2 to 9 MB.")                                    \
    X(isolation, CHOICE, RANK, "own_gil=0|shared_gil=1|main=2|process=3", ISO_ISOLATION_OWN_GIL, 0, 3,                 \
      "How far a rank is kept apart: an interpreter with its own GIL; the main interpreter, for extensions that load " \
      "once in a process; a process of its own, so that a crash stays there. shared_gil is not there yet.")            \
    X(log_level, CHOICE, ENGINE, "alert=-3|crit=-2|err=-1|warn=1|notice=2|info=3|dbg=4", ISO_LOG_INFO, -3, 4,          \
      "Lines less important than this are dropped before they are formatted.")                                         \
    X(max_depth, INT, ENGINE, "", 8, 1, 64, "How deep calls may nest on one rank through host functions.")             \
    X(keep_edits_on_error, BOOL, ENGINE, "", 0, 0, 1, "Keep the edits of a method that raised, as OpenSIPS does.")     \
    X(timing, CHOICE, ENGINE, "off=0|sampled=1|full=2", ISO_TIMING_SAMPLED, 0, 2,                                      \
      "Which calls are timed: none, one in 16 for the histogram, or all (then results carry elapsed_ns, 20 ns a "      \
      "call).")                                                                                                        \
    X(deadline, TIME, RANK, "", 0, ISO__MS, ISO__HOUR,                                                                 \
      "A call that takes longer gets DeadlineExceeded and ends with the outcome deadline. None: no limit.")            \
    X(soft_deadline, TIME, RANK, "", 0, ISO__MS, ISO__HOUR,                                                            \
      "A call that takes longer is logged with its Python stack and goes on. None: never.")                            \
    X(grace, TIME, RANK, "", 5 * ISO__SECOND, ISO__MS, ISO__HOUR,                                                      \
      "How long a call past its deadline may take to end before the rank counts as stuck, and a stop waits for open "  \
      "ranks and for the script's threads.")                                                                           \
    X(on_stuck, CHOICE, RANK, "replace=0|keep=1", ISO_STUCK_REPLACE, 0, 1,                                             \
      "What happens to a stuck rank that the engine can replace (channel queue, isolation process): a new one takes "  \
      "over its number, or it is left alone.")                                                                         \
    X(allow_threads, BOOL, INTERPRETER, "", 1, 0, 1, "Scripts may start threads; they run while the rank is idle.")    \
    X(allow_daemon_threads, BOOL, INTERPRETER, "", 0, 0, 1,                                                            \
      "Scripts may start daemon threads. A rank with one alive cannot be ended and is abandoned at stop.")             \
    X(recursion_limit, INT, INTERPRETER, "", 0, 0, 1000000, "sys.setrecursionlimit of each rank; 0 leaves CPython's.") \
    X(switch_interval, TIME, INTERPRETER, "", 500 * ISO__US, ISO__US, ISO__SECOND,                                     \
      "sys.setswitchinterval of each rank: how long a busy thread of the script may keep a call waiting.")             \
    X(allow_imports, LIST, INTERPRETER, "MODULE", NULL, 0, 0,                                                          \
      "Modules that the script's own files may import, with what is inside them, besides each other, OpenSIPS and "    \
      "isoexec. None: all; an empty list: nothing more.")                                                              \
    X(deny_imports, LIST, INTERPRETER, "MODULE", NULL, 0, 0,                                                           \
      "Modules that the script's own files may not import, with what is inside them; wins over allow_imports.")        \
    X(environment, LIST, INTERPRETER, "NAME=VALUE", NULL, 0, 0,                                                        \
      "What scripts find in os.environ, and processes that they start with it, besides the environment of the host.")  \
    X(sys_path, LIST, INTERPRETER, "FOLDER", NULL, 0, 0,                                                               \
      "Folders that come in sys.path after the script's own and before all others.")                                   \
    X(python_executable, STR, PROCESS, "", NULL, 0, 0,                                                                 \
      "Python of a rank with isolation process, of the same minor version; None: the one that the engine runs.")       \
    X(memory_limit, SIZE, PROCESS, "", 0, 64 * ISO__MIB, INT64_C(1) << 50,                                             \
      "Most memory that the process of a rank may map, beyond it has at its start; a call that wants more gets "       \
      "MemoryError. None: no limit.")                                                                                  \
    X(restart_limit, INT, PROCESS, "", 0, 0, 1000000, "How often the process of a rank is restarted; 0: always.")      \
    X(restart_delay, TIME, PROCESS, "", 100 * ISO__MS, ISO__MS, ISO__HOUR,                                             \
      "Pause before a process that ended soon after its start is started again; it doubles each time, up to 30 s.")    \
    X(channel, CHOICE, RANK, "inline=0|queue=1", ISO_CHANNEL_INLINE, 0, 1,                                             \
      "How calls reach the ranks: on the thread that opened the rank, or from any thread through a queue.")            \
    X(queue_size, INT, ENGINE, "", 1024, 2, 1048576,                                                                   \
      "Calls that may wait for one rank, and as many for any of them (rounded up to a power of 2).")                   \
    X(on_overload, CHOICE, ENGINE, "wait=0|reject=1", ISO_OVERLOAD_WAIT, 0, 1,                                         \
      "What a call does that finds its queue full: wait for room, or fail at once.")                                   \
    X(spin, TIME, ENGINE, "", 50 * ISO__US, 0, ISO__MS,                                                                \
      "The longest that a queue rank or a caller spins before it sleeps; shorter while spinning does not pay.")        \
    X(reload_signal, CHOICE, ENGINE, "none=0|hup=1|usr1=10|usr2=12", 0, 0, 12,                                         \
      "Signal of the process on which the engine reloads its script; none leaves all signals to the host.")            \
    X(allow_look, BOOL, ENGINE, "", 0, 0, 1, "Code may be run in a rank from outside, to look into it.")

#endif
