/* What light Markdown becomes on a terminal, in whatever pieces it comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "cli/markdown.h"

#define B "\033[0;1m"
#define I "\033[0;3m"
#define C "\033[0;36m"
#define D "\033[0;2m"
#define F "\033[0;2;36m"
#define N "\033[0m"

static const struct {
    const char *said, *shown;
} cases[] = {
    {"", ""},
    {"plain text\n\nand more", "plain text\n\nand more"},
    {"a **bold** word", "a " B "bold" N " word"},
    {"an *italic* word", "an " I "italic" N " word"},
    {"***both***", B "\033[0;1;3m" "both" I N},
    {"**open\nnext", B "open" N "\nnext"},
    {"2*3*4, 2**3 and a * b", "2*3*4, 2**3 and a * b"},
    {"snake_case_name", "snake_case_name"},
    {"say `a*b*c` now", "say " C "a*b*c" N " now"},
    {"``a`b``", C "a`b" N},
    {"\\*no\\* \\n \\\\", "*no* \\n \\\\"},
    {"# Title\ntext", B "Title" N "\ntext"},
    {"#hash\n#\n####### seven", "#hash\n#\n####### seven"},
    {"- one\n  * two\n-3", "\u2022 one\n  \u2022 two\n-3"},
    {"1. one\n2. two", "1. one\n2. two"},
    {"> said", D "\u2502 said" N},
    {"```c\nint *a;\n\n  `x`\n```\nend",
     F "```c" N "\n" C "int *a;" N "\n" C N "\n" C "  `x`" N "\n" D "```" N "\nend"},
    {"---\n***", "---\n***"},
    {"a `", "a `"},
    {"-", "-"},
    {"caf\u00e9 **na\u00efve** \u4f60\u597d", "caf\u00e9 " B "na\u00efve" N " \u4f60\u597d"},
    {"\033[2Jx\r\a\b\x7fy\xc2\x9b" "31m\xc2\x85" "z\tt", "[2Jxy31mz\tt"},
};

static void show(bool styled, const char *said, size_t piece, struct text *out) {
    struct markdown m = {.styled = styled};
    size_t len = strlen(said);
    text_clear(out);
    for (size_t at = 0; at < len; at += piece) markdown_add(&m, said + at, len - at < piece ? len - at : piece, out);
    markdown_end(&m, out);
}

static void it_is_shown_in_any_pieces(void **state) {
    struct text out = {0};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t piece = 1; piece < 8; piece++) {
            show(true, cases[i].said, piece, &out);
            assert_string_equal(text_str(&out), cases[i].shown);
        }
    text_deinit(&out);
}

static void without_style_only_control_characters_go(void **state) {
    struct text out = {0};
    show(false, "# **a** `b`\n\033[1m- c\xc2\x80" "\u00e9", 3, &out);
    assert_string_equal(text_str(&out), "# **a** `b`\n[1m- c\u00e9");
    text_deinit(&out);
}

/* Whatever comes, what is shown is no more than what was said, marks and ink aside, and the terminal is left clean. */
static void anything_may_come(void **state) {
    static const char letters[] = "*`\\#->+ \n\xc2\x9b" "ab~_";
    struct text out = {0};
    char said[200];
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        size_t len = round % (sizeof said - 1);
        for (size_t i = 0; i < len; i++) {
            seed = seed * 1664525 + 1013904223;
            said[i] = letters[(seed >> 16) % (sizeof letters - 1)];
        }
        said[len] = '\0';
        show(true, said, 1 + len % 5, &out);
        const char *last = NULL;
        for (const char *c = text_str(&out); (c = strchr(c, '\033')) != NULL; c++) last = c;
        assert_true(last == NULL || memcmp(last, N, 4) == 0);
    }
    text_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_shown_in_any_pieces),
        cmocka_unit_test(without_style_only_control_characters_go),
        cmocka_unit_test(anything_may_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
