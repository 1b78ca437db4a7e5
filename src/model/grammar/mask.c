#include "model/grammar/mask.h"

#include <stdlib.h>
#include <string.h>

/* What is known of a place. */
struct notes {
    bool has_mask, has_rule;
    struct mask_set mask; /* the tokens that may come */
    struct mask_set rule; /* those that stay in the rule, or end with it */
    uint32_t *exits;      /* nodes behind which the rule may be complete */
    uint32_t exit_count;
};

static void fail(struct masks *m, int code) {
    if (m->automaton->code == 0) m->automaton->code = code;
}

static struct notes *notes_of(struct masks *m, uint32_t place) {
    struct automaton_place *p = &m->automaton->places[place];
    if (p->notes == NULL) {
        p->notes = calloc(1, sizeof(struct notes));
        if (p->notes)
            m->bytes += sizeof(struct notes);
        else
            fail(m, ERR_NOMEM);
    }
    return p->notes;
}

/* ---- sets ---- */

static void list_bits(const uint64_t *bits, uint32_t words, uint32_t *ids) {
    for (uint32_t w = 0; w < words; w++)
        for (uint64_t rest = bits[w]; rest != 0; rest &= rest - 1) *ids++ = w * 64 + (uint32_t)__builtin_ctzll(rest);
}

static struct mask_set set_from_bits(struct masks *m, const uint64_t *bits) {
    struct mask_set s = {0};
    for (uint32_t w = 0; w < m->words; w++) s.count += (uint32_t)__builtin_popcountll(bits[w]);
    bool few = s.count < 2 * m->words;
    size_t bytes = few ? (s.count + 1) * sizeof *s.ids : m->words * sizeof *s.bits;
    void *memory = malloc(bytes);
    if (memory == NULL) {
        fail(m, ERR_NOMEM);
        return (struct mask_set){0};
    }
    m->bytes += bytes;
    if (few)
        list_bits(bits, m->words, s.ids = memory);
    else
        s.bits = memcpy(memory, bits, bytes);
    return s;
}

static void add_set(const struct masks *m, const struct mask_set *s, uint64_t *bits) {
    for (uint32_t w = 0; s->bits && w < m->words; w++) bits[w] |= s->bits[w];
    for (uint32_t i = 0; s->ids && i < s->count; i++) bits[s->ids[i] / 64] |= (uint64_t)1 << s->ids[i] % 64;
}

bool mask_set_has(const struct mask_set *s, uint32_t token) {
    if (s->bits) return s->bits[token / 64] >> token % 64 & 1;
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->ids[middle] < token)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->count && s->ids[low] == token;
}

/* ---- the walk ---- */

static void add_token(const struct masks *m, uint32_t token, uint64_t *bits) {
    for (; token != TOKEN_TRIE_NONE; token = m->vocabulary->same[token]) bits[token / 64] |= (uint64_t)1 << token % 64;
}

static void add_exit(struct masks *m, uint32_t node) {
    if (m->exit_count == m->exit_capacity) {
        uint32_t capacity = m->exit_capacity ? 2 * m->exit_capacity : 1024;
        uint32_t *grown = realloc(m->exits, capacity * sizeof *grown);
        if (grown == NULL) {
            fail(m, ERR_NOMEM);
            return;
        }
        m->exits = grown;
        m->exit_capacity = capacity;
    }
    m->exits[m->exit_count++] = node;
}

static uint32_t follow(struct automaton *a, uint32_t place, uint8_t byte) {
    uint8_t class = a->program->class_of[byte];
    const uint32_t *known = a->places[place].next;
    return known && known[class] != AUTOMATON_UNKNOWN ? known[class] : automaton_next(a, place, class);
}

/* The tokens of the nodes [begin, end), which lie under a node of `depth` that led to `place`, into bits. */
static void walk(struct masks *m, uint32_t begin, uint32_t end, uint32_t depth, uint32_t place, uint64_t *bits) {
    struct automaton *a = m->automaton;
    const struct token_trie_node *nodes = m->vocabulary->nodes;
    uint32_t visited = 0;
    m->path[depth] = place;
    for (uint32_t i = begin; i < end; visited++) {
        const struct token_trie_node *n = &nodes[i];
        uint32_t to = follow(a, m->path[n->depth - 1], n->byte);
        if (to == AUTOMATON_UNKNOWN) return;
        if (to == AUTOMATON_DEAD) {
            i = n->end;
            continue;
        }
        if (n->token != TOKEN_TRIE_NONE) add_token(m, n->token, bits);
        if (a->places[to].outside && n->end > i + 1) add_exit(m, i);
        m->path[n->depth] = to;
        i++;
    }
    a->work = a->work > visited ? a->work - visited : 0;
}

/* ---- the two parts ---- */

static struct notes *rule_notes(struct masks *m, uint32_t place) {
    struct notes *n = notes_of(m, place);
    if (n == NULL || n->has_rule) return n;
    memset(m->rule_bits, 0, m->words * sizeof *m->rule_bits);
    m->exit_count = 0;
    walk(m, 0, m->vocabulary->node_count, 0, place, m->rule_bits);
    n = notes_of(m, place);
    if (m->automaton->code) return NULL;
    uint32_t *exits = malloc((m->exit_count + 1) * sizeof *exits);
    if (exits == NULL) return fail(m, ERR_NOMEM), NULL;
    if (m->exit_count > 0) memcpy(exits, m->exits, m->exit_count * sizeof *exits);
    n->exits = exits;
    n->exit_count = m->exit_count;
    n->rule = set_from_bits(m, m->rule_bits);
    n->has_rule = true;
    m->bytes += (m->exit_count + 1) * sizeof *exits;
    return m->automaton->code ? NULL : n;
}

/* The tokens of the items [first, first + count) of a place, which have one stack. */
static void add_group(struct masks *m, uint32_t first, uint32_t count) {
    struct automaton *a = m->automaton;
    const struct token_trie_node *nodes = m->vocabulary->nodes;
    uint32_t stack = a->items[first].stack, alone = automaton_alone(a, first, count);
    const struct notes *n = a->code ? NULL : rule_notes(m, alone);
    if (n == NULL) return;
    add_set(m, &n->rule, m->place_bits);
    uint32_t below = n->exit_count > 0 ? automaton_below(a, stack) : AUTOMATON_DEAD;
    if (a->code || a->places[below].count == 0) return;
    for (uint32_t i = 0; i < n->exit_count && a->code == 0; i++) {
        const struct token_trie_node *exit = &nodes[n->exits[i]];
        walk(m, n->exits[i] + 1, exit->end, exit->depth, below, m->place_bits);
    }
}

const struct mask_set *masks_of(struct masks *m, uint32_t place) {
    struct automaton *a = m->automaton;
    const struct notes *known = a->places[place].notes;
    if (known && known->has_mask) return &known->mask;
    struct automaton_place p = a->places[place];
    memset(m->place_bits, 0, m->words * sizeof *m->place_bits);
    for (uint32_t i = p.first, end = p.first + p.count; i < end && a->code == 0;) {
        uint32_t count = 1;
        while (i + count < end && a->items[i + count].stack == a->items[i].stack) count++;
        add_group(m, i, count);
        i += count;
    }
    struct notes *n = a->code ? NULL : notes_of(m, place);
    if (n == NULL) return NULL;
    n->mask = set_from_bits(m, m->place_bits);
    n->has_mask = a->code == 0;
    return n->has_mask ? &n->mask : NULL;
}

/* ---- life ---- */

int masks_init(struct masks *m, struct automaton *a, const struct grammar_vocabulary *v) {
    *m = (struct masks){.automaton = a, .vocabulary = v, .words = v->token_count / 64 + 1};
    m->place_bits = calloc(m->words, sizeof *m->place_bits);
    m->rule_bits = calloc(m->words, sizeof *m->rule_bits);
    m->path = calloc(TOKEN_TRIE_DEPTH_MAX + 1, sizeof *m->path);
    return m->place_bits && m->rule_bits && m->path ? 0 : ERR_NOMEM;
}

void masks_forget(struct masks *m) {
    for (uint32_t i = 0; m->automaton && i < m->automaton->place_count; i++) {
        struct notes *n = m->automaton->places[i].notes;
        if (n == NULL) continue;
        free(n->mask.ids);
        free(n->mask.bits);
        free(n->rule.ids);
        free(n->rule.bits);
        free(n->exits);
        free(n);
        m->automaton->places[i].notes = NULL;
    }
    m->bytes = 0;
}

void masks_deinit(struct masks *m) {
    masks_forget(m);
    free(m->place_bits);
    free(m->rule_bits);
    free(m->path);
    free(m->exits);
    *m = (struct masks){0};
}
