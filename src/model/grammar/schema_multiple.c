/* multipleOf: the multiples between bounds, one by one where they are few; else any number of them, by its remainder as
 * it is written digit by digit (a step of a power of ten only bounds the digits behind the point). A step is a decimal,
 * as it stands in the schema: 0.1 is a tenth, not the double that is nearest to it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/grammar/schema_private.h"

enum { DIGITS_MAX = 15, PLACES_MAX = 9, REMAINDERS_MAX = 100, MULTIPLES_MAX = 4096 };

/* units / 10^places */
struct step {
    int64_t units, scale; /* scale: 10^places */
    int places;
    double value;
};

/* The decimal with the fewest digits that is this double. False: it has too many. */
static bool read_step(double value, struct step *out) {
    char text[64];
    *out = (struct step){.scale = 1, .value = value};
    if (value > 1e15) return false;
    for (;; out->places++, out->scale *= 10) {
        if (out->places > PLACES_MAX) return false;
        snprintf(text, sizeof text, "%.*f", out->places, value);
        if (strtod(text, NULL) == value) break;
    }
    double units = round(value * (double)out->scale);
    out->units = (int64_t)units;
    return units >= 1 && units <= 1e15;
}

/* ---- few of them, one by one ---- */

/* Multiple `n` as text. */
static int write_multiple(const struct step *s, int64_t n, char *out, size_t size) {
    int64_t units = (n < 0 ? -n : n) * s->units;
    int len = snprintf(out, size, "%s%lld", n < 0 ? "-" : "", (long long)(units / s->scale));
    if (units % s->scale == 0) return len;
    len += snprintf(out + len, size - (size_t)len, ".%0*lld", s->places, (long long)(units % s->scale));
    while (out[len - 1] == '0') len--;
    return len;
}

static bool within(const struct schema_bounds *b, double value) {
    bool low = !b->has_low || (b->low_open ? value > b->low : value >= b->low);
    return low && (!b->has_high || (b->high_open ? value < b->high : value <= b->high));
}

static struct expr *one_by_one(struct schema_reader *r, const struct schema_bounds *b, const struct step *s,
                               bool integer) {
    struct expr_list l = {0};
    char text[64];
    int64_t end = (int64_t)ceil(b->high / s->value) + 1;
    for (int64_t n = (int64_t)floor(b->low / s->value) - 1; n <= end && !r->b->failed; n++) {
        text[write_multiple(s, n, text, sizeof text)] = '\0';
        if (!within(b, strtod(text, NULL)) || (integer && strchr(text, '.'))) continue;
        expr_list_add(r->b, &l, expr_bytes(r->b, text, strlen(text)));
    }
    return expr_choice(r->b, &l);
}

static bool are_few(const struct schema_bounds *b, const struct step *s) {
    if (!b->has_low || !b->has_high || fabs(b->low) > 1e15 || fabs(b->high) > 1e15) return false;
    return (b->high - b->low) / s->value <= MULTIPLES_MAX && fmax(fabs(b->low), fabs(b->high)) * s->scale < 1e17;
}

/* ---- any number of them, by remainder ---- */

struct remainders {
    struct schema_reader *r;
    const struct step *step;
    bool integer;
    int whole_most;
    uint32_t whole[DIGITS_MAX + 1][REMAINDERS_MAX], behind[PLACES_MAX + 1][REMAINDERS_MAX]; /* rules; 0: not made yet */
};

static struct expr *after_digits(struct remainders *m, int count, int64_t rest, bool behind);

static struct expr *one_more(struct remainders *m, char first, int count, int64_t rest, bool behind) {
    struct expr_list l = {0};
    for (char c = first; c <= '9'; c++) {
        struct expr *more = after_digits(m, count + 1, (rest * 10 + (c - '0')) % m->step->units, behind);
        expr_list_add(m->r->b, &l, expr_join(m->r->b, 2, expr_range(m->r->b, (uint8_t)c, (uint8_t)c), more));
    }
    return expr_choice(m->r->b, &l);
}

/* Would it be a multiple if it ended here, behind so many digits after the point? */
static bool may_end(const struct step *s, int places, int64_t rest) {
    for (; places < s->places; places++) rest = rest * 10 % s->units;
    return rest == 0;
}

static struct expr *what_follows(struct remainders *m, int count, int64_t rest, bool behind) {
    struct expr_builder *b = m->r->b;
    struct expr_list l = {0};
    if (may_end(m->step, behind ? count : 0, rest)) expr_list_add(b, &l, expr_empty(b));
    if (count < (behind ? m->step->places : m->whole_most))
        expr_list_add(b, &l, one_more(m, '0', count, rest, behind));
    if (!behind && !m->integer && m->step->places > 0)
        expr_list_add(b, &l, expr_join(b, 2, expr_text(b, "."), one_more(m, '0', 0, rest, true)));
    return expr_choice(b, &l);
}

/* Behind so many digits before or behind the point, with this remainder so far. */
static struct expr *after_digits(struct remainders *m, int count, int64_t rest, bool behind) {
    uint32_t *rule = behind ? &m->behind[count][rest] : &m->whole[count][rest];
    if (*rule == 0) {
        *rule = expr_rule_new(m->r->b, "digits");
        expr_rule_set(m->r->b, *rule, what_follows(m, count, rest, behind));
    }
    return expr_rule(m->r->b, *rule);
}

/* Of numbers above 0, and 0 itself. */
static struct expr *by_remainder(struct schema_reader *r, const struct schema_bounds *b, const struct step *s,
                                 bool integer) {
    struct remainders m = {.r = r, .step = s, .integer = integer, .whole_most = DIGITS_MAX - s->places};
    bool natural = b->has_low && b->low == 0;
    struct expr_list l = {0};
    if (b->has_high || (b->has_low && !natural) || s->units > REMAINDERS_MAX)
        return schema__fail(r, ERR_UNSUPPORTED,
                            "'multipleOf' other than a power of ten needs bounds with at most %d multiples between, or "
                            "none but minimum 0 and at most %d steps of its last digit",
                            MULTIPLES_MAX, REMAINDERS_MAX);
    struct expr *above = one_more(&m, '1', 0, 0, false);
    if (!integer && s->places > 0) {
        struct expr *below_one = expr_join(r->b, 2, expr_text(r->b, "0."), one_more(&m, '0', 0, 0, true));
        if (!b->low_open) above = expr_either(r->b, above, below_one);
    }
    if (!(natural && b->low_open)) expr_list_add(r->b, &l, expr_text(r->b, "0"));
    expr_list_add(r->b, &l, above);
    if (!natural) expr_list_add(r->b, &l, expr_join(r->b, 2, expr_text(r->b, "-"), above));
    return expr_choice(r->b, &l);
}

struct expr *schema__multiples(struct schema_reader *r, const struct schema_bounds *b, double value, bool integer) {
    struct step s;
    if (!(value > 0)) return schema__fail(r, ERR_INVALID, "'multipleOf' must be above 0");
    if (!read_step(value, &s))
        return schema__fail(r, ERR_UNSUPPORTED, "'multipleOf' must have at most %d decimals, and be at most 1e15",
                            PLACES_MAX);
    if (are_few(b, &s)) return one_by_one(r, b, &s, integer);
    if (s.units == 1) return schema__decimals(r, b, integer ? 0 : s.places);
    return by_remainder(r, b, &s, integer);
}
