/* test_spare.c: what a rank notes of the calls that it took together. */
#include "engine/spare.h"
#include "test.h"

double iso__clock_ns_per_tick = 1;

static void
test_what_a_call_took(void)
{
    iso__spare spare = {.since = 1000, .taken = 4};
    iso__spare_measure(&spare, 1000 + 4 * 250);
    CHECK_INT(spare.call_ns, 251);
}

/* The ring was not empty, but another rank was faster: also at the first time, before anything was known. */
static void
test_nothing_was_taken(void)
{
    iso__spare spare = {.since = 1000, .taken = 0};
    iso__spare_measure(&spare, 5000);
    CHECK_INT(spare.call_ns, 0);
    spare.call_ns = 77;
    iso__spare_measure(&spare, 9000);
    CHECK_INT(spare.call_ns, 77);
}

static void
test_it_has_rested(void)
{
    iso__spare spare = {.since = 0, .taken = 4, .call_ns = 77};
    iso__spare_measure(&spare, 5000);
    CHECK_INT(spare.call_ns, 77);
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_what_a_call_took), TEST(test_nothing_was_taken), TEST(test_it_has_rested));
}
