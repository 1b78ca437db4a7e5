#include "model/tokenizer/splitter.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/arena.h"
#include "base/size.h"
#include "model/tokenizer/utf8.h"

enum {
    STAGES_MAX = 8,
    ALTERNATIVES_MAX = 32,
    SETS_MAX = 64,
    RANGES_MAX = 512,
    ITEMS_MAX = 32,
    BMP = 0x10000,
    UNLIMITED = INT32_MAX
};

struct range {
    uint32_t first, last;
    uint64_t set; /* its bit */
};

struct ranges {
    struct range at[RANGES_MAX];
    size_t count;
};

enum item_kind { ITEM_DONE, ITEM_SET, ITEM_AHEAD, ITEM_NOT_AHEAD, ITEM_END, ITEM_GROUP };

struct item {
    enum item_kind kind;
    uint64_t set;
    int32_t min, max;
    struct alternative *group;
};

struct alternative {
    struct item *items; /* ended by ITEM_DONE */
    uint64_t first;     /* the sets that it can begin with */
    struct alternative *next;
};

enum stage_kind { STAGE_EXPRESSION, STAGE_THREES, STAGE_THREES_BEHIND };

struct stage {
    enum stage_kind kind;
    struct alternative *alternatives;
};

struct written {
    const char *at;
    size_t len;
};

struct splitter {
    struct stage stages[STAGES_MAX];
    size_t stage_count, set_count;
    struct written written[SETS_MAX]; /* the sets as they stand in the expressions */
    uint64_t of_category[32];         /* sets that hold the characters of a utf8proc_category_t */
    struct ranges included, excluded; /* before and after negation */
    uint64_t negated;                 /* sets that are */
    uint64_t members[BMP];            /* the sets that hold a character */
    struct arena arena;               /* items and alternatives */
    bool failed;                      /* no memory */
};

/* ---- sets ---- */

static void fill_ranges(const struct ranges *ranges, uint32_t first, uint32_t count, uint64_t *members, bool value) {
    for (const struct range *r = ranges->at; r < ranges->at + ranges->count; r++)
        for (uint32_t c = r->first > first ? r->first : first; c <= r->last && c - first < count; c++)
            members[c - first] = value ? members[c - first] | r->set : members[c - first] & ~r->set;
}

/* The sets that hold each of the characters first .. first + count - 1. */
static void fill(const struct splitter *s, uint32_t first, uint32_t count, uint64_t *members) {
    for (uint32_t i = 0; i < count; i++) members[i] = s->of_category[utf8proc_category((utf8proc_int32_t)(first + i))];
    fill_ranges(&s->included, first, count, members, true);
    for (uint32_t i = 0; i < count; i++) members[i] ^= s->negated;
    fill_ranges(&s->excluded, first, count, members, false);
}

static inline uint64_t members_next(const struct splitter *s, const char **at) {
    uint32_t c = utf8_next(at);
    uint64_t members;
    if (c < BMP) return s->members[c];
    fill(s, c, 1, &members);
    return members;
}

/* ---- reading expressions ---- */

static void add_range(struct ranges *ranges, uint32_t first, uint32_t last, uint64_t set) {
    assert(ranges->count < RANGES_MAX && first <= last);
    ranges->at[ranges->count++] = (struct range){first, last, set};
}

/* Unicode's property White_Space. */
static void add_space(struct ranges *ranges, uint64_t set) {
    static const uint32_t spaces[][2] = {{0x09, 0x0d},     {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},
                                         {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
                                         {0x205f, 0x205f}, {0x3000, 0x3000}};
    for (size_t i = 0; i < ARRAY_LEN(spaces); i++) add_range(ranges, spaces[i][0], spaces[i][1], set);
}

/* `\p{L}`, `\p{Lu}`: the at is behind the `p`. */
static void add_property(struct splitter *s, const char **at, uint64_t set) {
    static const char names[][3] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd",
                                    "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
                                    "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};
    const char *name = *at + 1;
    size_t len = strcspn(name, "}");
    assert(**at == '{' && (len == 1 || len == 2));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (memcmp(names[i], name, len) == 0) s->of_category[i] |= set;
    *at = name + len + 1;
}

/* The character that `\x` stands for, where it is a character. */
static uint32_t escaped(char c) { return c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : (unsigned char)c; }

/* What stands behind a backslash. */
static void add_escape(struct splitter *s, const char **at, struct ranges *ranges, uint64_t set) {
    char c = *(*at)++;
    if (c == 'p')
        add_property(s, at, set);
    else if (c == 's')
        add_space(ranges, set);
    else if (c == 'd')
        add_range(ranges, '0', '9', set);
    else
        add_range(ranges, escaped(c), escaped(c), set);
}

/* One member of `[...]`: a class, a character or a range. */
static void read_member(struct splitter *s, const char **at, struct ranges *ranges, uint64_t set) {
    if (**at == '\\' && strchr("psd", (*at)[1])) {
        (*at)++;
        add_escape(s, at, ranges, set);
        return;
    }
    uint32_t first = utf8_next(at);
    if (first == '\\') first = escaped(*(*at)++);
    uint32_t last = first;
    if (**at == '-' && (*at)[1] != ']') {
        (*at)++;
        last = utf8_next(at);
    }
    add_range(ranges, first, last, set);
}

/* `[...]`, `[^...]`, `[...&&[^...]]`; the at is behind the bracket. */
static void read_brackets(struct splitter *s, const char **at, uint64_t set) {
    if (**at == '^') {
        s->negated |= set;
        (*at)++;
    }
    while (**at != ']') {
        if (strncmp(*at, "&&[^", 4) != 0) {
            read_member(s, at, &s->included, set);
            continue;
        }
        for (*at += 4; **at != ']';) read_member(s, at, &s->excluded, set);
        (*at)++;
    }
    (*at)++;
}

/* A set, a class or a single character. */
static void read_set(struct splitter *s, const char **at, uint64_t set) {
    uint32_t c = utf8_next(at);
    if (c == '[') {
        read_brackets(s, at, set);
    } else if (c != '\\') {
        add_range(&s->included, c, c, set);
    } else if (**at == 'S') {
        (*at)++;
        add_space(&s->included, set);
        s->negated |= set;
    } else {
        add_escape(s, at, &s->included, set);
    }
}

/* Bytes of the set that is written at `at`. */
static size_t written_len(const char *at) {
    const char *end = at;
    if (*at == '\\') return at[1] == 'p' ? strcspn(at, "}") + 1 : 2;
    if (*at != '[') return utf8_next(&end), (size_t)(end - at);
    for (end++; *end != ']';) end += *end == '\\' || *end == '[' ? written_len(end) : 1;
    return (size_t)(end + 1 - at);
}

/* The bit of the set at *at: the same for the same text. */
static uint64_t set_of(struct splitter *s, const char **at) {
    struct written text = {*at, written_len(*at)};
    for (size_t i = 0; i < s->set_count; i++) {
        if (s->written[i].len != text.len || memcmp(s->written[i].at, text.at, text.len) != 0) continue;
        *at += text.len;
        return 1ull << i;
    }
    assert(s->set_count < SETS_MAX);
    s->written[s->set_count] = text;
    read_set(s, at, 1ull << s->set_count);
    assert(*at == text.at + text.len);
    return 1ull << s->set_count++;
}

static bool skip(const char **at, const char *text) {
    size_t len = strlen(text);
    if (strncmp(*at, text, len) != 0) return false;
    *at += len;
    return true;
}

static void read_counts(const char **at, struct item *item) {
    char *end;
    item->min = item->max = (int32_t)strtol(*at, &end, 10);
    if (*end == ',') item->max = (int32_t)strtol(end + 1, &end, 10);
    assert(*end == '}');
    *at = end + 1;
}

static void read_quantifier(const char **at, struct item *item) {
    item->min = item->max = 1;
    if (skip(at, "?"))
        item->min = 0;
    else if (skip(at, "*"))
        item->min = 0, item->max = UNLIMITED;
    else if (skip(at, "+"))
        item->max = UNLIMITED;
    else if (skip(at, "{"))
        read_counts(at, item);
}

static struct alternative *read_alternatives(struct splitter *s, const char **at);

static struct item read_look(struct splitter *s, const char **at, enum item_kind kind) {
    struct item item = {.kind = kind, .set = set_of(s, at)};
    bool closed = skip(at, ")");
    assert(closed);
    return item;
}

static struct item read_item(struct splitter *s, const char **at) {
    struct item item = {.kind = ITEM_SET};
    if (skip(at, "(?=")) return read_look(s, at, ITEM_AHEAD);
    if (skip(at, "(?!")) return read_look(s, at, ITEM_NOT_AHEAD);
    if (skip(at, "$")) return (struct item){.kind = ITEM_END};
    if (skip(at, "(?:") || skip(at, "(")) {
        item.kind = ITEM_GROUP;
        item.group = read_alternatives(s, at);
        bool closed = skip(at, ")");
        assert(closed);
    } else {
        item.set = set_of(s, at);
    }
    read_quantifier(at, &item);
    return item;
}

/* The sets that a sequence can begin with: all up to the first that must be there. */
static uint64_t first_of(const struct item *item) {
    uint64_t first = 0;
    for (; item->kind != ITEM_DONE; item++) {
        if (item->kind == ITEM_SET) first |= item->set;
        for (const struct alternative *a = item->group; item->kind == ITEM_GROUP && a; a = a->next) first |= a->first;
        if (item->min > 0) break;
    }
    return first;
}

static struct alternative *read_sequence(struct splitter *s, const char **at) {
    struct item items[ITEMS_MAX];
    size_t count = 0;
    while (**at && **at != '|' && **at != ')') {
        assert(count < ITEMS_MAX - 1 && (count == 0 || items[count - 1].kind != ITEM_GROUP));
        items[count++] = read_item(s, at);
    }
    items[count++] = (struct item){.kind = ITEM_DONE};
    struct alternative *a = arena_alloc(&s->arena, sizeof *a);
    if (a) a->items = arena_array(&s->arena, count, sizeof *items);
    if (a == NULL || a->items == NULL) return s->failed = true, NULL;
    memcpy(a->items, items, count * sizeof *items);
    a->first = first_of(a->items);
    return a;
}

static struct alternative *read_alternatives(struct splitter *s, const char **at) {
    struct alternative *first = NULL, **last = &first;
    size_t count = 0;
    do {
        *last = read_sequence(s, at);
        count++;
        assert(count <= ALTERNATIVES_MAX);
        if (*last == NULL) return first;
        last = &(*last)->next;
    } while (skip(at, "|"));
    return first;
}

static void add_stage(struct splitter *s, const char *expression) {
    assert(s->stage_count < STAGES_MAX);
    struct stage *stage = &s->stages[s->stage_count++];
    if (strcmp(expression, SPLITTER_THREES) == 0) {
        stage->kind = STAGE_THREES;
    } else if (strcmp(expression, SPLITTER_THREES_BEHIND) == 0) {
        stage->kind = STAGE_THREES_BEHIND;
    } else {
        stage->alternatives = read_alternatives(s, &expression);
        assert(s->failed || *expression == '\0');
    }
}

struct splitter *splitter_new(const char *const *expressions) {
    struct splitter *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    for (; *expressions && !s->failed; expressions++) add_stage(s, *expressions);
    fill(s, 0, BMP, s->members);
    if (!s->failed) return s;
    splitter_free(s);
    return NULL;
}

void splitter_free(struct splitter *s) {
    if (s) arena_deinit(&s->arena);
    free(s);
}

/* ---- matching ---- */

struct subject {
    const struct splitter *splitter;
    const char *end;
    const char *hopeless[ALTERNATIVES_MAX]; /* up to here the alternative of that number need not be tried again */
};

static const char *match_items(const struct subject *s, const struct item *item, const char *at);

static bool stands(const struct subject *s, const char *at, uint64_t set) {
    return at < s->end && (members_next(s->splitter, &at) & set) != 0;
}

/* As many as there are, then fewer until the rest matches too. */
static const char *match_set(const struct subject *s, const struct item *item, const char *at) {
    int32_t count = 0;
    while (count < item->max && at < s->end) {
        const char *next = at;
        if ((members_next(s->splitter, &next) & item->set) == 0) break;
        at = next;
        count++;
    }
    if (item[1].kind == ITEM_DONE) return count >= item->min ? at : NULL;
    for (; count >= item->min; count--, at = utf8_back(at)) {
        const char *end = match_items(s, item + 1, at);
        if (end || count == 0) return end;
    }
    return NULL;
}

static const char *match_any(const struct subject *s, const struct alternative *a, const char *at, uint64_t members) {
    for (; a; a = a->next) {
        const char *end = a->first & members ? match_items(s, a->items, at) : NULL;
        if (end) return end;
    }
    return NULL;
}

static const char *skip_set(const struct subject *s, uint64_t set, const char *at) {
    for (const char *next = at; next < s->end && members_next(s->splitter, &next) & set;) at = next;
    return at;
}

/* The same for the alternatives of a stage. One that begins with an endless repetition and fails would fail at every
 * later place of that run too: without this, long runs would take the square of their length. */
static const char *match_stage(struct subject *s, const struct alternative *a, const char *at, uint64_t members) {
    for (size_t i = 0; a; a = a->next, i++) {
        if ((a->first & members) == 0 || at < s->hopeless[i]) continue;
        const char *end = match_items(s, a->items, at);
        if (end) return end;
        if (a->items->kind == ITEM_SET && a->items->max == UNLIMITED) s->hopeless[i] = skip_set(s, a->items->set, at);
    }
    return NULL;
}

static const char *match_group(const struct subject *s, const struct item *item, const char *at) {
    int32_t count = 0;
    while (count < item->max && at < s->end) {
        const char *next = at, *end = match_any(s, item->group, at, members_next(s->splitter, &next));
        if (end == NULL) break;
        at = end;
        count++;
    }
    return count >= item->min ? at : NULL;
}

/* The end of the sequence from `item` on when it begins at `at`, or NULL. */
static const char *match_items(const struct subject *s, const struct item *item, const char *at) {
    for (;; item++) {
        switch (item->kind) {
        case ITEM_DONE: return at;
        case ITEM_SET: return match_set(s, item, at);
        case ITEM_GROUP: return match_group(s, item, at);
        case ITEM_AHEAD:
            if (!stands(s, at, item->set)) return NULL;
            break;
        case ITEM_NOT_AHEAD:
            if (stands(s, at, item->set)) return NULL;
            break;
        case ITEM_END:
            if (at < s->end) return NULL;
            break;
        }
    }
}

/* ---- splitting ---- */

struct run {
    const struct splitter *splitter;
    splitter_word *word;
    void *context;
};

static int split(const struct run *r, size_t stage, const char *begin, const char *end);

static int split_expression(const struct run *r, size_t stage, const char *begin, const char *end) {
    struct subject subject = {r->splitter, end, {NULL}};
    const char *done = begin;
    int rc = 0;
    for (const char *at = begin; at < end && rc == 0;) {
        const char *next = at;
        uint64_t members = members_next(r->splitter, &next);
        const char *found = match_stage(&subject, r->splitter->stages[stage].alternatives, at, members);
        if (found == NULL || found == at) {
            at = next;
            continue;
        }
        if (at > done) rc = split(r, stage + 1, done, at);
        if (rc == 0) rc = split(r, stage + 1, at, found);
        done = at = found;
    }
    return rc == 0 && end > done ? split(r, stage + 1, done, end) : rc;
}

/* Digits: ASCII ones, or whatever is a number. */
static bool is_digit(uint32_t c, bool any) {
    if (!any || c < 0x80) return c >= '0' && c <= '9';
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
}

/* The end of the digits that begin at `at`; *count of them. */
static const char *skip_digits(const char *at, const char *end, bool any, size_t *count) {
    for (*count = 0; at < end; ++*count) {
        const char *next = at;
        if (!is_digit(utf8_next(&next), any)) break;
        at = next;
    }
    return at;
}

/* Cuts so that threes are left: in front of each, or behind the rest and each three. */
static int split_threes(const struct run *r, size_t stage, const char *begin, const char *end) {
    bool behind = r->splitter->stages[stage].kind == STAGE_THREES_BEHIND;
    const char *done = begin;
    int rc = 0;
    for (const char *at = begin; at < end && rc == 0;) {
        size_t count;
        skip_digits(at, end, behind, &count);
        for (; count > 0 && rc == 0; count--) {
            if (!behind && count % 3 == 0 && at > done) rc = split(r, stage + 1, done, at), done = at;
            utf8_next(&at);
            if (behind && count % 3 == 1 && rc == 0) rc = split(r, stage + 1, done, at), done = at;
        }
        if (at < end) utf8_next(&at);
    }
    return rc == 0 && end > done ? split(r, stage + 1, done, end) : rc;
}

static int split(const struct run *r, size_t stage, const char *begin, const char *end) {
    if (stage == r->splitter->stage_count) return r->word(r->context, begin, (size_t)(end - begin));
    bool expression = r->splitter->stages[stage].kind == STAGE_EXPRESSION;
    return expression ? split_expression(r, stage, begin, end) : split_threes(r, stage, begin, end);
}

int splitter_run(const struct splitter *s, const char *text, size_t len, splitter_word *word, void *context) {
    struct run r = {s, word, context};
    return len > 0 ? split(&r, 0, text, text + len) : 0;
}
