/* What the parts of the schema reader share: schema.c (types and choices), schema_merge.c (several schemas as one),
 * schema_negate.c (what is not valid),
 * schema_check.c (values and schemas compared), schema_object.c, schema_array.c, schema_number.c, schema_multiple.c,
 * schema_string.c. */
#pragma once
#include "base/map.h"
#include "model/grammar/jtext.h"
#include "model/grammar/schema.h"

enum { SCHEMA_DEPTH_MAX = 64, SCHEMA_MERGES_MAX = 20000, SCHEMA_WORK_MAX = 32 << 20, SCHEMA_PATH_BYTES = 160 };

struct schema_reader {
    struct expr_builder *b;
    const json_t *root;
    struct jtext_rules shared;
    struct map rules; /* text of a schema -> rule + 1 */
    json_t *made;     /* array: schemas that were put together here, and must live as long as the reader */
    int depth;
    uint32_t merges;
    size_t work;                  /* bytes of schemas read */
    char path[SCHEMA_PATH_BYTES]; /* where it is, for errors */
};

/* "schema at PATH: ..." */
struct expr *schema__fail(struct schema_reader *r, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- schema.c ---- */
/* Any schema; one that was met before is the same rule. */
struct expr *schema__compile(struct schema_reader *r, const json_t *schema);
/* The same, for what lies under this keyword (and key, if not NULL). */
struct expr *schema__compile_at(struct schema_reader *r, const json_t *schema, const char *keyword, const char *key);
/* A schema that belongs to the reader from now on (taken). NULL when it was NULL. */
const json_t *schema__keep(struct schema_reader *r, json_t *schema);
/* The count under a keyword, `otherwise` if there is none. */
uint32_t schema__count(struct schema_reader *r, const json_t *schema, const char *keyword, uint32_t otherwise);

/* ---- schema_merge.c ---- */
/* The schema without $ref and allOf beside other keywords: what both say is said by one. NULL: the builder failed. */
const json_t *schema__flatten(struct schema_reader *r, const json_t *schema);
/* One that holds where both do, both flat. */
const json_t *schema__merge(struct schema_reader *r, const json_t *a, const json_t *b);
/* Whether it speaks of parts of a value that others might speak of too; and whether it refuses those of which nobody
 * speaks in its own scope, which a schema that is put together from several no longer has. */
bool schema__names_parts(const json_t *schema);
bool schema__closes(const json_t *schema);
/* What a $ref means; NULL: the builder failed. */
const json_t *schema__resolve(struct schema_reader *r, const char *reference);

/* ---- schema_negate.c ---- */
/* A schema under which nothing is valid that is valid under this one; NULL: none is known (or the builder failed). */
const json_t *schema__negate(struct schema_reader *r, const json_t *schema);
/* A flat schema without not, if and dependencies: they are said by others. NULL: the builder failed. */
const json_t *schema__rewrite(struct schema_reader *r, const json_t *schema);

/* ---- schema_check.c ---- */
enum schema_answer { SCHEMA_NO, SCHEMA_YES, SCHEMA_UNKNOWN };
enum schema_type {
    SCHEMA_NULL = 1,
    SCHEMA_BOOLEAN = 2,
    SCHEMA_OBJECT = 4,
    SCHEMA_ARRAY = 8,
    SCHEMA_INTEGER = 16,
    SCHEMA_FRACTION = 32, /* a number that is no integer */
    SCHEMA_STRING = 64,
    SCHEMA_NUMBER = SCHEMA_INTEGER | SCHEMA_FRACTION,
    SCHEMA_ANY = 127,
    SCHEMA_MALFORMED = 128,
};
/* The types that the schema's "type" allows, all without one. */
unsigned schema__types(const json_t *schema);
enum schema_answer schema__accepts(struct schema_reader *r, const json_t *schema, const json_t *value);
/* SCHEMA_YES: no value is valid under both. */
enum schema_answer schema__disjoint(struct schema_reader *r, const json_t *a, const json_t *b);

/* ---- by type ---- */
struct expr *schema__object(struct schema_reader *r, const json_t *schema);
struct expr *schema__array(struct schema_reader *r, const json_t *schema);
struct expr *schema__number(struct schema_reader *r, const json_t *schema, bool integer);
/* The whole numbers from low to high that the bounds leave, none if low > high. False: they are open on one side, or
 * have too many digits. */
bool schema__integer_range(struct schema_reader *r, const json_t *schema, int64_t *low, int64_t *high);
/* Bounds of numbers. */
struct schema_bounds {
    bool has_low, has_high, low_open, high_open;
    double low, high;
};
/* Numbers within bounds with at most so many digits behind the point (0: whole ones); those that are multiples too. */
struct expr *schema__decimals(struct schema_reader *r, const struct schema_bounds *b, int places);
struct expr *schema__multiples(struct schema_reader *r, const struct schema_bounds *b, double step, bool integer);
struct expr *schema__string(struct schema_reader *r, const json_t *schema);
/* A string against `pattern` and `format`. */
enum schema_answer schema__string_accepts(struct schema_reader *r, const json_t *schema, const json_t *value);
/* The texts of a `pattern` or `format`: a schema that was put together may have several, with NULs between, which no
 * text of a given schema has. *at begins at 0. False: there is none more. */
bool schema__next_text(const json_t *texts, size_t *at, struct expr_word *text);
