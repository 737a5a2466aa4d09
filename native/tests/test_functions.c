/* test_functions.c: what a host function may do for its call: edits and a text. */
#define _GNU_SOURCE
#include "queue_host.h"

static int edit_codes[4];

/* edit(which): 1 a header, 2 one that may not be. */
static int
edit(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err)
{
    iso_str name = {"X-Host", 6}, good = {"yes", 3}, bad = {"a\r\nX-Bad: 1", 11}, none = {NULL, 0};
    iso_str uri = {"sip:other@example.net", 21};
    iso_error reason = {0};
    (void)argv;
    (void)argc;
    (void)user;
    (void)err;
    edit_codes[0] = iso_call_edit(call, ISO_EDIT_APPEND_HEADER, name, good, &reason);
    edit_codes[1] = iso_call_edit(call, ISO_EDIT_SET_RURI, none, uri, &reason);
    edit_codes[2] = iso_call_edit(call, ISO_EDIT_APPEND_HEADER, name, bad, &reason);
    edit_codes[3] = reason.message[0] != '\0';
    return 1;
}

/* "[format]", or no text at all for "". */
static int
get(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err)
{
    char text[64];
    (void)argc;
    (void)user;
    (void)err;
    if (argv[0].str.n == 0)
        return -1;
    int n = snprintf(text, sizeof text, "[%.*s]", (int)argv[0].str.n, argv[0].str.p);
    CHECK_INT(iso_call_answer(call, (iso_str){"thrown away", 11}), 0);
    CHECK_INT(iso_call_answer(call, (iso_str){text, (size_t)n}), 0);
    return 1;
}

/* Fails in the two ways that isoexec.h allows: with the code filled, or only returned. */
static int
refuse(const iso_call *call, const iso_value *argv, int argc, void *user, iso_error *err)
{
    (void)call;
    (void)argv;
    (void)argc;
    snprintf(err->message, sizeof err->message, "the host says no");
    if (user != NULL)
        err->code = ISO_EFUNCTION;
    return ISO_EFUNCTION;
}

static const iso_function functions[] = {
    {.name = "refuse", .signature = "", .function = refuse},
    {.name = "refuse_filled", .signature = "", .function = refuse, .user = &edit_codes},
    {.name = "refuse_blocking", .signature = "", .function = refuse, .flags = ISO_FUNCTION_BLOCKING},
    {.name = "edit", .signature = "", .function = edit},
    {.name = "edit_blocking", .signature = "", .function = edit, .flags = ISO_FUNCTION_BLOCKING},
    {.name = "get_pseudoVar", .signature = "s", .function = get},
};

static iso_rank *
open_rank(void)
{
    iso_config config;
    iso_rank *rank = NULL;
    iso_error err;
    config_init(&config, 1, ISO_CHANNEL_INLINE);
    config.functions = functions;
    config.function_count = sizeof functions / sizeof functions[0];
    engine_start(&config);
    CHECK_INT(iso_rank_open(engine, 1, &rank, &err), 0);
    return rank;
}

/* In order with the edits of the method itself, and dropped with them. */
static void
test_edits_of_a_function(void)
{
    iso_rank *rank = open_rank();
    iso_result result = run_on(rank, "edits_around", "edit");
    CHECK_INT(result.code, 1);
    CHECK_INT(edit_codes[0], 0);
    CHECK_INT(edit_codes[1], 0);
    CHECK_INT(edit_codes[2], ISO_EINVAL);
    CHECK(edit_codes[3]);
    CHECK_INT(iso_edits_count(result.edits), 4);
    CHECK_TEXT(result.new_uri.p, result.new_uri.n, "sip:other@example.net");
    static const char *const names[] = {"X-Before", "X-Host", NULL, "X-After"};
    for (size_t i = 0; i < 4; i++) {
        iso_edit edit_i;
        CHECK_INT(iso_edits_get(result.edits, i, &edit_i), 0);
        if (names[i] != NULL)
            CHECK_TEXT(edit_i.name.p, edit_i.name.n, names[i]);
        else
            CHECK_INT(edit_i.kind, ISO_EDIT_SET_RURI);
    }
    result = run_on(rank, "edits_and_raises", "edit");
    CHECK_INT(result.outcome, ISO_OUTCOME_RAISED);
    CHECK_INT(iso_edits_count(result.edits), 0);
    CHECK_INT(iso_rank_close(rank), 0);
    queue_end();
}

static void
test_no_edits_while_the_rank_is_let_go(void)
{
    iso_rank *rank = open_rank();
    iso_result result = run_on(rank, "edits_around", "edit_blocking");
    CHECK_INT(edit_codes[0], ISO_ESTATE);
    CHECK_INT(iso_edits_count(result.edits), 2);
    CHECK_INT(iso_rank_close(rank), 0);
    queue_end();
}

static void
test_a_function_that_fails(void)
{
    static const char *const names[] = {"refuse", "refuse_filled", "refuse_blocking"};
    iso_rank *rank = open_rank();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        iso_result result = run_on(rank, "edits_around", names[i]);
        CHECK_INT(result.outcome, ISO_OUTCOME_RAISED);
        CHECK(memmem(result.error.p, result.error.n, "RuntimeError: the host says no", 30) != NULL);
    }
    CHECK_INT(iso_rank_close(rank), 0);
    queue_end();
}

static void
test_a_text_for_the_script(void)
{
    iso_rank *rank = open_rank();
    CHECK_INT(run_on(rank, "variable", "$ru").code, 5); /* "[$ru]" */
    CHECK_INT(run_on(rank, "variable", "").code, 0);    /* None */
    CHECK_INT(run_on(rank, "set_variable", "$ru").outcome, ISO_OUTCOME_RAISED);
    CHECK_INT(run_on(rank, "variable", "$ru").code, 5);
    CHECK_INT(iso_rank_close(rank), 0);
    queue_end();
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_edits_of_a_function), TEST(test_no_edits_while_the_rank_is_let_go),
              TEST(test_a_function_that_fails), TEST(test_a_text_for_the_script));
}
