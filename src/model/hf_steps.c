/* How tokenizer.json prepares a text, as steps of this program's own (tokenizer/steps.h, tokenizer/normal.h). */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/text.h"
#include "model/hf_private.h"
#include "model/tokenizer/vocabulary.h"

enum { STEPS_MAX = 16 };

/* White space is Unicode's property; PCRE2's \s has U+180E too. */
#define WHITE "\\t-\\r\\x{85}\\p{Z}"
/* Oniguruma's \w: letters of all kinds, marks, decimal numbers, what connects. */
#define WORD                                                                                                           \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24B6}-\\x{24E9}"                                                             \
    "\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}"
#define GPT2                                                                                                           \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" WHITE "\\p{L}\\p{N}]+|[" WHITE "]+(?![^" WHITE "])|[" WHITE "]+"
#define PUNCTUATION "[!-/:-@\\[-`{-~\\p{P}]"

struct list {
    struct text texts[STEPS_MAX];
    size_t count;
    bool raw;   /* spaces are U+2581 in the file, and spaces to steps */
    bool bytes; /* from here on characters stand for bytes, as soon as there is another step */
    struct error *error;
};

static int refuse(struct list *l, const char *what, const json_t *step) {
    const char *type = json_string_value(json_object_get(step, "type"));
    return error_set(l->error, ERR_UNSUPPORTED, "tokenizer.json: its %s %.60s is not supported", what,
                     type ? type : "without a type");
}

static int add(struct list *l, const char *text) {
    bool bytes = l->bytes;
    l->bytes = false;
    if (bytes) {
        int rc = add(l, "bytes");
        if (rc < 0) return rc;
    }
    if (l->count == STEPS_MAX)
        return error_set(l->error, ERR_LIMIT, "tokenizer.json has more than %d steps", STEPS_MAX);
    text_add_str(&l->texts[l->count++], text);
    return 0;
}

static void deinit(struct list *l) {
    for (size_t i = 0; i < l->count; i++) text_deinit(&l->texts[i]);
}

static int write(struct list *l, const char *key, struct gguf_writer *w) {
    gguf_write_array(w, key, GGUF_STRING, l->count);
    for (size_t i = 0; i < l->count; i++) {
        if (l->texts[i].failed) return error_set(l->error, ERR_NOMEM, "out of memory");
        gguf_write_item_str(w, text_str(&l->texts[i]), l->texts[i].len);
    }
    return 0;
}

/* ---- expressions: Oniguruma's syntax to PCRE2's ---- */

/* One that begins with a backslash; returns its bytes. */
static size_t add_escape(struct text *out, const char *at, bool in_set) {
    static const struct {
        char letter;
        const char *set, *alone;
    } classes[] = {{'s', WHITE, "[" WHITE "]"},
                   {'S', NULL, "[^" WHITE "]"},
                   {'w', WORD, "[" WORD "]"},
                   {'W', NULL, "[^" WORD "]"},
                   {'h', "0-9A-Fa-f", "[0-9A-Fa-f]"},
                   {'H', NULL, "[^0-9A-Fa-f]"}};
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        const char *to = in_set ? classes[i].set : classes[i].alone;
        if (at[1] != classes[i].letter || to == NULL) continue;
        text_add_str(out, to);
        return 2;
    }
    if (at[1] == 'u' && strspn(at + 2, "0123456789abcdefABCDEF") >= 4) {
        text_printf(out, "\\x{%.4s}", at + 2);
        return 6;
    }
    size_t len = at[1] ? 2 : 1;
    text_add(out, at, len);
    return len;
}

/* A set within a set is a part of it, unless it is negated; what only its intersection with another leaves is not
 * supported. False for those two. */
static bool add_set_char(struct text *out, const char **at, size_t *depth) {
    const char *end = **at == '[' && (*at)[1] == ':' ? strstr(*at, ":]") : NULL;
    if (end) {
        text_add(out, *at, (size_t)(end + 2 - *at));
        *at = end + 2;
        return true;
    }
    if (strncmp(*at, "&&", 2) == 0 || strncmp(*at, "[^", 2) == 0) return false;
    if (**at == '[')
        ++*depth;
    else if (**at == ']')
        --*depth;
    else
        text_add(out, *at, 1);
    if (*depth == 0) text_add(out, "]", 1);
    ++*at;
    return true;
}

static bool add_expression(struct text *out, const char *at) {
    size_t depth = 0; /* of sets */
    while (*at) {
        if (*at == '\\') {
            at += add_escape(out, at, depth > 0);
        } else if (depth > 0) {
            if (!add_set_char(out, &at, &depth)) return false;
        } else if (*at == '[') {
            size_t len = at[1] == '^' ? 2 : 1;
            text_add(out, at, len);
            at += len;
            depth = 1;
            if (*at == ']') { /* the first one is a character */
                text_add_str(out, "\\]");
                at++;
            }
        } else {
            text_add(out, at, 1);
            at++;
        }
    }
    return depth == 0;
}

static void add_literal(struct text *out, const char *at) {
    for (; *at; at++) {
        if (strchr("\\^$.|?*+()[]{}", *at)) text_add(out, "\\", 1);
        text_add(out, at, 1);
    }
}

/* ---- pre-tokenizers ---- */

static int add_split(struct list *l, const json_t *step, const char *otherwise) {
    static const struct {
        const char *name, *behaviour;
    } behaviours[] = {{"Isolated", "isolated "},
                      {"Removed", "removed "},
                      {"MergedWithPrevious", "previous "},
                      {"MergedWithNext", "next "},
                      {"Contiguous", "contiguous "}};
    const json_t *pattern = json_object_get(step, "pattern");
    const char *behaviour = json_string_value(json_object_get(step, "behavior"));
    const char *expression = json_string_value(json_object_get(pattern, "Regex"));
    const char *literal = json_string_value(json_object_get(pattern, "String"));
    size_t i = 0;
    while (behaviour && i < ARRAY_LEN(behaviours) && strcmp(behaviours[i].name, behaviour) != 0) i++;
    if (i == ARRAY_LEN(behaviours) || (!otherwise && !expression && !literal))
        return refuse(l, "pre-tokenizer with its pattern", step);
    int rc = add(l, json_is_true(json_object_get(step, "invert")) ? "not-" : "");
    if (rc < 0) return rc;
    struct text *out = &l->texts[l->count - 1];
    text_add_str(out, behaviours[i].behaviour);
    if (otherwise) {
        text_add_str(out, otherwise);
    } else if (literal) {
        add_literal(out, literal);
    } else if (!add_expression(out, expression)) {
        return error_set(l->error, ERR_UNSUPPORTED, "tokenizer.json: the expression %.200s is not supported",
                         expression);
    }
    return 0;
}

/* Of files whose spaces are U+2581: what is said of that is said of spaces, and nothing is said of spaces. */
static int add_raw(struct list *l, const json_t *step) {
    const json_t *pattern = json_object_get(step, "pattern");
    const char *literal = json_string_value(json_object_get(pattern, "String"));
    const char *scheme = json_string_value(json_object_get(step, "prepend_scheme"));
    bool every_piece = l->count > 0 && !(scheme && (strcmp(scheme, "first") == 0 || strcmp(scheme, "never") == 0));
    if (hf_is_type(step, "Metaspace") && !every_piece)
        return json_is_false(json_object_get(step, "split")) ? 0 : add(l, "next  ");
    if (hf_is_type(step, "Split") && literal && strcmp(literal, " ") == 0) return 0;
    if (hf_is_type(step, "Split") && literal && strcmp(literal, VOCABULARY_SPACE) == 0) return add_split(l, step, " ");
    return refuse(l, "pre-tokenizer", step);
}

static int add_pre(struct list *l, const json_t *step) {
    size_t i;
    const json_t *one;
    int rc = 0;
    if (hf_is_type(step, "Sequence")) {
        json_array_foreach(json_object_get(step, "pretokenizers"), i, one) if (rc == 0) rc = add_pre(l, one);
        return rc;
    }
    if (l->raw && (!json_is_object(step) || hf_is_type(step, "WhitespaceSplit"))) return 0;
    if (hf_is_type(step, "Split") && !l->raw) return add_split(l, step, NULL);
    if (hf_is_type(step, "Punctuation")) return add_split(l, step, PUNCTUATION);
    if (hf_is_type(step, "Digits"))
        return add(l, json_is_true(json_object_get(step, "individual_digits")) ? "isolated \\p{N}"
                                                                               : "contiguous \\p{N}");
    if (hf_is_type(step, "WhitespaceSplit")) return add(l, "removed [" WHITE "]");
    if (hf_is_type(step, "Whitespace")) return add(l, "not-removed [" WORD "]+|[^" WORD WHITE "]+");
    if (l->raw) return add_raw(l, step);
    if (!hf_is_type(step, "ByteLevel") || json_is_true(json_object_get(step, "add_prefix_space")))
        return refuse(l, "pre-tokenizer", step);
    if (!json_is_false(json_object_get(step, "use_regex"))) rc = add(l, "isolated " GPT2);
    l->bytes = true;
    return rc;
}

int hf_write_steps(const json_t *tokenizer, bool raw, struct gguf_writer *w, struct error *error) {
    struct list l = {.raw = raw, .error = error};
    int rc = add_pre(&l, json_object_get(tokenizer, "pre_tokenizer"));
    if (rc == 0) rc = write(&l, TOKENIZER_STEPS, w);
    deinit(&l);
    return rc;
}

/* ---- normalizers ---- */

static int add_replace(struct list *l, const json_t *step) {
    const json_t *from = json_object_get(json_object_get(step, "pattern"), "String");
    const json_t *to = json_object_get(step, "content");
    const char *regex = json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex"));
    if (regex && strcmp(regex, " {2,}") == 0 && json_string_length(to) > 0) {
        int rc = add(l, "squeeze ");
        if (rc == 0) text_add_str(&l->texts[l->count - 1], json_string_value(to));
        return rc;
    }
    if (!json_is_string(from) || json_string_length(from) == 0 || !json_is_string(to))
        return refuse(l, "normalizer with its pattern", step);
    bool spelling = strcmp(json_string_value(from), " ") == 0 && strcmp(json_string_value(to), VOCABULARY_SPACE) == 0;
    if (l->raw && spelling) return 0;
    int rc = add(l, "replace ");
    if (rc < 0) return rc;
    text_printf(&l->texts[l->count - 1], "%zu %s%s", json_string_length(from), json_string_value(from),
                json_string_value(to));
    return 0;
}

static int add_strip(struct list *l, const json_t *step) {
    bool left = !json_is_false(json_object_get(step, "strip_left"));
    bool right = !json_is_false(json_object_get(step, "strip_right"));
    if (!left && !right) return 0;
    return add(l, left && right ? "strip both" : left ? "strip left" : "strip right");
}

static int add_normal(struct list *l, const json_t *step) {
    static const char *const names[][2] = {{"NFC", "nfc"},
                                           {"NFD", "nfd"},
                                           {"NFKC", "nfkc"},
                                           {"NFKD", "nfkd"},
                                           {"Lowercase", "lowercase"},
                                           {"StripAccents", "unmark"},
                                           {"Precompiled", "charsmap"}};
    size_t i;
    const json_t *one, *prepended = json_object_get(step, "prepend");
    int rc = 0;
    if (!json_is_object(step)) return 0;
    if (hf_is_type(step, "Sequence")) {
        json_array_foreach(json_object_get(step, "normalizers"), i, one) if (rc == 0) rc = add_normal(l, one);
        return rc;
    }
    for (i = 0; i < ARRAY_LEN(names); i++)
        if (hf_is_type(step, names[i][0])) return add(l, names[i][1]);
    if (hf_is_type(step, "Strip")) return add_strip(l, step);
    if (hf_is_type(step, "Replace")) return add_replace(l, step);
    if (!hf_is_type(step, "Prepend") || !json_is_string(prepended)) return refuse(l, "normalizer", step);
    if (json_string_length(prepended) == 0) return 0;
    if (l->raw && strcmp(json_string_value(prepended), VOCABULARY_SPACE) == 0) return 0; /* add_space_prefix */
    rc = add(l, "prepend ");
    if (rc == 0) text_add_str(&l->texts[l->count - 1], json_string_value(prepended));
    return rc;
}

int hf_write_normal(const json_t *tokenizer, bool raw, struct gguf_writer *w, struct error *error) {
    struct list l = {.raw = raw, .error = error};
    const json_t *pre = json_object_get(tokenizer, "pre_tokenizer");
    int rc = add_normal(&l, json_object_get(tokenizer, "normalizer"));
    if (rc == 0 && raw && hf_has_step(pre, "WhitespaceSplit")) rc = add(&l, "words");
    if (rc == 0 && l.count > 0) rc = write(&l, TOKENIZER_NORMAL, w);
    deinit(&l);
    return rc;
}
