#include "model/grammar/tags.h"

#include <jansson.h>
#include <string.h>

#include "model/grammar/gbnf.h"
#include "model/grammar/schema.h"
#include "model/grammar/token_trie.h"

enum { TAGS_MAX = 1024, TRIGGERS_MAX = 64, TRIGGER_BYTES_MAX = 256 };

struct reader {
    struct expr_builder *b;
    const struct grammar_vocabulary *v;
    const json_t *all, *tags, *triggers;
    bool many;
};

/* A text with the keys of control tokens in place of their texts. */
struct key_text {
    uint8_t *bytes;
    size_t len;
};

static struct expr *wrong(const struct reader *r, const char *what) {
    return expr_fail(r->b, ERR_INVALID, "tags: %s", what);
}

/* Of two texts, one behind the other. A text that is not there is empty. */
static struct key_text key_text(const struct reader *r, const json_t *first, const json_t *second) {
    size_t len = json_string_length(first) + json_string_length(second);
    struct key_text k = {arena_alloc(&r->b->arena, len * TOKEN_TRIE_KEY_BYTES + 1), 0};
    char *text = arena_alloc(&r->b->arena, len + 1);
    if (k.bytes == NULL || text == NULL) {
        wrong(r, "a text is too long");
        return (struct key_text){(uint8_t *)text, 0};
    }
    if (first) memcpy(text, json_string_value(first), json_string_length(first));
    if (second) memcpy(text + json_string_length(first), json_string_value(second), json_string_length(second));
    for (size_t at = 0; at < len;) {
        size_t token_len = 0;
        uint32_t token = r->v ? token_trie_control_at(r->v, text + at, len - at, &token_len) : TOKEN_TRIE_NONE;
        if (token != TOKEN_TRIE_NONE) {
            token_trie_control_key(token, k.bytes + k.len);
            k.len += TOKEN_TRIE_KEY_BYTES;
            at += token_len;
        } else {
            k.bytes[k.len++] = (uint8_t)text[at++];
        }
    }
    return k;
}

static struct expr *text_expr(const struct reader *r, const json_t *text) {
    struct key_text k = key_text(r, text, NULL);
    return expr_bytes(r->b, k.bytes, k.len);
}

/* ---- free text until some other text ---- */

/* Aho and Corasick, "Efficient String Matching", 1975: a state is a beginning of some text. */
struct finder {
    uint32_t (*next)[256]; /* [state]; 0 is the empty beginning */
    uint32_t *fail;        /* [state] */
    uint32_t *found;       /* [state] the text that is complete there, + 1 */
    uint32_t count;
};

static void add_text(struct finder *f, struct key_text t, uint32_t number) {
    uint32_t at = 0;
    for (size_t i = 0; i < t.len; i++) {
        uint32_t *next = &f->next[at][t.bytes[i]];
        if (*next == 0) *next = f->count++;
        at = *next;
    }
    if (f->found[at] == 0) f->found[at] = number + 1;
}

/* Complete the transitions, states in order of their length. */
static void link_finder(struct finder *f, uint32_t *queue) {
    uint32_t head = 0, tail = 0;
    queue[tail++] = 0;
    while (head < tail) {
        uint32_t at = queue[head++];
        if (at > 0 && f->found[at] == 0) f->found[at] = f->found[f->fail[at]];
        for (int byte = 0; byte < 256; byte++) {
            uint32_t back = at == 0 ? 0 : f->next[f->fail[at]][byte], to = f->next[at][byte];
            if (to == 0) {
                f->next[at][byte] = back;
            } else {
                f->fail[to] = back;
                queue[tail++] = to;
            }
        }
    }
}

/* A state of the finder as a rule: every byte leads to another state, or behind a text that was found. */
static struct expr *state_expr(const struct reader *r, const struct finder *f, uint32_t at, uint32_t rules,
                               struct expr **behind, bool may_end) {
    struct expr_list l = {0};
    for (int byte = 0, end; byte < 256; byte = end) {
        uint32_t to = f->next[at][byte];
        for (end = byte + 1; end < 256 && f->next[at][end] == to;) end++;
        struct expr *rest = f->found[to] ? behind[f->found[to] - 1] : expr_rule(r->b, rules + to);
        expr_list_add(r->b, &l, expr_join(r->b, 2, expr_range(r->b, (uint8_t)byte, (uint8_t)(end - 1)), rest));
    }
    if (may_end) expr_list_add(r->b, &l, expr_empty(r->b));
    return expr_choice(r->b, &l);
}

/* Free text up to one of the texts: its states, as rules from *rules on, which free_end() defines. NULL: failed. */
static struct finder *free_begin(const struct reader *r, const struct key_text *texts, size_t count, uint32_t *rules) {
    struct arena *arena = &r->b->arena;
    size_t states = 1;
    for (size_t i = 0; i < count; i++) states += texts[i].len;
    struct finder *f = arena_alloc(arena, sizeof *f);
    uint32_t *queue = arena_array(arena, states, sizeof *queue);
    if (f) f->next = arena_array(arena, states, sizeof *f->next);
    if (f) f->fail = arena_array(arena, states, sizeof *f->fail);
    if (f) f->found = arena_array(arena, states, sizeof *f->found);
    if (!f || !queue || !f->next || !f->fail || !f->found) {
        wrong(r, "the texts that end free text are too long");
        return NULL;
    }
    f->count = 1;
    for (size_t i = 0; i < count; i++) add_text(f, texts[i], (uint32_t)i);
    link_finder(f, queue);
    *rules = r->b->rule_count;
    for (uint32_t n = 0; n < f->count; n++) expr_rule_new(r->b, "text");
    return f;
}

/* `behind`: what follows each of the texts. */
static struct expr *free_end(const struct reader *r, const struct finder *f, uint32_t rules, struct expr **behind,
                             bool may_end) {
    for (uint32_t n = 0; n < f->count && !r->b->failed; n++)
        expr_rule_set(r->b, rules + n, state_expr(r, f, n, rules, behind, may_end));
    return expr_rule(r->b, rules);
}

/* Anything up to `close`, and that. */
static struct expr *until(const struct reader *r, const json_t *close) {
    struct key_text text = key_text(r, close, NULL);
    struct expr *behind = expr_empty(r->b);
    uint32_t rules;
    const struct finder *f = text.len > 0 ? free_begin(r, &text, 1, &rules) : NULL;
    if (f) return free_end(r, f, rules, &behind, false);
    return wrong(r, "a text that ends free text is empty");
}

/* ---- one tag ---- */

/* A value as its schema wants it, strings without quotes, and what ends it. */
static struct expr *argument(const struct reader *r, const json_t *root, const json_t *schema, const json_t *end) {
    const json_t *type = json_object_get(schema, "type"), *words = json_object_get(schema, "enum"), *word;
    bool text = json_is_string(type) && strcmp(json_string_value(type), "string") == 0;
    struct expr_list l = {0};
    size_t i;
    if (!text) return expr_join(r->b, 2, schema_read_part(r->b, root, schema), text_expr(r, end));
    if (!json_is_array(words)) return until(r, end);
    json_array_foreach(words, i, word) if (json_is_string(word)) expr_list_add(r->b, &l, text_expr(r, word));
    return expr_join(r->b, 2, expr_choice(r->b, &l), text_expr(r, end));
}

static bool is_required(const json_t *schema, const char *name) {
    const json_t *required = json_object_get(schema, "required"), *item;
    size_t i;
    json_array_foreach(required, i,
                       item) if (json_is_string(item) && strcmp(json_string_value(item), name) == 0) return true;
    return false;
}

static struct expr *arguments(const struct reader *r, const json_t *schema, const json_t *style) {
    struct expr *begin = text_expr(r, json_object_get(style, "begin"));
    struct expr *middle = text_expr(r, json_object_get(style, "middle"));
    struct expr_list l = {0};
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(schema, "properties"), name, value) {
        if (r->b->failed) break;
        struct expr *key = expr_bytes(r->b, name, strlen(name));
        struct expr *rest = argument(r, schema, value, json_object_get(style, "end"));
        struct expr *one = expr_join(r->b, 4, begin, key, middle, rest);
        expr_list_add(r->b, &l, is_required(schema, name) ? one : expr_optional(r->b, one));
    }
    return expr_sequence(r->b, &l);
}

static struct expr *content(const struct reader *r, const json_t *tag) {
    const json_t *gbnf = json_object_get(tag, "gbnf"), *schema = json_object_get(tag, "schema");
    const json_t *args = json_object_get(tag, "arguments"), *style = json_object_get(tag, "style");
    if (json_is_string(gbnf)) return gbnf_read(r->b, json_string_value(gbnf), json_string_length(gbnf), r->v);
    if (schema) return schema_read_part(r->b, schema, schema);
    return args && style ? arguments(r, args, style) : wrong(r, "a tag has neither schema, gbnf nor arguments");
}

static struct expr *tag_rest(const struct reader *r, const json_t *tag) {
    return expr_join(r->b, 2, content(r, tag), text_expr(r, json_object_get(tag, "end")));
}

/* ---- blocks ---- */

/* What follows the first tag of a block, tags being the rule of any tag. */
static struct expr *block_rest(const struct reader *r, uint32_t tags) {
    const json_t *separator = json_object_get(r->all, "separator");
    struct expr *end = text_expr(r, json_object_get(r->all, "end"));
    if (!r->many || separator == NULL) return end;
    struct expr *more = expr_join(r->b, 2, text_expr(r, separator), expr_rule(r->b, tags));
    return expr_join(r->b, 2, expr_repeat(r->b, more, 0, EXPR_UNBOUNDED), end);
}

/* A block from behind the trigger on. */
static struct expr *block_behind(const struct reader *r, struct key_text trigger, struct expr **rests, uint32_t tags) {
    const json_t *begin = json_object_get(r->all, "begin"), *tag;
    struct expr_list l = {0};
    size_t i;
    json_array_foreach(r->tags, i, tag) {
        struct key_text whole = key_text(r, begin, json_object_get(tag, "begin"));
        if (whole.len < trigger.len || memcmp(whole.bytes, trigger.bytes, trigger.len) != 0) continue;
        struct expr *left = expr_bytes(r->b, whole.bytes + trigger.len, whole.len - trigger.len);
        expr_list_add(r->b, &l, expr_join(r->b, 2, left, rests[i]));
    }
    if (l.count == 0) return wrong(r, "a trigger is no block's beginning");
    uint32_t rule = expr_rule_new(r->b, "block");
    expr_rule_set(r->b, rule, expr_join(r->b, 2, expr_choice(r->b, &l), block_rest(r, tags)));
    return expr_rule(r->b, rule);
}

static struct expr *with_triggers(const struct reader *r, struct expr **rests, uint32_t tags) {
    struct key_text texts[TRIGGERS_MAX];
    struct expr *first[TRIGGERS_MAX], *again[TRIGGERS_MAX];
    size_t i, count = json_array_size(r->triggers);
    const json_t *trigger;
    uint32_t rules, later;
    bool required = json_is_true(json_object_get(r->all, "required"));
    json_array_foreach(r->triggers, i, trigger) texts[i] = key_text(r, trigger, NULL);
    const struct finder *f = free_begin(r, texts, count, &rules), *g = f ? free_begin(r, texts, count, &later) : NULL;
    if (g == NULL) return expr_never(r->b);
    struct expr *then = r->many ? expr_rule(r->b, later) : expr_empty(r->b);
    for (i = 0; i < count; i++) first[i] = again[i] = expr_join(r->b, 2, block_behind(r, texts[i], rests, tags), then);
    free_end(r, g, later, again, true);
    return free_end(r, f, rules, first, !required);
}

static struct expr *blocks(const struct reader *r) {
    struct expr **rests = arena_array(&r->b->arena, json_array_size(r->tags), sizeof(struct expr *));
    struct expr_list l = {0};
    uint32_t tags = expr_rule_new(r->b, "tag");
    size_t i;
    const json_t *tag;
    if (rests == NULL) return expr_fail(r->b, ERR_NOMEM, "out of memory");
    json_array_foreach(r->tags, i, tag) {
        if (r->b->failed) break;
        uint32_t rule = expr_rule_new(r->b, "content");
        expr_rule_set(r->b, rule, tag_rest(r, tag));
        rests[i] = expr_rule(r->b, rule);
        expr_list_add(r->b, &l, expr_join(r->b, 2, text_expr(r, json_object_get(tag, "begin")), rests[i]));
    }
    if (r->b->failed) return expr_never(r->b);
    expr_rule_set(r->b, tags, expr_choice(r->b, &l));
    if (json_array_size(r->triggers) > 0) return with_triggers(r, rests, tags);
    return expr_join(r->b, 3, text_expr(r, json_object_get(r->all, "begin")), expr_rule(r->b, tags),
                     block_rest(r, tags));
}

/* ---- all ---- */

static struct expr *thoughts(const struct reader *r, const json_t *given) {
    struct expr *lines = expr_repeat(r->b, expr_text(r->b, "\n"), 0, 2);
    struct expr *rest = expr_join(r->b, 2, until(r, json_object_get(given, "close")), lines);
    if (json_is_true(json_object_get(given, "opened"))) return rest;
    return expr_optional(r->b, expr_join(r->b, 2, text_expr(r, json_object_get(given, "open")), rest));
}

static bool are_texts(const json_t *object, const char *const *keys, bool needed) {
    for (; *keys; keys++) {
        const json_t *value = json_object_get(object, *keys);
        if (value ? !json_is_string(value) : needed) return false;
    }
    return true;
}

static const char *check(const struct reader *r) {
    static const char *const block[] = {"begin", "separator", "end", NULL}, *const tag[] = {"begin", "end", NULL};
    static const char *const style[] = {"begin", "middle", "end", NULL}, *const thought[] = {"open", "close", NULL};
    const json_t *item, *given = json_object_get(r->all, "thoughts");
    size_t i;
    if (!are_texts(r->all, block, false)) return "\"begin\", \"separator\" and \"end\" must be texts";
    if (given && !are_texts(given, thought, true)) return "\"thoughts\" need the texts \"open\" and \"close\"";
    if (!json_is_array(r->tags) || json_array_size(r->tags) == 0 || json_array_size(r->tags) > TAGS_MAX)
        return "\"tags\" must be an array of 1 to 1024";
    json_array_foreach(r->tags, i, item) {
        const json_t *its = json_object_get(item, "style");
        if (!are_texts(item, tag, true)) return "a tag needs the texts \"begin\" and \"end\"";
        if (its && !are_texts(its, style, true)) return "a style needs the texts \"begin\", \"middle\" and \"end\"";
    }
    if (r->triggers && (!json_is_array(r->triggers) || json_array_size(r->triggers) > TRIGGERS_MAX))
        return "\"triggers\" must be an array of at most 64 texts";
    json_array_foreach(r->triggers, i,
                       item) if (json_string_length(item) == 0 ||
                                 json_string_length(item) >
                                     TRIGGER_BYTES_MAX) return "a trigger must be a text of 1 to 256 bytes";
    return NULL;
}

struct expr *tags_read(struct expr_builder *b, const char *text, size_t len, const struct grammar_vocabulary *v) {
    json_error_t why;
    json_t *all = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (all == NULL) return expr_fail(b, ERR_INVALID, "tags: not valid JSON: %s", why.text);
    struct reader r = {b,
                       v,
                       all,
                       json_object_get(all, "tags"),
                       json_object_get(all, "triggers"),
                       json_is_true(json_object_get(all, "many"))};
    const json_t *given = json_object_get(all, "thoughts");
    const char *what = check(&r);
    struct expr *e = what ? wrong(&r, what) : blocks(&r);
    if (!b->failed && given) e = expr_join(b, 2, thoughts(&r, given), e);
    json_decref(all);
    return e;
}
