/* Which tokens may come at a place of the automaton.
 *
 * What a place allows is found in two parts. Items of one stack are looked at as if their caller were unknown: which
 * tokens stay inside the rule, and behind which beginnings of tokens (nodes of the trie) the rule may be complete. That
 * part depends on nothing but the items, so it serves wherever the rule is called from. Then those few nodes are
 * followed from where the callers go on. Both are kept with the place. The first part is the idea of XGrammar's
 * context-independent tokens (Dong et al., 2024), over an automaton that is deterministic by Earley's sets. Pure. */
#pragma once
#include "model/grammar/automaton.h"
#include "model/grammar/token_trie.h"

/* Token ids: a list of them when they are few, else a bit for each. */
struct mask_set {
    uint32_t count;
    uint32_t *ids;  /* NULL: bits */
    uint64_t *bits; /* NULL: ids */
};

struct masks {
    struct automaton *automaton;
    const struct grammar_vocabulary *vocabulary;
    uint32_t words;                   /* of a set of all tokens */
    uint64_t *place_bits, *rule_bits; /* scratch */
    uint32_t *path;                   /* scratch: places by depth */
    uint32_t *exits, exit_count, exit_capacity;
    size_t bytes; /* held by notes */
};

int masks_init(struct masks *m, struct automaton *a, const struct grammar_vocabulary *v);
void masks_deinit(struct masks *m);
/* The tokens that may come at a place; valid until masks_forget. NULL when automaton->code was set. */
const struct mask_set *masks_of(struct masks *m, uint32_t place);
bool mask_set_has(const struct mask_set *s, uint32_t token);
/* Free the notes of all places; before places are forgotten. */
void masks_forget(struct masks *m);
