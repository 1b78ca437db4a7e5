#include "model/tokenizer/steps.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "model/tokenizer/utf8.h"
#include "model/tokenizer/vocabulary.h"

enum { STEPS_MAX = 16, MATCH_LIMIT = 1000000 };

enum behaviour { ISOLATED, REMOVED, PREVIOUS, NEXT, CONTIGUOUS };

static const char *const behaviours[] = {"isolated", "removed", "previous", "next", "contiguous"};

struct step {
    enum behaviour behaviour;
    bool inverted;
    pcre2_code *code; /* NULL: the step "bytes" */
};

struct steps {
    struct step steps[STEPS_MAX];
    size_t count;
    pcre2_match_context *limits;
};

/* ---- life ---- */

static bool read_behaviour(struct gguf_string text, struct step *step, size_t *len) {
    for (size_t i = 0; i < ARRAY_LEN(behaviours); i++) {
        size_t n = strlen(behaviours[i]);
        if (text.len <= n || memcmp(text.data, behaviours[i], n) != 0 || text.data[n] != ' ') continue;
        step->behaviour = (enum behaviour)i;
        *len = n + 1;
        return true;
    }
    return false;
}

static int add_step(struct steps *s, struct gguf_string text, struct error *error) {
    struct step *step = &s->steps[s->count];
    struct gguf_string rest = text;
    size_t behaviour_len = 0, error_at;
    if (gguf_string_is(text, "bytes")) return s->count++, 0;
    int code = 0, shown = text.len < 200 ? (int)text.len : 200;
    step->inverted = rest.len > 4 && memcmp(rest.data, "not-", 4) == 0;
    if (step->inverted) rest = (struct gguf_string){rest.data + 4, rest.len - 4};
    if (!read_behaviour(rest, step, &behaviour_len))
        return error_set(error, ERR_INVALID, "the tokenizer's step \"%.*s\" is not known", shown, text.data);
    step->code = pcre2_compile((PCRE2_SPTR)rest.data + behaviour_len, rest.len - behaviour_len,
                               PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &code, &error_at, NULL);
    if (step->code == NULL && code == PCRE2_ERROR_HEAP_FAILED) return error_set(error, ERR_NOMEM, "out of memory");
    if (step->code == NULL)
        return error_set(error, ERR_INVALID, "the tokenizer's step \"%.*s\" is no expression that can be run", shown,
                         text.data);
    s->count++;
    pcre2_jit_compile(step->code, PCRE2_JIT_COMPLETE); /* only faster: without it the same is found */
    return 0;
}

int steps_new(struct steps **out, const struct gguf_value *list, struct error *error) {
    if (list->type != GGUF_ARRAY || list->item_type != GGUF_STRING || list->count > STEPS_MAX)
        return error_set(error, ERR_INVALID, "the tokenizer's steps are not an array of at most %d texts", STEPS_MAX);
    struct steps *s = calloc(1, sizeof *s);
    if (s) s->limits = pcre2_match_context_create(NULL);
    int rc = s && s->limits ? 0 : error_set(error, ERR_NOMEM, "no memory for the tokenizer");
    if (rc == 0) pcre2_set_match_limit(s->limits, MATCH_LIMIT);
    for (uint64_t i = 0; i < list->count && rc == 0; i++) rc = add_step(s, list->strings[i], error);
    if (rc == 0)
        *out = s;
    else
        steps_free(s);
    return rc;
}

void steps_free(struct steps *s) {
    if (s == NULL) return;
    for (size_t i = 0; i < s->count; i++) pcre2_code_free(s->steps[i].code);
    pcre2_match_context_free(s->limits);
    free(s);
}

/* ---- cutting ---- */

struct run {
    const struct steps *steps;
    splitter_word *word;
    void *context;
    pcre2_match_data *matches[STEPS_MAX];
};

/* Where a step is: pieces wait until it is known whether the next one joins them. */
struct cut {
    const struct run *run;
    size_t step;
    const char *begin, *end; /* of the piece that waits; begin == end: there is none */
    bool matched;            /* the last of what it is made of was a match */
};

static int run_step(const struct run *r, size_t step, const char *begin, const char *end);

static bool joins(enum behaviour behaviour, bool before, bool now) {
    switch (behaviour) {
    case PREVIOUS: return now && !before;
    case NEXT: return before && !now;
    case CONTIGUOUS: return now == before;
    case ISOLATED:
    case REMOVED: break;
    }
    return false;
}

static int flush(struct cut *c) {
    const char *begin = c->begin, *end = c->end;
    c->begin = c->end;
    return end > begin ? run_step(c->run, c->step + 1, begin, end) : 0;
}

static int add_piece(struct cut *c, const char *begin, const char *end, bool matched) {
    const struct step *step = &c->run->steps->steps[c->step];
    bool match = matched != step->inverted;
    if (begin == end) return 0;
    if (c->end > c->begin && joins(step->behaviour, c->matched, match)) {
        c->end = end;
        c->matched = match;
        return 0;
    }
    int rc = flush(c);
    c->begin = match && step->behaviour == REMOVED ? end : begin;
    c->end = end;
    c->matched = match;
    return rc;
}

/* The first match from a place on. One that takes too long ends the search, as if there were none. */
static bool find(const struct run *r, size_t step, const char *text, size_t len, size_t from, size_t *begin,
                 size_t *end) {
    pcre2_match_data *data = r->matches[step];
    if (from > len || pcre2_match(r->steps->steps[step].code, (PCRE2_SPTR)text, len, from, PCRE2_NO_UTF_CHECK, data,
                                  r->steps->limits) < 1)
        return false;
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(data);
    *begin = found[0];
    *end = found[1];
    return *begin >= from && *end >= *begin;
}

static size_t next_character(const char *text, size_t len, size_t at) {
    const char *next = text + at;
    if (at < len) utf8_next(&next);
    return at < len ? (size_t)(next - text) : len + 1;
}

/* Where characters stand for bytes: words of them become words of the bytes. */
struct spelt {
    const struct run *run;
    const char *at, *byte; /* a character behind which all are still to come, and the byte that it stands for */
};

static int give_bytes(void *context, const char *word, size_t len) {
    struct spelt *s = context;
    const char *end = word + len;
    while (s->at < word) utf8_next(&s->at), s->byte++;
    const char *begin = s->byte;
    while (s->at < end) utf8_next(&s->at), s->byte++;
    return s->run->word(s->run->context, begin, (size_t)(s->byte - begin));
}

static int run_bytes(const struct run *r, size_t step, const char *begin, const char *end) {
    char *spelt = malloc(2 * (size_t)(end - begin)), *to = spelt;
    if (spelt == NULL) return ERR_NOMEM;
    for (const char *from = begin; from < end; from++) to += utf8_put(vocabulary_spell((uint8_t)*from), to);
    struct spelt s = {r, spelt, begin};
    struct run rest = *r;
    rest.word = give_bytes;
    rest.context = &s;
    int rc = run_step(&rest, step + 1, spelt, to);
    free(spelt);
    return rc;
}

static int run_step(const struct run *r, size_t step, const char *begin, const char *end) {
    if (step == r->steps->count) return r->word(r->context, begin, (size_t)(end - begin));
    if (r->steps->steps[step].code == NULL) return run_bytes(r, step, begin, end);
    struct cut cut = {.run = r, .step = step, .begin = begin, .end = begin};
    size_t len = (size_t)(end - begin), done = 0, search = 0, from, to;
    int rc = 0;
    for (bool any = false; rc == 0 && find(r, step, begin, len, search, &from, &to); any = true) {
        if (any && from == to && to == done) { /* right behind a match there is no empty one */
            search = next_character(begin, len, search);
            continue;
        }
        rc = add_piece(&cut, begin + done, begin + from, false);
        if (rc == 0) rc = add_piece(&cut, begin + from, begin + to, true);
        done = search = to;
    }
    if (rc == 0) rc = add_piece(&cut, begin + done, end, false);
    return rc == 0 ? flush(&cut) : rc;
}

int steps_run(const struct steps *s, const char *text, size_t len, splitter_word *word, void *context) {
    struct run r = {.steps = s, .word = word, .context = context};
    int rc = 0;
    for (size_t i = 0; i < s->count && rc == 0; i++) {
        if (s->steps[i].code == NULL) continue;
        r.matches[i] = pcre2_match_data_create_from_pattern(s->steps[i].code, NULL);
        if (r.matches[i] == NULL) rc = ERR_NOMEM;
    }
    if (rc == 0 && len > 0) rc = run_step(&r, 0, text, text + len);
    for (size_t i = 0; i < s->count; i++) pcre2_match_data_free(r.matches[i]);
    return rc;
}
