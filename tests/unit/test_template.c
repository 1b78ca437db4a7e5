/* Chat templates: the language, whose text is whose, and that no template runs away. tests/golden compares with Jinja2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/template.h"

static const char now[] = "2026-11-22T10:30:05";

/* Render with variables given as JSON; the text in out. */
static int render(const char *source, const char *json, struct text *out, struct error *error) {
    struct template *t = NULL;
    json_t *variables = json_loads(json, 0, NULL);
    assert_non_null(variables);
    int rc = template_new(&t, source, strlen(source), error);
    if (rc == 0) rc = template_render(t, variables, now, out, error);
    template_free(t);
    json_decref(variables);
    return rc;
}

static void assert_renders(const char *source, const char *json, const char *expected) {
    struct text out = {0};
    struct error error = {0};
    if (render(source, json, &out, &error) != 0) fail_msg("%s: %s", source, error.text);
    assert_string_equal(text_str(&out), expected);
    text_deinit(&out);
}

static void assert_fails(const char *source, const char *json, int code, const char *message) {
    struct text out = {0};
    struct error error = {0};
    int rc = render(source, json, &out, &error);
    if (rc != code || strstr(error.text, message) == NULL) fail_msg("%.100s: %d %s", source, rc, error.text);
    text_deinit(&out);
}

static void a_chatml_template(void **state) {
    assert_renders("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
                   "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
                   "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"add_generation_prompt\":true}",
                   "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

static void white_space_follows_jinja(void **state) {
    assert_renders("  {% if true %}\nx\n  {% endif %}\ny\n", "{}", "x\ny");
    assert_renders("a {%- if true -%} b {%- endif %} c", "{}", "ab c");
    assert_renders("  {%+ if true %}\nx{% endif +%}\ny", "{}", "  x\ny");
    assert_renders("a\r\nb{# c #}\r\nd", "{}", "a\nbd");
    assert_renders("{% raw %}{{ x }}{% endraw %}", "{}", "{{ x }}");
}

static void values_print_as_in_python(void **state) {
    assert_renders("{{ [1, 2.0, none, true, 'it\\'s', {'a': (1,)}] }}", "{}",
                   "[1, 2.0, None, True, \"it's\", {'a': (1,)}]");
    assert_renders("{{ 1e16 }} {{ 0.1 + 0.2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** -1 }}", "{}",
                   "1e+16 0.30000000000000004 -4 2 0.5");
    assert_renders("{{ v | tojson(indent=1) }}", "{\"v\":{\"\u00e9\":[1,\"\\n\"]}}",
                   "{\n \"\u00e9\": [\n  1,\n  \"\\n\"\n ]\n}");
    assert_renders("{{ s[::-1] }}{{ s[-2:] }}{{ s | length }}", "{\"s\":\"a\u00e9\U0001f999\"}",
                   "\U0001f999\u00e9a\u00e9\U0001f9993");
}

static void undefined_is_empty_until_it_is_used(void **state) {
    assert_renders("[{{ x }}{{ d.y }}{% for i in x %}{% endfor %}]", "{\"d\":{}}", "[]");
    assert_fails("{{ x.y }}", "{}", ERR_INVALID, "'x' is undefined");
    assert_fails("{{ d.y.z }}", "{\"d\":{}}", ERR_INVALID, "'dict object' has no attribute 'y'");
    assert_fails("{{ 'a' + x }}", "{}", ERR_INVALID, "'x' is undefined");
}

static void templates_fail_with_their_own_words(void **state) {
    assert_fails("{{ raise_exception('roles must alternate') }}", "{}", ERR_INVALID, "roles must alternate");
    assert_fails("{{ 'a' + l }}", "{\"l\":[]}", ERR_INVALID, "can only concatenate str (not \"list\") to str");
    assert_fails("{{ l.append(1) }}", "{\"l\":[]}", ERR_INVALID, "is unsafe");
    assert_fails("a\n{% if x %}\nb", "{}", ERR_INVALID, "endif");
    assert_fails("a\n\n{{ x", "{}", ERR_INVALID, "line 3");
    assert_fails("{% include 'x' %}", "{}", ERR_INVALID, "include");
    assert_fails("{{ x | nosuch }}", "{}", ERR_INVALID, "nosuch");
    assert_fails("\xff", "{}", ERR_INVALID, "UTF-8");
}

static void what_was_rendered_before_an_error_is_kept(void **state) {
    struct text out = {0};
    struct error error = {0};
    assert_int_equal(render("so far{{ x.y }}", "{}", &out, &error), ERR_INVALID);
    assert_string_equal(text_str(&out), "so far");
    text_deinit(&out);
}

static void nothing_runs_away(void **state) {
    assert_fails("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "{}", ERR_LIMIT,
                 "the template");
    assert_fails("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{}", ERR_LIMIT, "deep");
    assert_fails("{% for x in l recursive %}{{ loop(l) }}{% endfor %}", "{\"l\":[1]}", ERR_LIMIT, "deep");
    assert_fails("{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}"
                 "{% endfor %}",
                 "{}", ERR_LIMIT, "memory");
    assert_fails("{{ 'abc' * 9999999999 }}", "{}", ERR_LIMIT, "end");
    assert_fails("{{ [1] * 9999999999 }}", "{}", ERR_LIMIT, "");
    assert_fails("{{ '%99999999d' % 1 }}", "{}", ERR_INVALID, "width");
    assert_fails("{{ 9223372036854775807 + 1 }}", "{}", ERR_INVALID, "too large");
    assert_fails("{{ range(1000000) }}", "{}", ERR_INVALID, "MAX_RANGE");
}

static char *repeated(const char *text, size_t times) {
    struct text all = {0};
    for (size_t i = 0; i < times; i++) text_add_str(&all, text);
    return text_take(&all);
}

static void nesting_is_bounded(void **state) {
    static const char *const pieces[] = {"{{ (",    "{{ [",  "{{ not ", "{{ -", "{% if x %}", "{{ a if b else ",
                                         "{{ x.y(", "{{ {1:"};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct text source = {0};
        struct error error = {0};
        struct template *t = NULL;
        bool block = pieces[i][1] == '%';
        char *many = repeated(pieces[i] + (block ? 0 : 3), 100000);
        if (!block) text_add(&source, pieces[i], 3);
        text_add_str(&source, many);
        assert_int_not_equal(template_new(&t, text_str(&source), source.len, &error), 0);
        free(many);
        text_deinit(&source);
    }
    char *sum = repeated("1 + ", 20000);
    struct text source = {0};
    text_printf(&source, "{{ ");
    text_add_str(&source, sum);
    text_add_str(&source, "1 }}");
    assert_fails(text_str(&source), "{}", ERR_LIMIT, "deep");
    free(sum);
    text_deinit(&source);
}

/* The rendered text with a user's bytes as they are and the template's as dots. */
static void assert_users(const char *source, const char *json, const char *expected) {
    static const char *const foreign[] = {"messages", "user", NULL};
    struct text out = {0}, origin = {0};
    struct error error = {0};
    struct template *t = NULL;
    json_t *variables = json_loads(json, 0, NULL);
    assert_int_equal(template_new(&t, source, strlen(source), &error), 0);
    assert_int_equal(template_render_origin(t, variables, foreign, now, &out, &origin, &error), 0);
    assert_int_equal(out.len, origin.len);
    for (size_t i = 0; i < out.len; i++)
        if (!origin.data[i]) out.data[i] = '.';
    assert_string_equal(text_str(&out), expected);
    template_free(t);
    json_decref(variables);
    text_deinit(&out);
    text_deinit(&origin);
}

static void users_text_stays_the_users(void **state) {
    assert_users("<s>{{ user }}</s>{{ own }}", "{\"user\":\"hi\",\"own\":\"me\"}", "...hi......");
    assert_users("{{ user | trim }}{{ user | upper }}", "{\"user\":\" ab \"}", "ab AB ");
    assert_users("{{ '<' + user + '>' }}{{ ('<%s>' % user)[1:] }}{{ '<{}>'.format(user) }}", "{\"user\":\"ab\"}",
                 ".ab.ab..ab.");
    assert_users("{{ user.split('-') | join('+') }}{{ user | replace('-', '=') }}", "{\"user\":\"a-b\"}", "a.ba.b");
    assert_users("{% set x %}[{{ user }}]{% endset %}{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(x) }}{{ x[::-1] }}",
                 "{\"user\":\"ab\"}", "..ab...ba.");
    assert_users("{{ user | tojson }}{{ [user] }}", "{\"user\":\"a\\\"b\"}", ".a..b...a\"b..");
    assert_users("{{ {'k': user}['k'] }}{{ [user, 'x'] | sort | first | capitalize }}", "{\"user\":\"ab\"}", "abAb");
}

static void escaping_keeps_whose_text_it_is(void **state) {
    assert_users("{{ '<'|safe + user }}{{ user | e }}", "{\"user\":\"a<b\"}", ".a&lt;ba&lt;b");
}

static void a_role_that_is_a_word_is_the_templates(void **state) {
    assert_users("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}",
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"x|>\",\"content\":\"\"}]}",
                 "........hi..x|>..");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chatml_template),
        cmocka_unit_test(white_space_follows_jinja),
        cmocka_unit_test(values_print_as_in_python),
        cmocka_unit_test(undefined_is_empty_until_it_is_used),
        cmocka_unit_test(templates_fail_with_their_own_words),
        cmocka_unit_test(what_was_rendered_before_an_error_is_kept),
        cmocka_unit_test(nothing_runs_away),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(users_text_stays_the_users),
        cmocka_unit_test(escaping_keeps_whose_text_it_is),
        cmocka_unit_test(a_role_that_is_a_word_is_the_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
