/* Strings: by length, by pattern, by format. */
#include <string.h>

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
static const char *format_pattern(const json_t *format) {
    for (size_t i = 0; json_is_string(format) && i < sizeof formats / sizeof *formats; i++)
        if (strcmp(json_string_value(format), formats[i].name) == 0) return formats[i].pattern;
    return NULL;
}

struct expr *schema__string(struct schema_reader *r, const json_t *schema) {
    struct expr_builder *b = r->b;
    uint32_t min = schema__count(r, schema, "minLength", 0);
    uint32_t max = schema__count(r, schema, "maxLength", EXPR_UNBOUNDED);
    const json_t *pattern = json_object_get(schema, "pattern");
    const char *format = format_pattern(json_object_get(schema, "format"));
    if (pattern && !json_is_string(pattern)) return schema__fail(r, ERR_INVALID, "'pattern' must be a string");
    if (pattern && format) return schema__fail(r, ERR_UNSUPPORTED, "'pattern' and 'format' for one string");
    if (min > max) return expr_never(b);
    if (pattern)
        return jtext_quoted(b, pattern_read(b, json_string_value(pattern), json_string_length(pattern), min, max));
    if (format) return jtext_quoted(b, pattern_read(b, format, strlen(format), min, max));
    if (min == 0 && max == EXPR_UNBOUNDED) return jtext_string(b, &r->shared);
    return jtext_quoted(b, jtext_any_chars(b, min, max));
}
