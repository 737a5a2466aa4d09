/* test.h: a test program is a table of functions, run all or those named on the command line.
 *
 *     static void test_one(void) { CHECK(1 + 1 == 2); }
 *     int main(int argc, char **argv) { TEST_MAIN(argc, argv, TEST(test_one)); }
 *
 * A check that fails is reported, counts its test as failed, and lets the test go on. */
#ifndef ISO_TEST_H
#define ISO_TEST_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct test {
    const char *name;
    void (*run)(void);
};

static int test_failed_checks;

#define TEST(function) {#function, function}

#define CHECK(condition) test_check((condition) != 0, __FILE__, __LINE__, #condition)
#define CHECK_INT(actual, expected) test_check_int((int64_t)(actual), (int64_t)(expected), __FILE__, __LINE__, #actual)
#define CHECK_TEXT(p, n, expected) test_check_text(p, n, expected, strlen(expected), __FILE__, __LINE__, #p)

#define TEST_MAIN(argc, argv, ...)                                                                                     \
    static const struct test test_table[] = {__VA_ARGS__};                                                             \
    return test_main(argc, argv, test_table, sizeof(test_table) / sizeof(test_table[0]))

static inline int
test_check(int good, const char *file, int line, const char *what)
{
    if (!good) {
        printf("%s:%d: failed: %s\n", file, line, what);
        test_failed_checks++;
    }
    return good;
}

static inline int
test_check_int(int64_t actual, int64_t expected, const char *file, int line, const char *what)
{
    if (actual != expected)
        printf("%s is %lld, expected %lld\n", what, (long long)actual, (long long)expected);
    return test_check(actual == expected, file, line, what);
}

static inline int
test_check_text(const char *p, size_t n, const char *expected, size_t expected_n, const char *file, int line,
                const char *what)
{
    int same = p && n == expected_n && memcmp(p, expected, n) == 0;
    if (!same)
        printf("%s is '%.*s', expected '%s'\n", what, p ? (int)n : 6, p ? p : "absent", expected);
    return test_check(same, file, line, what);
}

static inline int
test_main(int argc, char **argv, const struct test *tests, size_t count)
{
    int passed = 0, failed = 0;
    for (size_t i = 0; i < count; i++) {
        int wanted = argc < 2;
        for (int k = 1; k < argc; k++)
            wanted |= strcmp(argv[k], tests[i].name) == 0;
        if (!wanted)
            continue;
        int before = test_failed_checks;
        tests[i].run();
        int good = test_failed_checks == before;
        passed += good;
        failed += !good;
        if (!good)
            printf("FAILED %s\n", tests[i].name);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}

#endif
