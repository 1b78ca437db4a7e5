#include "model/grammar/program.h"

#include <stdlib.h>
#include <string.h>

#include "base/prng.h"

enum { WORK_MAX = 1 << 26, EMITS_MAX = 1 << 22 };

struct compiler {
    struct program *p;
    const struct expr_builder *b;
    uint32_t capacity;
    uint32_t *table; /* hash -> index of a step + 1 */
    uint32_t table_size;
    uint64_t work;
    int code; /* what it failed with */
    struct error *error;
};

static uint32_t fail(struct compiler *c, int code, const char *text) {
    if (c->code == 0) c->code = error_set(c->error, code, "%s", text);
    return PROGRAM_RETURN_AT;
}

/* False when what hostile input may cost is spent. */
static bool work(struct compiler *c, uint64_t units) {
    c->work += units;
    if (c->work > WORK_MAX) fail(c, ERR_LIMIT, "the grammar is too complex");
    return c->code == 0;
}

/* ---- instructions, equal ones once ---- */

static uint64_t hash_step(const struct program_step *s) {
    return prng_mix(((uint64_t)s->next << 32 | s->other) ^
                    prng_mix((uint64_t)s->op << 16 | (uint64_t)s->first << 8 | s->last));
}

static bool same_step(const struct program_step *a, const struct program_step *b) {
    return a->op == b->op && a->first == b->first && a->last == b->last && a->next == b->next && a->other == b->other;
}

static void table_put(struct compiler *c, uint32_t index) {
    uint64_t at = hash_step(&c->p->steps[index]);
    while (c->table[at & (c->table_size - 1)] != 0) at++;
    c->table[at & (c->table_size - 1)] = index + 1;
}

static bool grow(struct compiler *c) {
    uint32_t capacity = c->capacity ? 2 * c->capacity : 1024;
    struct program_step *steps = realloc(c->p->steps, capacity * sizeof *steps);
    uint32_t *table = calloc(4 * (size_t)capacity, sizeof *table);
    if (steps) c->p->steps = steps;
    if (steps == NULL || table == NULL) {
        free(table);
        fail(c, ERR_NOMEM, "out of memory");
        return false;
    }
    free(c->table);
    c->capacity = capacity;
    c->table = table;
    c->table_size = 4 * capacity;
    for (uint32_t i = 0; i < c->p->count; i++) table_put(c, i);
    return true;
}

static uint32_t append(struct compiler *c, struct program_step step) {
    if (c->p->count == PROGRAM_COUNT_MAX) return fail(c, ERR_LIMIT, "the grammar is too large: bounds of repetitions?");
    if (c->p->count == c->capacity && !grow(c)) return PROGRAM_RETURN_AT;
    c->p->steps[c->p->count] = step;
    return c->p->count++;
}

static uint32_t add(struct compiler *c, struct program_step step) {
    if (c->code) return PROGRAM_RETURN_AT;
    uint64_t at = hash_step(&step);
    for (uint32_t found; c->table && (found = c->table[at & (c->table_size - 1)]) != 0; at++)
        if (same_step(&c->p->steps[found - 1], &step)) return found - 1;
    uint32_t index = append(c, step);
    if (c->code == 0) table_put(c, index);
    return index;
}

/* ---- expressions to instructions, from the last to the first ---- */

static uint32_t emit(struct compiler *c, const struct expr *e, uint32_t next);

static uint32_t emit_range(struct compiler *c, uint32_t first, uint32_t last, uint32_t next) {
    return add(c, (struct program_step){PROGRAM_BYTE, (uint8_t)first, (uint8_t)last, 0, next, 0});
}

static uint32_t emit_split(struct compiler *c, uint32_t x, uint32_t y) {
    return x == y ? x : add(c, (struct program_step){PROGRAM_SPLIT, 0, 0, 0, x, y});
}

/* What matches nothing: a split to itself. */
static uint32_t emit_never(struct compiler *c) {
    uint32_t at = c->p->count;
    return append(c, (struct program_step){PROGRAM_SPLIT, 0, 0, 0, at, at});
}

static uint32_t emit_choice(struct compiler *c, const struct expr *e, uint32_t next) {
    uint32_t at = emit(c, e->parts[e->count - 1], next);
    for (size_t i = e->count - 1; i-- > 0 && c->code == 0;) at = emit_split(c, emit(c, e->parts[i], next), at);
    return at;
}

static uint32_t emit_loop(struct compiler *c, const struct expr *body, uint32_t next) {
    uint32_t loop = append(c, (struct program_step){PROGRAM_SPLIT, 0, 0, 0, next, next});
    uint32_t start = emit(c, body, loop);
    if (c->code == 0) c->p->steps[loop].next = start; /* not in the table: no other step is equal to it */
    return loop;
}

static uint32_t emit_repeat(struct compiler *c, const struct expr *e, uint32_t next) {
    const struct expr *body = e->parts[0];
    uint32_t at = next, optional = e->max == EXPR_UNBOUNDED ? 0 : e->max - e->min;
    if (e->max == EXPR_UNBOUNDED) at = emit_loop(c, body, next);
    for (uint32_t i = 0; i < optional && work(c, 1); i++) at = emit_split(c, emit(c, body, at), next);
    for (uint32_t i = 0; i < e->min && work(c, 1); i++) at = emit(c, body, at);
    return at;
}

/* One step for each state, in a row, which lead on once all of them have a number. */
static uint32_t emit_states(struct compiler *c, const struct expr *e, uint32_t next) {
    uint32_t nothing = emit_never(c), begin = c->p->count;
    for (size_t i = 0; i < e->count && c->code == 0; i++) emit_never(c);
    for (uint32_t i = 0; i < e->count && work(c, e->states[i].count); i++) {
        const struct expr_state *s = &e->states[i];
        uint32_t at = s->ends ? next : nothing;
        for (uint32_t k = 0; k < s->count && c->code == 0; k++) {
            uint32_t edge = emit_range(c, s->edges[k].first, s->edges[k].last, begin + s->edges[k].to);
            at = at == nothing ? edge : emit_split(c, edge, at);
        }
        if (c->code == 0) c->p->steps[begin + i].next = c->p->steps[begin + i].other = at;
    }
    return begin;
}

static uint32_t emit(struct compiler *c, const struct expr *e, uint32_t next) {
    if (!work(c, WORK_MAX / EMITS_MAX)) return PROGRAM_RETURN_AT;
    switch (e->type) {
    case EXPR_NEVER: return emit_never(c);
    case EXPR_BYTES:
        for (size_t i = e->count; i-- > 0;) next = emit_range(c, e->bytes[i], e->bytes[i], next);
        return next;
    case EXPR_RANGE: return emit_range(c, e->min, e->max, next);
    case EXPR_SEQUENCE:
        for (size_t i = e->count; i-- > 0 && c->code == 0;) next = emit(c, e->parts[i], next);
        return next;
    case EXPR_CHOICE: return emit_choice(c, e, next);
    case EXPR_REPEAT: return emit_repeat(c, e, next);
    case EXPR_STATES: return emit_states(c, e, next);
    case EXPR_RULE: return add(c, (struct program_step){PROGRAM_CALL, 0, 0, 0, next, e->min});
    }
    return next;
}

static void emit_rules(struct compiler *c) {
    struct program *p = c->p;
    p->rule_count = c->b->rule_count;
    p->rules = calloc(p->rule_count + 1, sizeof *p->rules);
    if (p->rules == NULL) fail(c, ERR_NOMEM, "out of memory");
    add(c, (struct program_step){.op = PROGRAM_RETURN});
    for (uint32_t i = 0; i < p->rule_count && c->code == 0; i++) {
        const struct expr *body = c->b->rules[i].body;
        if (body == NULL)
            c->code = error_set(c->error, ERR_INVALID, "there is no rule named '%.200s'", c->b->rules[i].name);
        else
            p->rules[i].start = emit(c, body, PROGRAM_RETURN_AT);
    }
}

/* ---- what can be completed, and what without a byte ---- */

static bool holds(const struct program *p, const bool *known, uint32_t at, bool of_byte) {
    const struct program_step *s = &p->steps[at];
    switch ((enum program_op)s->op) {
    case PROGRAM_RETURN: return true;
    case PROGRAM_BYTE: return of_byte && known[s->next];
    case PROGRAM_SPLIT: return known[s->next] || known[s->other];
    case PROGRAM_CALL: return known[s->next] && known[p->rules[s->other].start];
    }
    return false;
}

/* What a step is known by: at most two others. Returns how many. */
static int sources(const struct program *p, uint32_t at, uint32_t out[2]) {
    const struct program_step *s = &p->steps[at];
    if (s->op == PROGRAM_RETURN) return 0;
    out[0] = s->next;
    out[1] = s->op == PROGRAM_CALL ? p->rules[s->other].start : s->other;
    return s->op == PROGRAM_BYTE ? 1 : 2;
}

/* Which steps each one is a source of: those of step i lie from (*begin)[i] to (*begin)[i + 1]. False: no memory. */
static bool reverse(const struct program *p, uint32_t **begin, uint32_t **users) {
    uint32_t from[2];
    *begin = calloc((size_t)p->count + 2, sizeof **begin);
    *users = malloc(2 * (size_t)p->count * sizeof **users);
    if (*begin == NULL || *users == NULL) return false;
    for (uint32_t at = 0; at < p->count; at++)
        for (int i = sources(p, at, from); i-- > 0;) (*begin)[from[i] + 2]++;
    for (uint32_t at = 2; at < p->count + 2; at++) (*begin)[at] += (*begin)[at - 1];
    for (uint32_t at = 0; at < p->count; at++)
        for (int i = sources(p, at, from); i-- > 0;) (*users)[(*begin)[from[i] + 1]++] = at;
    return true;
}

/* The least fixed point of `holds`: whatever becomes known may make those known that it is a source of. */
static bool *solve(struct compiler *c, bool of_byte) {
    const struct program *p = c->p;
    uint32_t *begin, *users, *todo = malloc(p->count * sizeof *todo), count = 0;
    bool *known = calloc(p->count, sizeof *known);
    if (!reverse(p, &begin, &users) || todo == NULL || known == NULL) {
        fail(c, ERR_NOMEM, "out of memory");
    } else {
        known[PROGRAM_RETURN_AT] = true;
        todo[count++] = PROGRAM_RETURN_AT;
    }
    while (count > 0) {
        uint32_t at = todo[--count];
        for (uint32_t i = begin[at]; i < begin[at + 1]; i++) {
            uint32_t user = users[i];
            if (known[user] || !holds(p, known, user, of_byte)) continue;
            known[user] = true;
            todo[count++] = user;
        }
    }
    free(begin);
    free(users);
    free(todo);
    return known;
}

/* ---- left recursion, and the order in which rules call each other at one place ---- */

struct ranking {
    struct compiler *c;
    uint8_t *colour; /* [rule] 0 unseen, 1 under way, 2 done */
    uint32_t *seen;  /* [step] the rule whose visit came there last, + 1 */
    uint32_t *stack; /* of steps to look at; grows with the depth of calls */
    uint32_t count, capacity;
    uint32_t next_rank; /* counts down */
};

static bool push(struct ranking *r, uint32_t at) {
    if (r->count == r->capacity) {
        uint32_t capacity = r->capacity ? 2 * r->capacity : 256;
        uint32_t *grown = realloc(r->stack, capacity * sizeof *grown);
        if (grown == NULL) {
            fail(r->c, ERR_NOMEM, "out of memory");
            return false;
        }
        r->stack = grown;
        r->capacity = capacity;
    }
    r->stack[r->count++] = at;
    return true;
}

/* The rules that `rule` may call before a byte is read, into the stack from `base` on. */
static void collect_calls(struct ranking *r, uint32_t rule, uint32_t base) {
    const struct program *p = r->c->p;
    uint32_t *calls = NULL, call_count = 0, call_capacity = 0;
    push(r, p->rules[rule].start);
    while (r->count > base && work(r->c, 4)) {
        uint32_t at = r->stack[--r->count];
        const struct program_step *s = &p->steps[at];
        if (r->seen[at] == rule + 1 || !p->useful[at]) continue;
        r->seen[at] = rule + 1;
        if (s->op == PROGRAM_SPLIT) push(r, s->next), push(r, s->other);
        if (s->op != PROGRAM_CALL) continue;
        if (p->rules[s->other].nullable) push(r, s->next);
        if (call_count == call_capacity) {
            call_capacity = call_capacity ? 2 * call_capacity : 16;
            uint32_t *grown = realloc(calls, call_capacity * sizeof *grown);
            if (grown == NULL) {
                fail(r->c, ERR_NOMEM, "out of memory");
                break;
            }
            calls = grown;
        }
        calls[call_count++] = s->other;
    }
    r->count = base;
    for (uint32_t i = 0; i < call_count; i++) push(r, calls[i]);
    free(calls);
}

static void rank_rule(struct ranking *r, uint32_t rule) {
    struct program *p = r->c->p;
    uint32_t base = r->count;
    r->colour[rule] = 1;
    collect_calls(r, rule, base);
    for (uint32_t i = base, end = r->count; i < end && r->c->code == 0; i++) {
        uint32_t called = r->stack[i];
        if (r->colour[called] == 0) rank_rule(r, called);
        if (r->colour[called] == 1 && r->c->code == 0)
            r->c->code =
                error_set(r->c->error, ERR_INVALID,
                          "rule '%.200s' is left-recursive: it may begin with itself, write it as a repetition",
                          r->c->b->rules[called].name);
    }
    r->count = base;
    r->colour[rule] = 2;
    p->rules[rule].rank = --r->next_rank;
    p->by_rank[r->next_rank] = rule;
}

static void rank_rules(struct compiler *c) {
    struct program *p = c->p;
    struct ranking r = {.c = c, .next_rank = p->rule_count};
    r.colour = calloc(p->rule_count, 1);
    r.seen = calloc(p->count, sizeof *r.seen);
    p->by_rank = calloc(p->rule_count, sizeof *p->by_rank);
    if (!r.colour || !r.seen || !p->by_rank) fail(c, ERR_NOMEM, "out of memory");
    for (uint32_t i = 0; i < p->rule_count && c->code == 0; i++)
        if (r.colour[i] == 0) rank_rule(&r, i);
    free(r.colour);
    free(r.seen);
    free(r.stack);
}

/* ---- classes of bytes ---- */

static void class_bytes(struct program *p) {
    bool begins[257] = {[0] = true};
    for (uint32_t i = 0; i < p->count; i++)
        if (p->steps[i].op == PROGRAM_BYTE) begins[p->steps[i].first] = begins[p->steps[i].last + 1] = true;
    for (int byte = 0; byte < 256; byte++) {
        if (begins[byte]) p->class_byte[p->class_count++] = (uint8_t)byte;
        p->class_of[byte] = (uint8_t)(p->class_count - 1);
    }
}

static void analyse(struct compiler *c) {
    struct program *p = c->p;
    p->useful = solve(c, true);
    bool *nullable = c->code == 0 ? solve(c, false) : NULL;
    for (uint32_t i = 0; i < p->rule_count && c->code == 0; i++) p->rules[i].nullable = nullable[p->rules[i].start];
    free(nullable);
    if (c->code == 0 && !p->useful[p->rules[0].start]) fail(c, ERR_INVALID, "no text can match it to its end");
    if (c->code == 0) rank_rules(c);
    if (c->code == 0) class_bytes(p);
}

int program_init(struct program *p, const struct expr_builder *b, struct error *error) {
    *p = (struct program){0};
    struct compiler c = {.p = p, .b = b, .error = error};
    if (b->rule_count == 0) fail(&c, ERR_INVALID, "there are no rules");
    if (c.code == 0) emit_rules(&c);
    if (c.code == 0) analyse(&c);
    free(c.table);
    if (c.code) program_deinit(p);
    return c.code;
}

void program_deinit(struct program *p) {
    free(p->steps);
    free(p->useful);
    free(p->rules);
    free(p->by_rank);
    *p = (struct program){0};
}
