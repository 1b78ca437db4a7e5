#include "engine/constraints.h"

#include <stdlib.h>
#include <string.h>

struct constraint {
    struct constraint *next;
    struct grammar *grammar;
    uint32_t users;
    enum grammar_kind kind;
    size_t len;
    char text[];
};

static void constraint_free(struct constraint *n) {
    if (n) grammar_free(n->grammar);
    free(n);
}

void constraints_deinit(struct constraints *c) {
    for (struct constraint *n = c->list, *next; n; n = next) {
        next = n->next;
        constraint_free(n);
    }
    grammar_vocabulary_free(c->vocabulary);
    *c = (struct constraints){.tokenizer = c->tokenizer};
}

/* Drop those that were used longest ago and by nobody now. */
static void trim(struct constraints *c) {
    uint32_t idle = 0;
    for (struct constraint **at = &c->list; *at;) {
        struct constraint *n = *at;
        if (n->users > 0 || ++idle <= CONSTRAINTS_KEPT_MAX) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        constraint_free(n);
    }
}

/* Taken out of the list; NULL: it is not there. */
static struct constraint *take(struct constraints *c, enum grammar_kind kind, const char *text, size_t len) {
    for (struct constraint **at = &c->list; *at; at = &(*at)->next) {
        struct constraint *n = *at;
        if (n->kind != kind || n->len != len || memcmp(n->text, text, len) != 0) continue;
        *at = n->next;
        return n;
    }
    return NULL;
}

static int make(struct constraints *c, enum grammar_kind kind, const char *text, size_t len, struct constraint **out,
                struct error *error) {
    if (c->tokenizer == NULL) return error_set(error, ERR_UNSUPPORTED, "a model without text cannot keep to a grammar");
    int code = c->vocabulary ? 0 : grammar_vocabulary_new(&c->vocabulary, c->tokenizer, error);
    if (code) return code;
    struct constraint *n = calloc(1, sizeof *n + len + 1);
    if (n == NULL) return error_set(error, ERR_NOMEM, "no memory for a grammar of %zu bytes", len);
    *n = (struct constraint){.kind = kind, .len = len};
    memcpy(n->text, text, len);
    code = grammar_new(&n->grammar, kind, text, len, c->vocabulary, error);
    if (code) {
        constraint_free(n);
        return code;
    }
    *out = n;
    return 0;
}

static int replay(struct grammar_state *s, const uint32_t *generated, size_t count, struct error *error) {
    for (size_t i = 0; i < count; i++)
        if (grammar_accept(s, generated[i]) != 0)
            return error_set(error, ERR_INVALID, "token %zu of what was generated is not in the grammar", i);
    return 0;
}

int constraints_begin(struct constraints *c, enum grammar_kind kind, const char *text, size_t len,
                      const uint32_t *generated, size_t count, struct grammar_state *out, struct error *error) {
    struct constraint *n = take(c, kind, text, len);
    int code = n ? 0 : make(c, kind, text, len, &n, error);
    if (code) return code;
    n->next = c->list;
    c->list = n;
    n->users++;
    trim(c);
    grammar_state_init(out, n->grammar);
    code = replay(out, generated, count, error);
    if (code) constraints_end(c, out);
    return code;
}

void constraints_end(struct constraints *c, struct grammar_state *s) {
    if (s->grammar == NULL) return;
    for (struct constraint *n = c->list; n; n = n->next)
        if (n->grammar == s->grammar) n->users--;
    grammar_state_deinit(s);
    trim(c);
}
