/* Lines that are broken between words, in whatever pieces the text comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <locale.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "cli/wrap.h"

#define B "\033[0;1m"
#define N "\033[0m"

static const struct {
    unsigned columns;
    const char *said, *shown;
} cases[] = {
    {10, "", ""},
    {10, "one two three four", "one two\nthree four"},
    {10, "one two\n\nthree", "one two\n\nthree"},
    {10, "exactly10c next", "exactly10c\nnext"},
    {10, "longer-than-a-line b", "longer-than-a-line\nb"},
    {10, "a longer-than-a-line", "a\nlonger-than-a-line"},
    {10, "\u2022 one two three", "\u2022 one two\n  three"},
    {12, "  \u2022 one two three", "  \u2022 one two\n    three"},
    {12, "12. one two three", "12. one two\n    three"},
    {10, "3 one two three", "3 one two\nthree"},
    {10, "a " B "bold one" N " here", "a " B "bold one" N "\nhere"},
    {10, "caf\u00e9 na\u00efve caf\u00e9", "caf\u00e9 na\u00efve\ncaf\u00e9"},
    {10, "\u4f60\u597d\u4f60\u597d\u4f60\u597d", "\u4f60\u597d\u4f60\u597d\u4f60\n\u597d"},
    {0, "one two three four five", "one two three four five"},
};

static void show(unsigned columns, const char *said, size_t piece, bool solid, struct text *out) {
    struct wrap w = {.columns = columns};
    size_t len = strlen(said);
    text_clear(out);
    for (size_t at = 0; at < len; at += piece) wrap_add(&w, said + at, len - at < piece ? len - at : piece, solid, out);
    wrap_end(&w, out);
    wrap_deinit(&w);
}

static void words_stay_whole(void **state) {
    struct text out = {0};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t piece = 1; piece < 8; piece++) {
            show(cases[i].columns, cases[i].said, piece, false, &out);
            assert_string_equal(text_str(&out), cases[i].shown);
        }
    text_deinit(&out);
}

static void code_is_left_alone(void **state) {
    static const char code[] = "    if (a)   b = c;\n\n\tlong_line_of_code(that, goes, on);  \n";
    struct text out = {0};
    show(10, code, 3, true, &out);
    assert_string_equal(text_str(&out), code);
    text_deinit(&out);
}

/* Nothing is held back but the last word. */
static void what_is_whole_goes_out(void **state) {
    struct wrap w = {.columns = 40};
    struct text out = {0};
    wrap_add(&w, "one two thr", 11, false, &out);
    assert_string_equal(text_str(&out), "one two");
    wrap_end(&w, &out);
    assert_string_equal(text_str(&out), "one two thr");
    wrap_deinit(&w);
    text_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_stay_whole),
        cmocka_unit_test(code_is_left_alone),
        cmocka_unit_test(what_is_whole_goes_out),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
