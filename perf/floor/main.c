/* main.c: the floor program. Runs every case on the floor's own ranks and on isoexec's in turn, in one
 * process, and prints one line a sample. Started by `python -m perf floor`, which builds it. */
#include "forks.h"
#include "log.h"
#include "measure.h"
#include "side.h"

#include <isoexec.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static iso_engine *
make_engine(const struct floor_plan *plan, int timing, int isolation)
{
    iso_engine *engine = NULL;
    iso_config config;
    iso_error err = {0};

    iso_config_init(&config);
    config.script_name = plan->script;
    config.ranks = FLOOR_MOST_RANKS;
    config.log = floor_drop_log;
    config.isolation = isolation;
    if (timing) {
        config.timing = timing;
    }
    if (iso_engine_create(&engine, &config, &err)) {
        fprintf(stderr, "isoexec: %s\n%s", err.message, err.traceback);
        exit(2);
    }
    return engine;
}

int
main(int argc, char **argv)
{
    struct floor_side sides[FLOOR_SIDES] = {floor_side_floor, floor_side_isoexec, floor_side_isoexec,
                                            floor_side_floor_main, floor_side_isoexec};
    struct floor_plan plan;
    struct floor_forks forks;
    iso_engine *sampled, *full, *in_main;

    if (argc != 8) {
        fprintf(stderr, "usage: floor SCRIPT REPEATS CALLS SCALE_REPEATS SECONDS PATIENCE MOST_RANKS\n");
        return 2;
    }
    plan = (struct floor_plan){
        .script = argv[1],
        .repeats = atoi(argv[2]),
        .calls = atol(argv[3]),
        .scale_repeats = atoi(argv[4]),
        .seconds = atof(argv[5]),
        .patience = atof(argv[6]),
        .most_ranks = atoi(argv[7]),
    };
    if (plan.repeats < 1 || plan.calls < 1000 || plan.scale_repeats < 1 || plan.seconds <= 0 || plan.most_ranks < 2 ||
        plan.most_ranks > FLOOR_MOST_RANKS) {
        fprintf(stderr, "floor: a number is out of range\n");
        return 2;
    }
    sides[0].context = plan.script;
    floor_forks_start(&forks, &sides[0]);
    sampled = make_engine(&plan, 0, ISO_ISOLATION_OWN_GIL); /* starts Python, which the floor's ranks then use too */
    full = make_engine(&plan, ISO_TIMING_FULL, ISO_ISOLATION_OWN_GIL);
    in_main = make_engine(&plan, 0, ISO_ISOLATION_MAIN);
    sides[1].context = sampled;
    sides[2].context = full;
    sides[3].context = plan.script;
    sides[4].context = in_main;
    floor_measure_index(&plan);
    floor_measure_calls(&plan, sides);
    floor_measure_scaling(&plan, sides, &forks);
    floor_forks_end(&forks);
    if (iso_engine_destroy(in_main) || iso_engine_destroy(full) || iso_engine_destroy(sampled)) {
        fprintf(stderr, "isoexec: ranks were abandoned\n");
    }
    fflush(NULL);
    _exit(0); /* the floor's interpreters live on, and must not meet Py_FinalizeEx */
}
