#include "model/grammar/expr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/utf8.h"

static struct expr never = {.type = EXPR_NEVER};

void expr_builder_init(struct expr_builder *b, struct error *error) {
    *b = (struct expr_builder){.arena.used_max = EXPR_ARENA_BYTES_MAX, .error = error};
}

void expr_builder_deinit(struct expr_builder *b) {
    arena_deinit(&b->arena);
    free(b->rules);
}

struct expr *expr_fail(struct expr_builder *b, int code, const char *format, ...) {
    if (b->failed) return &never;
    char text[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    b->failed = true;
    error_set(b->error, code, "%s", text);
    return &never;
}

static void *take(struct expr_builder *b, size_t count, size_t size) {
    void *memory = b->failed ? NULL : arena_array(&b->arena, count, size);
    if (memory == NULL) expr_fail(b, ERR_LIMIT, "the grammar is too large");
    return memory;
}

static struct expr *new_expr(struct expr_builder *b, struct expr value) {
    struct expr *e = take(b, 1, sizeof *e);
    if (e == NULL) return &never;
    *e = value;
    return e;
}

struct expr *expr_never(struct expr_builder *b) {
    return &never;
}

struct expr *expr_empty(struct expr_builder *b) {
    return new_expr(b, (struct expr){.type = EXPR_SEQUENCE});
}

struct expr *expr_text(struct expr_builder *b, const char *text) {
    return new_expr(b, (struct expr){.type = EXPR_BYTES, .bytes = (const uint8_t *)text, .count = strlen(text)});
}

struct expr *expr_bytes(struct expr_builder *b, const void *data, size_t len) {
    void *copy = take(b, len + 1, 1);
    if (copy == NULL) return &never;
    if (len > 0) memcpy(copy, data, len);
    return new_expr(b, (struct expr){.type = EXPR_BYTES, .bytes = copy, .count = len});
}

struct expr *expr_range(struct expr_builder *b, uint8_t first, uint8_t last) {
    return new_expr(b, (struct expr){.type = EXPR_RANGE, .min = first, .max = last});
}

struct expr *expr_repeat(struct expr_builder *b, struct expr *e, uint32_t min, uint32_t max) {
    struct expr **part = take(b, 1, sizeof(struct expr *));
    if (part == NULL) return &never;
    part[0] = e;
    return new_expr(b, (struct expr){.type = EXPR_REPEAT, .min = min, .max = max, .parts = part, .count = 1});
}

struct expr *expr_optional(struct expr_builder *b, struct expr *e) {
    return expr_repeat(b, e, 0, 1);
}

void expr_list_add(struct expr_builder *b, struct expr_list *l, struct expr *e) {
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 4;
        struct expr **grown = take(b, capacity, sizeof(struct expr *));
        if (grown == NULL) return;
        if (l->count > 0) memcpy(grown, l->at, l->count * sizeof(struct expr *));
        l->at = grown;
        l->capacity = capacity;
    }
    l->at[l->count++] = e;
}

static struct expr *of_parts(struct expr_builder *b, enum expr_type type, const struct expr_list *l) {
    if (l->count == 1) return l->at[0];
    return new_expr(b, (struct expr){.type = type, .parts = l->at, .count = l->count});
}

struct expr *expr_sequence(struct expr_builder *b, const struct expr_list *l) {
    return of_parts(b, EXPR_SEQUENCE, l);
}

struct expr *expr_choice(struct expr_builder *b, const struct expr_list *l) {
    return l->count == 0 ? &never : of_parts(b, EXPR_CHOICE, l);
}

struct expr *expr_join(struct expr_builder *b, size_t count, ...) {
    struct expr_list l = {0};
    va_list args;
    va_start(args, count);
    while (count-- > 0) expr_list_add(b, &l, va_arg(args, struct expr *));
    va_end(args);
    return expr_sequence(b, &l);
}

struct expr *expr_either(struct expr_builder *b, struct expr *x, struct expr *y) {
    struct expr_list l = {0};
    expr_list_add(b, &l, x);
    expr_list_add(b, &l, y);
    return expr_choice(b, &l);
}

struct expr *expr_states(struct expr_builder *b, const struct expr_state *states, uint32_t count) {
    if (count > EXPR_STATES_MAX - b->state_count)
        return expr_fail(b, ERR_LIMIT, "the grammar has automata of more than %d states", EXPR_STATES_MAX);
    struct expr_state *own = take(b, count, sizeof *own);
    if (own == NULL) return &never;
    memcpy(own, states, count * sizeof *own);
    b->state_count += count;
    return new_expr(b, (struct expr){.type = EXPR_STATES, .states = own, .count = count});
}

/* ---- sets of characters ---- */

static int compare_chars(const void *a, const void *b) {
    const struct expr_chars *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

size_t expr_chars_sort(struct expr_chars *set, size_t count) {
    size_t kept = 0;
    if (count > 0) qsort(set, count, sizeof *set, compare_chars);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && set[i].first <= set[kept - 1].last + 1) {
            if (set[i].last > set[kept - 1].last) set[kept - 1].last = set[i].last;
        } else {
            set[kept++] = set[i];
        }
    }
    return kept;
}

size_t expr_chars_invert(const struct expr_chars *sorted, size_t count, struct expr_chars *out) {
    uint32_t next = 0;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (sorted[i].first > next) out[kept++] = (struct expr_chars){next, sorted[i].first - 1};
        next = sorted[i].last + 1;
    }
    if (next <= EXPR_CHAR_MAX) out[kept++] = (struct expr_chars){next, EXPR_CHAR_MAX};
    return kept;
}

/* Code points of one encoded length, where every byte is a range of its own. */
static struct expr *plain_range(struct expr_builder *b, uint32_t first, uint32_t last) {
    char from[4], to[4];
    size_t len = utf8_put(first, from);
    struct expr_list l = {0};
    utf8_put(last, to);
    for (size_t i = 0; i < len; i++) expr_list_add(b, &l, expr_range(b, (uint8_t)from[i], (uint8_t)to[i]));
    return expr_sequence(b, &l);
}

/* Cut [first, last] where the encoding gets longer, around the surrogates, and where low bits do not cover their byte.
 * As in Russ Cox: "Regular Expression Matching in the Wild", 2010. */
static void add_range(struct expr_builder *b, struct expr_list *l, uint32_t first, uint32_t last) {
    static const uint32_t ends[] = {0x7f, 0x7ff, 0xd7ff, 0xdfff, 0xffff};
    if (first > last || (first >= 0xd800 && last <= 0xdfff)) return;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (first <= ends[i] && last > ends[i]) {
            add_range(b, l, first, ends[i]);
            add_range(b, l, ends[i] + 1, last);
            return;
        }
    for (uint32_t low = 0x3f; first >= 0x80 && low < 0x200000; low = low << 6 | 0x3f) {
        if ((first & ~low) == (last & ~low)) break;
        uint32_t cut = (first & low) != 0 ? first | low : (last & low) != low ? (last & ~low) - 1 : 0;
        if (cut == 0) continue;
        add_range(b, l, first, cut);
        add_range(b, l, cut + 1, last);
        return;
    }
    expr_list_add(b, l, plain_range(b, first, last));
}

struct expr *expr_chars(struct expr_builder *b, const struct expr_chars *set, size_t count) {
    struct expr_list l = {0};
    for (size_t i = 0; i < count; i++) add_range(b, &l, set[i].first, set[i].last);
    return expr_choice(b, &l);
}

/* ---- many words ---- */

static int compare_words(const void *a, const void *b) {
    const struct expr_word *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* The sorted words from their byte `at` on, which all have the bytes before it in common. */
static struct expr *words_from(struct expr_builder *b, const struct expr_word *words, size_t count, size_t at) {
    size_t common = at;
    const struct expr_word *last = &words[count - 1];
    while (common < words->len && common < last->len && words->text[common] == last->text[common]) common++;
    struct expr *beginning = expr_bytes(b, words->text + at, common - at);
    struct expr_list l = {0};
    size_t i = 0;
    while (i < count && words[i].len == common) i++;
    if (i > 0) expr_list_add(b, &l, expr_empty(b));
    while (i < count && !b->failed) {
        size_t begin = i;
        while (i < count && words[i].text[common] == words[begin].text[common]) i++;
        expr_list_add(b, &l, words_from(b, words + begin, i - begin, common));
    }
    return expr_join(b, 2, beginning, expr_choice(b, &l));
}

void expr_words_sort(struct expr_word *words, size_t count) {
    if (count > 0) qsort(words, count, sizeof *words, compare_words);
}

struct expr *expr_words(struct expr_builder *b, struct expr_word *words, size_t count) {
    if (count == 0) return &never;
    expr_words_sort(words, count);
    return words_from(b, words, count, 0);
}

/* ---- rules ---- */

uint32_t expr_rule_new(struct expr_builder *b, const char *name) {
    if (b->rule_count == EXPR_RULES_MAX) expr_fail(b, ERR_LIMIT, "the grammar has more than %d rules", EXPR_RULES_MAX);
    if (b->rule_count == b->rule_capacity && !b->failed) {
        uint32_t capacity = b->rule_capacity ? 2 * b->rule_capacity : 16;
        struct expr_rule *grown = realloc(b->rules, capacity * sizeof *grown);
        if (grown == NULL) expr_fail(b, ERR_NOMEM, "out of memory");
        if (grown) b->rules = grown, b->rule_capacity = capacity;
    }
    if (b->failed) return 0;
    b->rules[b->rule_count] = (struct expr_rule){.name = name};
    return b->rule_count++;
}

void expr_rule_set(struct expr_builder *b, uint32_t rule, struct expr *body) {
    if (rule < b->rule_count) b->rules[rule].body = body;
}

struct expr *expr_rule(struct expr_builder *b, uint32_t rule) {
    return new_expr(b, (struct expr){.type = EXPR_RULE, .min = rule});
}
