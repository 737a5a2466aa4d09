/* functions.c: runs a host function for a script, with the thread states that it asks for. */
#include "engine/states.h"

static int
run_in_main(iso_rank *rank, const iso_function *function, const iso_call *call, const iso_value *argv, int argc,
            iso_error *err)
{
    PyThreadState *state = iso__main_for_rank(rank);
    if (state == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory for a thread state of the main interpreter");
    iso__main_attach(state);
    int result = function->function(call, argv, argc, function->user, err);
    iso__main_detach();
    return result;
}

/* The rank is let go before main's GIL is waited for: a rank that kept its own meanwhile could deadlock. */
int
iso__function_run(void *owner, const iso_function *function, const iso_msg *msg, iso_edits *edits,
                  const iso_value *argv, int argc, iso_error *err)
{
    iso_rank *rank = owner;
    if (atomic_load(&rank->thread) != iso__this_thread())
        return iso__fail(err, ISO_ETHREAD,
                         "%s: host functions are called on the thread of the call, not on one of the "
                         "script's own",
                         function->name);
    iso_call call = {
        .rank = rank,
        .rank_number = rank->number,
        .method = rank->frames[rank->depth - 1].method,
        .msg = msg,
        .edits = edits,
        .function = function->name,
    };
    if ((function->flags & (ISO_FUNCTION_BLOCKING | ISO_FUNCTION_PYTHON)) == 0)
        return function->function(&call, argv, argc, function->user, err);
    /* While the rank is let go, a thread of the script may edit the message: the host gets what was so far. */
    iso_edits *so_far = edits != NULL && iso_edits_count(edits) > 0 ? iso_edits_copy(edits) : NULL;
    call.edits = so_far;
    iso__rank_detach(rank);
    int result = (function->flags & ISO_FUNCTION_PYTHON) != 0
                     ? run_in_main(rank, function, &call, argv, argc, err)
                     : function->function(&call, argv, argc, function->user, err);
    iso__rank_attach(rank);
    iso_edits_free(so_far);
    return result;
}
