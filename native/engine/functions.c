/* functions.c: runs a host function for a script, with the thread states that it asks for. */
#include <stdlib.h>
#include <string.h>

#include "engine/states.h"

/* On the stack of iso__function_run. */
struct iso_call_state {
    iso_edits *edits; /* NULL while the rank is let go */
    script_answer *answer;
};

int
iso_call_edit(const iso_call *call, int kind, iso_str name, iso_str value, iso_error *err)
{
    if (call->state->edits == NULL)
        return iso__fail(err, ISO_ESTATE, "%s: a function with flags can not edit the message: the rank is let go",
                         call->function);
    const char *wrong = iso__edit_check(kind, name, value);
    if (wrong != NULL)
        return iso__fail(err, ISO_EINVAL, "%s: %s", call->function, wrong);
    int failed = iso__edits_add(call->state->edits, kind, name, value);
    return failed ? iso__fail(err, failed, "no memory for an edit") : 0;
}

int
iso_call_answer(const iso_call *call, iso_str text)
{
    script_answer *answer = call->state->answer;
    char *copy = malloc(text.n + 1);
    if (copy == NULL)
        return ISO_ENOMEM;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    free(answer->p);
    *answer = (script_answer){copy, text.n};
    return 0;
}

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

int
iso__function_call(iso_rank *rank, const iso_function *function, iso_call *call, iso_edits *edits,
                   const iso_value *argv, int argc, script_answer *answer, iso_error *err)
{
    struct iso_call_state state = {edits, answer};
    call->state = &state;
    int code = (function->flags & ISO_FUNCTION_PYTHON) != 0 ? run_in_main(rank, function, call, argv, argc, err)
                                                            : function->function(call, argv, argc, function->user, err);
    if (code == ISO_EFUNCTION) /* the host filled the message, and need not fill the code */
        err->code = code;
    return code;
}

/* The rank is let go before main's GIL is waited for: a rank that kept its own meanwhile could deadlock. */
int
iso__function_run(void *owner, const iso_function *function, const iso_msg *msg, iso_edits *edits,
                  const iso_value *argv, int argc, script_answer *answer, iso_error *err)
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
        return iso__function_call(rank, function, &call, edits, argv, argc, answer, err);
    /* While the rank is let go, a thread of the script may edit the message: the host gets what was so far. */
    iso_edits *so_far = edits != NULL && iso_edits_count(edits) > 0 ? iso_edits_copy(edits) : NULL;
    call.edits = so_far;
    iso__rank_detach(rank);
    int result = iso__function_call(rank, function, &call, NULL, argv, argc, answer, err);
    iso__rank_attach(rank);
    iso_edits_free(so_far);
    return result;
}
