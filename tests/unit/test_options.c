/* Options and words of a verb. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "cli/cli.h"
#include "cli/options.h"

const char *cli_usage(const char *verb) { return verb; }

static bool flag;
static const char *text, *list[4];
static int64_t count, bytes;
static double number;
static struct option_words words;

static int reset(void **state) {
    flag = false;
    text = list[0] = NULL;
    count = bytes = -1;
    number = -1;
    return 0;
}

static int parse(int argc, char **argv) {
    const struct option_spec specs[] = {{"--flag", OPTION_FLAG, &flag},
                                        {"--text", OPTION_TEXT, &text},
                                        {"--count", OPTION_COUNT, &count, 0, 100},
                                        {"--bytes", OPTION_BYTES, &bytes, 1, 0x1p60},
                                        {"--number", OPTION_NUMBER, &number, 0, 2},
                                        {"--list", OPTION_LIST, list, 0, 3},
                                        {0}};
    return options_parse(argc, argv, specs, 1, 2, &words);
}

#define PARSE(...) parse((int)ARRAY_LEN(((char *[]){"verb", __VA_ARGS__})), (char *[]){"verb", __VA_ARGS__, NULL})

static void everything_at_once(void **state) {
    assert_int_equal(PARSE("--flag", "one", "--text", "t", "--count=7", "--number", "0.5", "two", "--list", "a",
                           "--bytes", "2GiB", "--list=b"),
                     OPTIONS_OK);
    assert_true(flag);
    assert_string_equal(text, "t");
    assert_int_equal(count, 7);
    assert_true(number == 0.5);
    assert_int_equal(bytes, 2ll << 30);
    assert_string_equal(list[0], "a");
    assert_string_equal(list[1], "b");
    assert_null(list[2]);
    assert_int_equal(words.count, 2);
    assert_string_equal(words.at[0], "one");
    assert_string_equal(words.at[1], "two");
}

static void what_is_not_given_stays(void **state) {
    assert_int_equal(PARSE("one"), OPTIONS_OK);
    assert_false(flag);
    assert_int_equal(count, -1);
    assert_null(words.at[1]);
}

static void sizes_have_units(void **state) {
    static const struct {
        char *text;
        int64_t bytes;
    } cases[] = {{"1", 1}, {"10B", 10}, {"1K", 1024}, {"3MB", 3 << 20}, {"1.5G", 3ll << 29}, {"2TiB", 2ll << 40}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(PARSE("w", "--bytes", cases[i].text), OPTIONS_OK);
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void wrong_values_are_refused(void **state) {
    static char *const bad[][2] = {{"--count", "101"},  {"--count", "-1"},    {"--count", "7x"},  {"--count", ""},
                                   {"--number", "2.1"}, {"--number", "nan"},  {"--bytes", "0"},   {"--bytes", "5X"},
                                   {"--bytes", "1Kx"},  {"--bytes", "1e300"}, {"--bytes", "-5G"}, {"--unknown", "x"},
                                   {"--bytes", "nan"},  {"--flag=yes", "x"},  {"--coun", "5"}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(PARSE("w", bad[i][0], bad[i][1]), OPTIONS_WRONG);
        assert_int_equal(options_status(OPTIONS_WRONG), CLI_USAGE);
    }
}

static void words_and_values_are_counted(void **state) {
    assert_int_equal(PARSE("--flag"), OPTIONS_WRONG);
    assert_int_equal(PARSE("a", "b", "c"), OPTIONS_WRONG);
    assert_int_equal(PARSE("a", "--text"), OPTIONS_WRONG);
    assert_int_equal(PARSE("a", "--list", "1", "--list", "2", "--list", "3", "--list", "4"), OPTIONS_WRONG);
}

static void two_hyphens_end_the_options(void **state) {
    assert_int_equal(PARSE("a", "--", "--flag"), OPTIONS_OK);
    assert_false(flag);
    assert_string_equal(words.at[1], "--flag");
    assert_int_equal(PARSE("-5", "-"), OPTIONS_OK);
    assert_string_equal(words.at[0], "-5");
}

static void help_is_no_error(void **state) {
    assert_int_equal(PARSE("--help"), OPTIONS_HELP);
    assert_int_equal(options_status(OPTIONS_HELP), CLI_DONE);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, reset)
    const struct CMUnitTest tests[] = {
        TEST(everything_at_once),       TEST(what_is_not_given_stays),      TEST(sizes_have_units),
        TEST(wrong_values_are_refused), TEST(words_and_values_are_counted), TEST(two_hyphens_end_the_options),
        TEST(help_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
