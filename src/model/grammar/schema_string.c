/* Strings: by length, by patterns, by formats, and by all that at once. */
#include <string.h>

#include "model/grammar/language.h"
#include "model/grammar/pattern.h"
#include "model/grammar/schema_private.h"

#define YEAR "[12]\\d{3}"
#define DATE                                                                                                           \
    "(" YEAR "-(((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01]))|((0[469]|11)-(0[1-9]|[12]\\d|30))|(02-(0[1-9]|1\\d|2[0-8]))" \
    "))"
#define TIME     "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"
#define OCTET    "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define LABEL    "[A-Za-z0-9]([A-Za-z0-9-]{0,40}[A-Za-z0-9])?"
#define HOST     LABEL "(\\." LABEL "){0,3}"
#define ATOM     "[A-Za-z0-9_+-]{1,20}"
#define URI_PATH "(/[A-Za-z0-9._~-]{0,40}){0,8}(\\?[A-Za-z0-9._~=&-]{0,80})?(#[A-Za-z0-9._~-]{0,40})?"
#define URI      "https?://" HOST "(:\\d{1,4})?" URI_PATH
#define EMAIL    ATOM "(\\." ATOM "){0,3}@" LABEL "(\\." LABEL "){1,3}"
#define POINTER  "(/[A-Za-z0-9_-]{1,20}){0,6}"
#define HEX4     "[0-9a-f]{4}"

/* What is generated for a format; a part of what it allows. RFC 3339, 4122, 2673, 4291, 5321, 1123, 3986, 6570, 6901.
 */
static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", "^" DATE "$"},
    {"time", "^" TIME "$"},
    {"date-time", "^" DATE "T" TIME "$"},
    {"duration", "^P(\\d{1,4}W|(\\d{1,4}Y\\d{1,2}M\\d{1,2}D|\\d{1,4}M\\d{1,2}D|\\d{1,4}[YMD])"
                 "(T\\d{1,2}H(\\d{1,2}M(\\d{1,2}S)?)?)?|T\\d{1,4}[HMS]|T\\d{1,2}H\\d{1,2}M(\\d{1,2}S)?)$"},
    {"uuid", "^[0-9a-f]{8}-" HEX4 "-" HEX4 "-" HEX4 "-[0-9a-f]{12}$"},
    {"ipv4", "^" OCTET "\\." OCTET "\\." OCTET "\\." OCTET "$"},
    {"ipv6", "^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$"},
    {"email", "^" EMAIL "$"},
    {"hostname", "^" HOST "$"},
    {"idn-email", "^" EMAIL "$"},
    {"idn-hostname", "^" HOST "$"},
    {"uri", "^" URI "$"},
    {"uri-reference", "^" URI "$"},
    {"uri-template", "^" URI "$"},
    {"iri", "^" URI "$"},
    {"iri-reference", "^" URI "$"},
    {"json-pointer", "^" POINTER "$"},
    {"relative-json-pointer", "^\\d" POINTER "$"},
    {"regex", "^[a-z0-9]{0,40}$"},
};

/* The pattern of a known format; NULL: a format that says nothing here. */
static const char *format_pattern(const char *format) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(format, formats[i].name) == 0) return formats[i].pattern;
    return NULL;
}

bool schema__next_text(const json_t *texts, size_t *at, struct expr_word *text) {
    if (!json_is_string(texts) || *at > json_string_length(texts)) return false;
    text->text = json_string_value(texts) + *at;
    text->len = strlen(text->text);
    *at += text->len + 1;
    return true;
}

/* ---- what a string must be ---- */

enum { WORK_OF_FAILURE = SCHEMA_WORK_MAX / 16 };

struct demands {
    struct expr_word patterns[LANGUAGES_MAX];
    size_t count, formats; /* of patterns; how many of them, the last ones, are a part of what a format allows */
    uint32_t min, max;     /* characters */
};

static void add_pattern(struct schema_reader *r, struct demands *d, struct expr_word pattern) {
    if (d->count == LANGUAGES_MAX - 1) /* one more for the length */
        schema__fail(r, ERR_LIMIT, "more than %d patterns and formats for one string", LANGUAGES_MAX - 1);
    else
        d->patterns[d->count++] = pattern;
}

static struct demands read_demands(struct schema_reader *r, const json_t *schema) {
    const json_t *patterns = json_object_get(schema, "pattern");
    struct demands d = {.min = schema__count(r, schema, "minLength", 0),
                        .max = schema__count(r, schema, "maxLength", EXPR_UNBOUNDED)};
    struct expr_word text;
    if (patterns && !json_is_string(patterns)) schema__fail(r, ERR_INVALID, "'pattern' must be a string");
    for (size_t at = 0; schema__next_text(patterns, &at, &text);) add_pattern(r, &d, text);
    for (size_t at = 0; schema__next_text(json_object_get(schema, "format"), &at, &text);) {
        const char *pattern = format_pattern(text.text);
        if (pattern == NULL) continue;
        add_pattern(r, &d, (struct expr_word){pattern, strlen(pattern)});
        d.formats++;
    }
    return d;
}

/* Whether a pattern matches a value. Hostile schemas would ask it of large patterns many times. */
static enum language_answer matches(struct schema_reader *r, struct expr_word pattern, const json_t *value) {
    struct language l;
    struct error why;
    if (r->work > SCHEMA_WORK_MAX) return LANGUAGE_UNKNOWN;
    if (language_of_pattern(&l, pattern.text, pattern.len, &why) != 0)
        return r->work += WORK_OF_FAILURE, LANGUAGE_UNKNOWN;
    enum language_answer has = language_has(&l, json_string_value(value), json_string_length(value));
    r->work += pattern.len + l.program.count * sizeof *l.program.steps;
    language_deinit(&l);
    return has;
}

enum schema_answer schema__string_accepts(struct schema_reader *r, const json_t *schema, const json_t *value) {
    struct demands d = read_demands(r, schema);
    enum schema_answer all = SCHEMA_YES;
    for (size_t i = 0; i < d.count && !r->b->failed; i++) {
        enum language_answer has = matches(r, d.patterns[i], value);
        if (has == LANGUAGE_HAS_NOT && i < d.count - d.formats) return SCHEMA_NO;
        if (has != LANGUAGE_HAS) all = SCHEMA_UNKNOWN;
    }
    return all;
}

/* The languages of all demands; *count of them are to be freed. */
static int make_languages(const struct demands *d, struct language *all, uint32_t *count, struct error *why) {
    int code = 0;
    for (*count = 0; *count < d->count && code == 0; *count += code == 0)
        code = language_of_pattern(&all[*count], d->patterns[*count].text, d->patterns[*count].len, why);
    if (code || (d->min == 0 && d->max == EXPR_UNBOUNDED)) return code;
    code = language_of_lengths(&all[*count], d->min, d->max, why);
    *count += code == 0;
    return code;
}

/* The inside of a string that does as all of them demand. */
static struct expr *meet(struct schema_reader *r, const struct demands *d) {
    struct language all[LANGUAGES_MAX];
    struct error why = {0};
    uint32_t count;
    int code = make_languages(d, all, &count, &why);
    struct expr *met = code ? expr_never(r->b) : language_meet(r->b, all, count);
    while (count > 0) language_deinit(&all[--count]);
    if (code && code != ERR_INVALID) return expr_fail(r->b, code, "%s", why.text);
    if (met == NULL)
        return schema__fail(r, ERR_LIMIT,
                            "'pattern', 'format' and lengths of strings take more than %d states together",
                            EXPR_STATES_MAX);
    if (met->type == EXPR_NEVER && d->formats > 0)
        return schema__fail(r, ERR_UNSUPPORTED,
                            "no text of this 'format' is known that keeps to what stands beside it");
    return met;
}

struct expr *schema__string(struct schema_reader *r, const json_t *schema) {
    struct demands d = read_demands(r, schema);
    if (r->b->failed || d.min > d.max) return expr_never(r->b);
    if (d.count == 0 && d.min == 0 && d.max == EXPR_UNBOUNDED) return jtext_string(r->b, &r->shared);
    struct expr *inside = NULL;
    if (d.count == 0) inside = jtext_any_chars(r->b, d.min, d.max);
    if (d.count == 1) inside = pattern_read(r->b, d.patterns[0].text, d.patterns[0].len, d.min, d.max);
    return jtext_quoted(r->b, inside ? inside : meet(r, &d));
}
