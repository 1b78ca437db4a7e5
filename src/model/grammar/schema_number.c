/* Numbers between bounds, digit by digit.
 *
 * A bounded number is written without an exponent, with at most SIGNIFICANT digits: so many decimals are told apart by
 * doubles, so that what is within the bounds as text is so as a number. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/grammar/schema_private.h"

enum { SIGNIFICANT = 15, INTEGER_DIGITS_MAX = 18, FRACTION_MAX = 40 };

static const int64_t integer_limit = 999999999999999;        /* of a side without a bound */
static const int64_t integer_limit_max = 999999999999999999; /* of any */

/* ---- digits between digits ---- */

struct span {
    struct expr_builder *b;
    const char *low, *high; /* NULL: no bound (any more) on that side */
    bool low_open, high_open;
    bool fraction; /* the digits may end early, as if zeros followed */
    size_t len;
};

static struct expr *any_digits(const struct span *s, size_t at) {
    uint32_t left = (uint32_t)(s->len - at);
    return expr_repeat(s->b, expr_range(s->b, '0', '9'), s->fraction ? 0 : left, left);
}

static bool zeros(const char *digits) { return digits == NULL || strspn(digits, "0") == strlen(digits); }

static struct expr *digits_from(const struct span *s, size_t at);

/* A digit between the two, then whatever may follow it. */
static struct expr *digit(const struct span *s, size_t at, char first, char last, bool low, bool high) {
    if (first > last) return expr_never(s->b);
    struct span next = *s;
    if (!low) next.low = NULL;
    if (!high) next.high = NULL;
    struct expr *rest = low || high ? digits_from(&next, at + 1) : any_digits(s, at + 1);
    return expr_join(s->b, 2, expr_range(s->b, (uint8_t)first, (uint8_t)last), rest);
}

/* Whether the digits may end before `at`: what is left of the bounds counts against zeros. */
static bool may_end(const struct span *s, size_t at) {
    bool low_equal = s->low && zeros(s->low + at), high_equal = s->high && zeros(s->high + at);
    if (s->low && (!low_equal || s->low_open)) return false;
    return !(high_equal && s->high_open);
}

static struct expr *digits_from(const struct span *s, size_t at) {
    struct expr_list l = {0};
    if (at == s->len) return may_end(s, at) ? expr_empty(s->b) : expr_never(s->b);
    if (s->fraction && at > 0 && may_end(s, at)) expr_list_add(s->b, &l, expr_empty(s->b));
    char low = s->low ? s->low[at] : '0', high = s->high ? s->high[at] : '9';
    if (s->low && s->high && low == high) {
        expr_list_add(s->b, &l, digit(s, at, low, low, true, true));
        return expr_choice(s->b, &l);
    }
    char inner_first = s->low ? (char)(low + 1) : low, inner_last = s->high ? (char)(high - 1) : high;
    if (s->low) expr_list_add(s->b, &l, digit(s, at, low, low, true, false));
    expr_list_add(s->b, &l, digit(s, at, inner_first, inner_last, false, false));
    if (s->high) expr_list_add(s->b, &l, digit(s, at, high, high, false, true));
    return expr_choice(s->b, &l);
}

/* ---- whole numbers ---- */

/* low to high, both of as many digits. */
static struct expr *same_length(struct expr_builder *b, int64_t low, int64_t high) {
    char from[24], to[24];
    snprintf(from, sizeof from, "%lld", (long long)low);
    snprintf(to, sizeof to, "%lld", (long long)high);
    return digits_from(&(struct span){.b = b, .low = from, .high = to, .len = strlen(from)}, 0);
}

static struct expr *with_point(struct expr_builder *b, struct expr *digits) {
    return expr_join(b, 2, expr_text(b, "."), digits);
}

/* Behind a whole part of so many digits. */
static struct expr *any_fraction(struct expr_builder *b, int length, int places) {
    int most = length < SIGNIFICANT ? SIGNIFICANT - length : 1;
    if (most > places) most = places;
    return expr_optional(b, with_point(b, expr_repeat(b, expr_range(b, '0', '9'), 1, (uint32_t)most)));
}

/* Numbers from 0 on, by their length, with at most so many digits behind the point. */
static struct expr *naturals(struct expr_builder *b, int64_t low, int64_t high, int places) {
    struct expr_list l = {0};
    int64_t begin = 0, end = 9;
    for (int length = 1; length <= INTEGER_DIGITS_MAX; length++) {
        int64_t from = low > begin ? low : begin, to = high < end ? high : end;
        if (from <= to) {
            struct expr *whole = same_length(b, from, to);
            expr_list_add(b, &l, places > 0 ? expr_join(b, 2, whole, any_fraction(b, length, places)) : whole);
        }
        begin = end + 1;
        end = end * 10 + 9;
    }
    return expr_choice(b, &l);
}

static struct expr *negative(struct expr_builder *b, struct expr *e) { return expr_join(b, 2, expr_text(b, "-"), e); }

static struct expr *integers(struct expr_builder *b, int64_t low, int64_t high) {
    struct expr_list l = {0};
    if (high >= 0) expr_list_add(b, &l, naturals(b, low > 0 ? low : 0, high, 0));
    if (low < 0) expr_list_add(b, &l, negative(b, naturals(b, high < -1 ? -high : 1, -low, 0)));
    return expr_choice(b, &l);
}

/* ---- bounds ---- */

static bool read_bound(struct schema_reader *r, const json_t *schema, const char *keyword, double *out) {
    const json_t *value = json_object_get(schema, keyword);
    if (value == NULL) return false;
    *out = json_number_value(value);
    if (!json_is_number(value)) schema__fail(r, ERR_INVALID, "'%s' must be a number", keyword);
    return json_is_number(value);
}

static struct schema_bounds read_bounds(struct schema_reader *r, const json_t *schema) {
    struct schema_bounds b = {0};
    double value;
    b.has_low = read_bound(r, schema, "minimum", &b.low);
    b.has_high = read_bound(r, schema, "maximum", &b.high);
    if (read_bound(r, schema, "exclusiveMinimum", &value) && (!b.has_low || value >= b.low))
        b.low = value, b.has_low = b.low_open = true;
    if (read_bound(r, schema, "exclusiveMaximum", &value) && (!b.has_high || value <= b.high))
        b.high = value, b.has_high = b.high_open = true;
    return b;
}

/* The whole numbers within bounds. False: one of them has more digits than are written. */
static bool integer_bounds(const struct schema_bounds *b, int64_t *low, int64_t *high) {
    double least = b->low_open ? floor(b->low) + 1 : ceil(b->low),
           most = b->high_open ? ceil(b->high) - 1 : floor(b->high);
    double limit = (double)integer_limit_max;
    if ((b->has_low && least > limit) || (b->has_high && most < -limit)) return false;
    *low = !b->has_low ? -integer_limit : least < -limit ? -integer_limit_max : (int64_t)least;
    *high = !b->has_high ? integer_limit : most > limit ? integer_limit_max : (int64_t)most;
    if (!b->has_low && *high < *low) *low = -integer_limit_max;
    if (!b->has_high && *high < *low) *high = integer_limit_max;
    return true;
}

bool schema__integer_range(struct schema_reader *r, const json_t *schema, int64_t *low, int64_t *high) {
    struct schema_bounds b = read_bounds(r, schema);
    return b.has_low && b.has_high && integer_bounds(&b, low, high);
}

/* ---- decimals ---- */

/* A bound that is not negative as whole part and digits behind the point. */
struct decimal {
    int64_t whole;
    char fraction[FRACTION_MAX + 1];
};

/* The shortest digits that give the same double. False: too long. */
static bool to_decimal(double value, struct decimal *out) {
    char text[64];
    int decimals = 0;
    if (value >= 1e15) return false;
    do snprintf(text, sizeof text, "%.*f", decimals, value);
    while (strtod(text, NULL) != value && ++decimals <= FRACTION_MAX);
    if (decimals > FRACTION_MAX) return false;
    char *point = strchr(text, '.');
    out->whole = strtoll(text, NULL, 10);
    snprintf(out->fraction, sizeof out->fraction, "%s", point ? point + 1 : "");
    return true;
}

static int digits_of(int64_t whole) { return snprintf(NULL, 0, "%lld", (long long)whole); }

/* Let go of digits behind the point beyond so many. True: there were some. */
static bool cut(struct decimal *d, int places) {
    bool longer = strlen(d->fraction) > (size_t)places;
    if (longer) d->fraction[places] = '\0';
    return longer;
}

/* One more in the last of so many places. */
static void add_unit(struct decimal *d, int places) {
    int i = places;
    while (i > 0 && d->fraction[i - 1] == '9') d->fraction[--i] = '0';
    if (i > 0)
        d->fraction[i - 1]++;
    else
        d->whole++;
}

/* The whole part of a bound, and digits behind the point that keep to it (NULL: no bound on that side). */
static struct expr *at_bound(struct expr_builder *b, int64_t whole, const struct decimal *low,
                             const struct decimal *high, const struct schema_bounds *open, int places) {
    char from[FRACTION_MAX + SIGNIFICANT + 2], to[FRACTION_MAX + SIGNIFICANT + 2];
    int len = SIGNIFICANT - digits_of(whole), low_len = low ? (int)strlen(low->fraction) : 0;
    int high_len = high ? (int)strlen(high->fraction) : 0;
    if (len > places) len = places;
    if (len < low_len) len = low_len;
    if (len < high_len) len = high_len;
    if (len < 1) len = 1;
    snprintf(from, sizeof from, "%s%0*d", low ? low->fraction : "", len - low_len + 1, 0);
    snprintf(to, sizeof to, "%s%0*d", high ? high->fraction : "", len - high_len + 1, 0);
    from[len] = to[len] = '\0';
    struct span s = {.b = b,
                     .low = low ? from : NULL,
                     .high = high ? to : NULL,
                     .low_open = open->low_open,
                     .high_open = open->high_open,
                     .fraction = true,
                     .len = (size_t)len};
    struct expr_list l = {0};
    if (may_end(&s, 0)) expr_list_add(b, &l, expr_empty(b));
    expr_list_add(b, &l, with_point(b, digits_from(&s, 0)));
    char digits[24];
    int digits_len = snprintf(digits, sizeof digits, "%lld", (long long)whole);
    return expr_join(b, 2, expr_bytes(b, digits, (size_t)digits_len), expr_choice(b, &l));
}

/* Decimals that are not negative, between two of them. */
static struct expr *decimals(struct expr_builder *b, struct decimal low, struct decimal high,
                             struct schema_bounds open, int places) {
    struct expr_list l = {0};
    if (cut(&low, places)) {
        add_unit(&low, places);
        open.low_open = false;
    }
    if (cut(&high, places)) open.high_open = false;
    if (low.whole > high.whole) return expr_never(b);
    if (low.whole == high.whole) return at_bound(b, low.whole, &low, &high, &open, places);
    expr_list_add(b, &l, at_bound(b, low.whole, &low, NULL, &open, places));
    expr_list_add(b, &l, naturals(b, low.whole + 1, high.whole - 1, places));
    expr_list_add(b, &l, at_bound(b, high.whole, NULL, &high, &open, places));
    return expr_choice(b, &l);
}

static struct expr *bounded_decimals(struct schema_reader *r, struct schema_bounds b, int places) {
    static const double limit = 999999999999999;
    struct decimal low, high, zero = {0};
    struct expr_list l = {0};
    if (!b.has_low || b.low < -limit) b.low = -limit, b.low_open = false;
    if (!b.has_high || b.high > limit) b.high = limit, b.high_open = false;
    if (b.low > b.high || (b.low == b.high && (b.low_open || b.high_open))) return expr_never(r->b);
    if (!to_decimal(fabs(b.low), &low) || !to_decimal(fabs(b.high), &high))
        return schema__fail(r, ERR_UNSUPPORTED, "a bound beyond 1e15, or with more than %d decimals", FRACTION_MAX);
    if (b.high >= 0) {
        struct schema_bounds open = {.low_open = b.low >= 0 && b.low_open, .high_open = b.high_open};
        expr_list_add(r->b, &l, decimals(r->b, b.low > 0 ? low : zero, high, open, places));
    }
    if (b.low < 0) {
        struct schema_bounds open = {.low_open = b.high <= 0 && b.high_open, .high_open = b.low_open};
        expr_list_add(r->b, &l, negative(r->b, decimals(r->b, b.high < 0 ? high : zero, low, open, places)));
    }
    return expr_choice(r->b, &l);
}

struct expr *schema__decimals(struct schema_reader *r, const struct schema_bounds *b, int places) {
    int64_t low, high;
    if (places > 0) return bounded_decimals(r, *b, places);
    if (!b->has_low && !b->has_high) return jtext_integer(r->b, &r->shared);
    if (!integer_bounds(b, &low, &high))
        return schema__fail(r, ERR_UNSUPPORTED, "a bound with more than %d digits", INTEGER_DIGITS_MAX);
    return low > high ? expr_never(r->b) : integers(r->b, low, high);
}

struct expr *schema__number(struct schema_reader *r, const json_t *schema, bool integer) {
    struct schema_bounds b = read_bounds(r, schema);
    double step = 0;
    if (read_bound(r, schema, "multipleOf", &step)) return schema__multiples(r, &b, step, integer);
    if (!integer && !b.has_low && !b.has_high) return jtext_number(r->b, &r->shared);
    return schema__decimals(r, &b, integer ? 0 : FRACTION_MAX);
}
