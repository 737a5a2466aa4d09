/* test_config.c: settings in C: texts of every row, overrides, every problem at once; and ranks of one engine
 * with the channels inline and queue side by side. */
#include "queue_host.h"

static iso_config config;
static iso_error err;

static void
expect_text(const iso_config *of, const char *name, const char *text)
{
    char out[64];
    CHECK_INT(iso_config_get(of, name, out, sizeof out), strlen(text));
    CHECK_TEXT(out, strlen(out), text);
}

static void
test_every_setting_takes_the_text_it_gives(void)
{
    iso_config_init(&config);
    const iso_setting *row;
    for (size_t i = 0; (row = iso_setting_get(i)) != NULL; i++) {
        char before[256], after[256];
        iso_config copy = config;
        CHECK(iso_config_get(&config, row->name, before, sizeof before) >= 0);
        if (!CHECK_INT(iso_config_set(&copy, row->name, before, &err), 0))
            printf("%s: %s\n", row->name, err.message);
        iso_config_get(&copy, row->name, after, sizeof after);
        CHECK_TEXT(after, strlen(after), before);
    }
}

static void
test_texts(void)
{
    static const char *const rows[][2] = {{"deadline", "20ms"},  {"memory_limit", "64M"}, {"spin", "0"},
                                          {"timing", "full"},    {"ranks", "9"},          {"environment", ""},
                                          {"allow_look", "true"}};
    iso_config_init(&config);
    expect_text(&config, "deadline", "none");
    expect_text(&config, "environment", "none");
    expect_text(&config, "venv", "");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_INT(iso_config_set(&config, rows[i][0], rows[i][1], &err), 0);
        expect_text(&config, rows[i][0], rows[i][1]);
    }
    char small[3] = "";
    CHECK_INT(iso_config_get(&config, "deadline", small, sizeof small), 4);
    CHECK_TEXT(small, strlen(small), "20");
    CHECK_INT(iso_config_get(&config, "deadline", NULL, 0), 4);
    CHECK_INT(iso_config_get(&config, "deadlin", small, sizeof small), ISO_ECONFIG);
}

static void
test_items_of_lists(void)
{
    iso_config_init(&config);
    CHECK_INT(iso_config_set(&config, "environment", "A=1,B=", &err), 0);
    CHECK_INT(iso_config_set(&config, "allow_imports", "a.b, _c,\xc3\xa9", &err), 0);
    CHECK_INT(iso_config_set(&config, "allow_imports", "a b", &err), ISO_ECONFIG);
    CHECK(strstr(err.message, "\"a b\" is not MODULE") != NULL);
    config.environment = "A=1,B";
    config.deny_imports = ".x";
    CHECK_INT(iso_config_check(&config, &err), ISO_ECONFIG);
    CHECK(strstr(err.traceback, "environment: \"B\" is not NAME=VALUE") != NULL);
    CHECK(strstr(err.traceback, "deny_imports: \".x\" is not MODULE") != NULL);
}

static void
test_every_problem_at_once(void)
{
    const iso_override overrides[] = {
        {3, 5, "grace", "1s"},      {1, 1, "isolation", "main"}, {1, 1, "recursion_limit", "100"},
        {2, 3, "deadline", "0"},    {2, 2, "deadlin", "1"},      {2, 2, "memory_limit", "64M"},
        {4, 4, "queue_size", "64"}, {0, 0, "grace", "1s"},
    };
    static const char *const wanted[] = {
        "ranks 3-5: there are no such ranks",
        "rank 1: recursion_limit: it acts on",
        "ranks 2-3: deadline: ",
        "rank 2: there is no setting deadlin; the nearest is deadline",
        "rank 2: memory_limit: only a rank",
        "rank 4: queue_size is one for the whole",
        "rank 0: there is no such rank",
        "restart_limit: only a rank",
    };
    iso_config_init(&config);
    config.restart_limit = 3;
    config.overrides = overrides;
    config.override_count = sizeof overrides / sizeof *overrides;
    CHECK_INT(iso_config_check(&config, &err), ISO_ECONFIG);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (!CHECK(strstr(err.traceback, wanted[i]) != NULL))
            printf("not there: %s\nbut: %s\n", wanted[i], err.traceback);
    }
    CHECK_INT(iso_engine_create(&engine, &config, &err), ISO_ECONFIG);
}

static void
test_a_rank_does_not_get_what_can_not_act_on_it(void)
{
    const iso_override overrides[] = {
        {2, 2, "isolation", "process"}, {3, 4, "isolation", "main"}, {4, 4, "deadline", "20ms"}};
    iso_config of_rank;
    iso_config_init(&config);
    config.memory_limit = INT64_C(64) << 20;
    config.environment = "A=1";
    config.deadline = 1000000000;
    config.overrides = overrides;
    config.override_count = 3;
    static const char *const expected[][3] = {
        {"none", "A=1", "1s"}, {"64M", "A=1", "1s"}, {"none", "none", "1s"}, {"none", "none", "20ms"}};
    for (int number = 1; number <= 4; number++) {
        CHECK_INT(iso_config_of_rank(&config, number, &of_rank, &err), 0);
        expect_text(&of_rank, "memory_limit", expected[number - 1][0]);
        expect_text(&of_rank, "environment", expected[number - 1][1]);
        expect_text(&of_rank, "deadline", expected[number - 1][2]);
    }
    CHECK_INT(iso_config_of_rank(&config, 5, &of_rank, &err), ISO_EINVAL);
}

static void
test_channels_side_by_side(void)
{
    const iso_override inline_rank = {1, 1, "channel", "inline"};
    config_init(&config, 3, ISO_CHANNEL_QUEUE);
    config.overrides = &inline_rank;
    config.override_count = 1;
    engine_start(&config);
    iso_rank *rank = NULL, *none = NULL;
    iso_task *task = NULL;
    CHECK_INT(iso_rank_open(engine, 1, &rank, &err), 0);
    CHECK_INT(iso_rank_open(engine, 2, &none, &err), ISO_ESTATE);
    CHECK_INT(submit(1, "who", NULL, NULL, 0, &task), ISO_ESTATE);
    for (int i = 0; rank != NULL && i < 100; i++) {
        iso_msg msg;
        iso_result result;
        iso_msg_init(&msg, octets, sizeof octets - 1);
        CHECK_INT(iso_python_exec(rank, "who", &msg, text_of(NULL), &result), 0);
        CHECK_INT(result.code, 1);
        int any = call(ISO_ANY_RANK, "who", NULL);
        CHECK(any == 2 || any == 3);
        CHECK_INT(call(3, "who", NULL), 3);
    }
    CHECK_INT(iso_rank_close(rank), 0);
    queue_end();
}

/* What a host's own settings may use. */
static void
test_times(void)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {{"20ms", 20000000}, {"1.5s", 1500000000}, {"3m", INT64_C(180000000000)}, {"2", 2000000000}, {"none", 0},
                {"7 us", 7000},     {"-1", -1000000000}};
    static const char *const bad[] = {"", "x", "5x", "0x10", "inf", "1e9", "ms", "1h2m", "99999999999h"};
    int64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_INT(iso_time_parse(good[i].text, &ns), 0);
        CHECK_INT(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(iso_time_parse(bad[i], &ns), ISO_EINVAL);
    CHECK_INT(iso_time_parse(NULL, &ns), ISO_EINVAL);
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_times), TEST(test_every_setting_takes_the_text_it_gives), TEST(test_texts),
              TEST(test_items_of_lists), TEST(test_every_problem_at_once),
              TEST(test_a_rank_does_not_get_what_can_not_act_on_it), TEST(test_channels_side_by_side));
}
