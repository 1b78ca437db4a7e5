#include "model/grammar/automaton.h"

#include <stdlib.h>
#include <string.h>

#include "base/prng.h"

enum { VISIT_WORK = 16, BYTES_MAX = 256 << 20 };

/* Frames that are not in the program: the callers of AUTOMATON_STACK_END and AUTOMATON_STACK_OUTSIDE. */
#define FRAME_END     (UINT32_MAX - 1)
#define FRAME_OUTSIDE UINT32_MAX

struct call {
    struct automaton_pair frame;
    uint32_t next; /* of the same rule; 0: none, else index + 1 */
};

/* What is computed between two places. */
struct automaton_closure {
    struct automaton_pair *todo, *items, *seen; /* seen: a hash table, `mark` says whether a slot counts */
    uint32_t *mark;
    uint32_t todo_count, todo_capacity, item_count, item_capacity, seen_size, seen_count, round;
    struct call *calls;
    uint32_t call_count, call_capacity;
    uint32_t *called;  /* [rule] its first call + 1 */
    uint64_t *pending; /* bits by rank */
    struct automaton_pair *gathered;
    uint32_t gathered_capacity;
    bool ends, outside;
    bool starting; /* inside a rule that was just called: its callers have stepped over it if it may be empty */
};

static void fail(struct automaton *a, int code) {
    if (a->code == 0) a->code = code;
}

static bool spend(struct automaton *a, uint64_t units) {
    if (a->work < units) {
        a->work = 0;
        fail(a, ERR_LIMIT);
    } else {
        a->work -= units;
    }
    return a->code == 0;
}

/* Room for one more thing of `size` bytes in the array that the pointer at `array` points to; false: out of memory. */
static bool reserve(struct automaton *a, void *array, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity) return true;
    uint32_t grown = *capacity ? 2 * *capacity : 64;
    void *old, *memory;
    memcpy(&old, array, sizeof old);
    memory = a->bytes < BYTES_MAX ? realloc(old, grown * size) : NULL;
    if (memory == NULL) {
        fail(a, a->bytes < BYTES_MAX ? ERR_NOMEM : ERR_LIMIT);
        return false;
    }
    a->bytes += (grown - *capacity) * size;
    memcpy(array, &memory, sizeof memory);
    *capacity = grown;
    return true;
}

/* ---- sets by content ---- */

static int compare_pairs(const void *x, const void *y) {
    const struct automaton_pair *a = x, *b = y;
    if (a->stack != b->stack) return a->stack < b->stack ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

static uint64_t hash_pairs(const void *pairs, uint32_t count, uint64_t h) {
    const struct automaton_pair *at = pairs;
    for (uint32_t i = 0; i < count; i++) h = prng_mix(h ^ ((uint64_t)at[i].at << 32 | at[i].stack));
    return h;
}

static bool grow_table(struct automaton *a, uint32_t **table, uint32_t *size) {
    uint32_t grown = *size ? 2 * *size : 128;
    uint32_t *memory = calloc(grown, sizeof *memory);
    if (memory == NULL) {
        fail(a, ERR_NOMEM);
        return false;
    }
    free(*table);
    a->bytes += (grown - *size) * sizeof *memory;
    *table = memory;
    *size = grown;
    return true;
}

static void table_put(uint32_t *table, uint32_t size, uint64_t hash, uint32_t number) {
    while (table[hash & (size - 1)] != 0) hash++;
    table[hash & (size - 1)] = number + 1;
}

static uint64_t hash_stack(const struct automaton *a, uint32_t n) {
    return hash_pairs(a->frames + a->stacks[n].first, a->stacks[n].count, 0);
}

static uint64_t hash_place(const struct automaton *a, uint32_t n) {
    const struct automaton_place *p = &a->places[n];
    return hash_pairs(a->items + p->first, p->count, 1 + p->ends + 2 * (uint64_t)p->outside);
}

/* The number of the stack of these frames, which are sorted and without doubles. */
static uint32_t intern_stack(struct automaton *a, const struct automaton_pair *frames, uint32_t count) {
    uint64_t hash = hash_pairs(frames, count, 0);
    for (uint64_t at = hash; a->stack_table[at & (a->stack_table_size - 1)] != 0; at++) {
        uint32_t found = a->stack_table[at & (a->stack_table_size - 1)] - 1;
        const struct automaton_stack *s = &a->stacks[found];
        if (s->count == count && memcmp(a->frames + s->first, frames, count * sizeof *frames) == 0) return found;
    }
    if (!reserve(a, &a->stacks, a->stack_count, &a->stack_capacity, sizeof *a->stacks)) return 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!reserve(a, &a->frames, a->frame_count + i, &a->frame_capacity, sizeof *a->frames)) return 0;
        a->frames[a->frame_count + i] = frames[i];
    }
    uint32_t number = a->stack_count++;
    a->stacks[number] = (struct automaton_stack){.first = a->frame_count, .count = count};
    a->frame_count += count;
    table_put(a->stack_table, a->stack_table_size, hash, number);
    if (a->stack_count < a->stack_table_size / 2) return number;
    if (!grow_table(a, &a->stack_table, &a->stack_table_size)) return 0;
    for (uint32_t i = 0; i < a->stack_count; i++) table_put(a->stack_table, a->stack_table_size, hash_stack(a, i), i);
    return number;
}

static bool same_place(const struct automaton *a, uint32_t n, const struct automaton_place *p,
                       const struct automaton_pair *items) {
    const struct automaton_place *q = &a->places[n];
    return q->count == p->count && q->ends == p->ends && q->outside == p->outside &&
           (p->count == 0 || memcmp(a->items + q->first, items, p->count * sizeof *items) == 0);
}

static uint32_t intern_place(struct automaton *a, const struct automaton_pair *items, uint32_t count, bool ends,
                             bool outside) {
    struct automaton_place p = {.first = a->item_count, .count = count, .ends = ends, .outside = outside};
    uint64_t hash = hash_pairs(items, count, 1 + ends + 2 * (uint64_t)outside);
    if (count == 0 && !ends && !outside) return AUTOMATON_DEAD;
    for (uint64_t at = hash; a->place_table[at & (a->place_table_size - 1)] != 0; at++) {
        uint32_t found = a->place_table[at & (a->place_table_size - 1)] - 1;
        if (same_place(a, found, &p, items)) return found;
    }
    if (!reserve(a, &a->places, a->place_count, &a->place_capacity, sizeof *a->places)) return AUTOMATON_UNKNOWN;
    for (uint32_t i = 0; i < count; i++) {
        if (!reserve(a, &a->items, a->item_count + i, &a->item_capacity, sizeof *a->items)) return AUTOMATON_UNKNOWN;
        a->items[a->item_count + i] = items[i];
    }
    uint32_t number = a->place_count++;
    a->places[number] = p;
    a->item_count += count;
    table_put(a->place_table, a->place_table_size, hash, number);
    if (a->place_count < a->place_table_size / 2) return number;
    if (!grow_table(a, &a->place_table, &a->place_table_size)) return AUTOMATON_UNKNOWN;
    for (uint32_t i = AUTOMATON_DEAD + 1; i < a->place_count; i++)
        table_put(a->place_table, a->place_table_size, hash_place(a, i), i);
    return number;
}

/* ---- the closure: all that can be reached without reading a byte ---- */

static bool grow_seen(struct automaton *a) {
    struct automaton_closure *c = a->closure;
    uint32_t size = c->seen_size ? 2 * c->seen_size : 256;
    struct automaton_pair *seen = malloc(size * sizeof *seen), *old = c->seen;
    uint32_t *mark = calloc(size, sizeof *mark), *old_mark = c->mark;
    if (seen == NULL || mark == NULL) {
        free(seen);
        free(mark);
        fail(a, ERR_NOMEM);
        return false;
    }
    for (uint32_t i = 0; i < c->seen_size; i++) {
        if (old_mark[i] != c->round) continue;
        uint64_t at = hash_pairs(&old[i], 1, 2);
        while (mark[at & (size - 1)] == c->round) at++;
        seen[at & (size - 1)] = old[i];
        mark[at & (size - 1)] = c->round;
    }
    free(old);
    free(old_mark);
    c->seen = seen;
    c->mark = mark;
    a->bytes += (size - c->seen_size) * (sizeof *seen + sizeof *mark);
    c->seen_size = size;
    return true;
}

/* False when it was seen in this round already. */
static bool see(struct automaton *a, struct automaton_pair item) {
    struct automaton_closure *c = a->closure;
    if (c->seen_count >= c->seen_size / 2 && !grow_seen(a)) return false;
    uint64_t at = hash_pairs(&item, 1, 2);
    for (; c->mark[at & (c->seen_size - 1)] == c->round; at++) {
        const struct automaton_pair *found = &c->seen[at & (c->seen_size - 1)];
        if (found->at == item.at && found->stack == item.stack) return false;
    }
    c->seen[at & (c->seen_size - 1)] = item;
    c->mark[at & (c->seen_size - 1)] = c->round;
    c->seen_count++;
    return true;
}

static void begin_closure(struct automaton *a) {
    struct automaton_closure *c = a->closure;
    c->todo_count = c->item_count = c->seen_count = c->call_count = 0;
    c->ends = c->outside = c->starting = false;
    if (++c->round != 0) return;
    if (c->mark) memset(c->mark, 0, c->seen_size * sizeof *c->mark);
    c->round = 1;
}

static void reach(struct automaton *a, uint32_t at, uint32_t stack) {
    struct automaton_closure *c = a->closure;
    if (!a->program->useful[at] || !spend(a, VISIT_WORK) || !see(a, (struct automaton_pair){at, stack})) return;
    if (!reserve(a, &c->todo, c->todo_count, &c->todo_capacity, sizeof *c->todo)) return;
    c->todo[c->todo_count++] = (struct automaton_pair){at, stack};
}

static void return_to(struct automaton *a, struct automaton_pair f) {
    if (f.at == FRAME_END)
        a->closure->ends = true;
    else if (f.at == FRAME_OUTSIDE)
        a->closure->outside = true;
    else
        reach(a, f.at, f.stack);
}

static void return_from(struct automaton *a, uint32_t stack) {
    for (uint32_t i = 0; i < a->stacks[stack].count && spend(a, 1); i++)
        return_to(a, a->frames[a->stacks[stack].first + i]);
}

static void call_rule(struct automaton *a, uint32_t rule, struct automaton_pair frame) {
    struct automaton_closure *c = a->closure;
    uint32_t rank = a->program->rules[rule].rank;
    if (!spend(a, 1) || !reserve(a, &c->calls, c->call_count, &c->call_capacity, sizeof *c->calls)) return;
    c->calls[c->call_count] = (struct call){frame, c->called[rule]};
    c->called[rule] = ++c->call_count;
    c->pending[rank / 64] |= (uint64_t)1 << rank % 64;
}

static void take_call(struct automaton *a, const struct program_step *s, uint32_t stack) {
    if (!a->program->useful[a->program->rules[s->other].start]) return;
    if (s->next != PROGRAM_RETURN_AT) {
        call_rule(a, s->other, (struct automaton_pair){s->next, stack});
    } else {
        for (uint32_t i = 0; i < a->stacks[stack].count; i++)
            call_rule(a, s->other, a->frames[a->stacks[stack].first + i]);
    }
    if (a->program->rules[s->other].nullable) reach(a, s->next, stack);
}

static void take_item(struct automaton *a, struct automaton_pair item) {
    struct automaton_closure *c = a->closure;
    const struct program_step *s = &a->program->steps[item.at];
    switch ((enum program_op)s->op) {
    case PROGRAM_RETURN:
        if (!c->starting) return_from(a, item.stack);
        break;
    case PROGRAM_BYTE:
        if (reserve(a, &c->items, c->item_count, &c->item_capacity, sizeof *c->items)) c->items[c->item_count++] = item;
        break;
    case PROGRAM_SPLIT:
        reach(a, s->next, item.stack);
        reach(a, s->other, item.stack);
        break;
    case PROGRAM_CALL: take_call(a, s, item.stack); break;
    }
}

static void take_all(struct automaton *a) {
    struct automaton_closure *c = a->closure;
    while (c->todo_count > 0) take_item(a, c->todo[--c->todo_count]);
}

/* The stack of everyone who called the rule here. */
static uint32_t gather_callers(struct automaton *a, uint32_t rule) {
    struct automaton_closure *c = a->closure;
    uint32_t count = 0, kept = 0;
    for (uint32_t i = c->called[rule]; i != 0; i = c->calls[i - 1].next) {
        if (!reserve(a, &c->gathered, count, &c->gathered_capacity, sizeof *c->gathered)) break;
        c->gathered[count++] = c->calls[i - 1].frame;
    }
    c->called[rule] = 0;
    qsort(c->gathered, count, sizeof *c->gathered, compare_pairs);
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || compare_pairs(&c->gathered[kept - 1], &c->gathered[i]) != 0)
            c->gathered[kept++] = c->gathered[i];
    return intern_stack(a, c->gathered, kept);
}

/* Enter the rules that were called, each once, those that may call others before them. */
static void enter_rules(struct automaton *a) {
    struct automaton_closure *c = a->closure;
    const struct program *p = a->program;
    c->starting = true;
    for (uint32_t word = 0; word < (p->rule_count + 63) / 64; word++)
        while (c->pending[word] != 0) {
            uint32_t rule = p->by_rank[word * 64 + (uint32_t)__builtin_ctzll(c->pending[word])];
            c->pending[word] &= c->pending[word] - 1;
            uint32_t stack = gather_callers(a, rule);
            reach(a, p->rules[rule].start, stack);
            take_all(a);
        }
}

static uint32_t end_closure(struct automaton *a) {
    struct automaton_closure *c = a->closure;
    take_all(a);
    enter_rules(a);
    if (a->code) return AUTOMATON_UNKNOWN;
    if (c->item_count > 0) qsort(c->items, c->item_count, sizeof *c->items, compare_pairs);
    return intern_place(a, c->items, c->item_count, c->ends, c->outside);
}

/* ---- places ---- */

uint32_t automaton_start(struct automaton *a) {
    begin_closure(a);
    a->closure->ends = a->program->rules[0].nullable;
    call_rule(a, 0, (struct automaton_pair){FRAME_END, AUTOMATON_STACK_END});
    return end_closure(a);
}

static uint32_t compute_next(struct automaton *a, uint32_t place, uint8_t byte) {
    struct automaton_place p = a->places[place];
    begin_closure(a);
    for (uint32_t i = p.first; i < p.first + p.count && spend(a, 1); i++) {
        struct automaton_pair item = a->items[i];
        const struct program_step *s = &a->program->steps[item.at];
        if (s->first <= byte && byte <= s->last) reach(a, s->next, item.stack);
    }
    return end_closure(a);
}

uint32_t automaton_next(struct automaton *a, uint32_t place, uint8_t class) {
    struct automaton_place *p = &a->places[place];
    if (p->next && p->next[class] != AUTOMATON_UNKNOWN) return p->next[class];
    if (p->next == NULL) {
        size_t bytes = a->program->class_count * sizeof *p->next;
        p->next = calloc(1, bytes);
        if (p->next == NULL) return fail(a, ERR_NOMEM), AUTOMATON_UNKNOWN;
        a->bytes += bytes;
    }
    uint32_t *slot = &p->next[class];
    return *slot = compute_next(a, place, a->program->class_byte[class]);
}

uint32_t automaton_alone(struct automaton *a, uint32_t first, uint32_t count) {
    struct automaton_closure *c = a->closure;
    begin_closure(a);
    for (uint32_t i = 0; i < count; i++) {
        if (!reserve(a, &c->items, i, &c->item_capacity, sizeof *c->items)) return AUTOMATON_UNKNOWN;
        c->items[i] = (struct automaton_pair){a->items[first + i].at, AUTOMATON_STACK_OUTSIDE};
    }
    return intern_place(a, c->items, count, false, false);
}

uint32_t automaton_below(struct automaton *a, uint32_t stack) {
    if (a->stacks[stack].below != AUTOMATON_UNKNOWN) return a->stacks[stack].below;
    begin_closure(a);
    return_from(a, stack);
    uint32_t place = end_closure(a);
    return a->stacks[stack].below = place;
}

/* ---- life ---- */

static bool init_closure(struct automaton *a) {
    struct automaton_closure *c = calloc(1, sizeof *c);
    a->closure = c;
    if (c == NULL) return false;
    c->called = calloc(a->program->rule_count, sizeof *c->called);
    c->pending = calloc((a->program->rule_count + 63) / 64, sizeof *c->pending);
    return c->called && c->pending;
}

int automaton_init(struct automaton *a, const struct program *p) {
    *a = (struct automaton){.program = p};
    bool good = init_closure(a) && grow_table(a, &a->place_table, &a->place_table_size) &&
                grow_table(a, &a->stack_table, &a->stack_table_size) &&
                reserve(a, &a->places, 1, &a->place_capacity, sizeof *a->places);
    if (!good) {
        automaton_deinit(a);
        return ERR_NOMEM;
    }
    a->places[AUTOMATON_UNKNOWN] = a->places[AUTOMATON_DEAD] = (struct automaton_place){0};
    a->place_count = AUTOMATON_DEAD + 1;
    intern_stack(a, &(struct automaton_pair){FRAME_END, 0}, 1);
    intern_stack(a, &(struct automaton_pair){FRAME_OUTSIDE, 0}, 1);
    if (a->code) automaton_deinit(a);
    return a->code;
}

void automaton_deinit(struct automaton *a) {
    struct automaton_closure *c = a->closure;
    for (uint32_t i = 0; i < a->place_count; i++) free(a->places[i].next);
    free(a->items);
    free(a->frames);
    free(a->places);
    free(a->stacks);
    free(a->place_table);
    free(a->stack_table);
    if (c) {
        free(c->todo);
        free(c->items);
        free(c->seen);
        free(c->mark);
        free(c->calls);
        free(c->called);
        free(c->pending);
        free(c->gathered);
    }
    free(c);
    *a = (struct automaton){.program = a->program, .code = a->code};
}

/* ---- forgetting ---- */

/* Frames name stacks that are older than their own, so one pass down finds all that are needed. */
static void mark_stacks(const struct automaton *a, bool *needed) {
    for (uint32_t n = a->stack_count; n-- > 0;)
        for (uint32_t i = 0; needed[n] && i < a->stacks[n].count; i++)
            needed[a->frames[a->stacks[n].first + i].stack] = true;
}

static uint32_t move_stack(struct automaton *to, const struct automaton *from, uint32_t n, const uint32_t *moved) {
    struct automaton_closure *c = to->closure;
    const struct automaton_stack *s = &from->stacks[n];
    for (uint32_t i = 0; i < s->count; i++) {
        if (!reserve(to, &c->gathered, i, &c->gathered_capacity, sizeof *c->gathered)) return 0;
        struct automaton_pair f = from->frames[s->first + i];
        c->gathered[i] = (struct automaton_pair){f.at, moved[f.stack]};
    }
    qsort(c->gathered, s->count, sizeof *c->gathered, compare_pairs);
    return intern_stack(to, c->gathered, s->count);
}

static uint32_t move_place(struct automaton *to, const struct automaton *from, uint32_t n, const uint32_t *moved) {
    struct automaton_closure *c = to->closure;
    const struct automaton_place *p = &from->places[n];
    for (uint32_t i = 0; i < p->count; i++) {
        if (!reserve(to, &c->items, i, &c->item_capacity, sizeof *c->items)) return 0;
        struct automaton_pair item = from->items[p->first + i];
        c->items[i] = (struct automaton_pair){item.at, moved[item.stack]};
    }
    if (p->count > 0) qsort(c->items, p->count, sizeof *c->items, compare_pairs);
    return intern_place(to, c->items, p->count, p->ends, p->outside);
}

int automaton_keep(struct automaton *a, uint32_t **places, size_t count) {
    struct automaton to;
    if (automaton_init(&to, a->program) != 0) return ERR_NOMEM;
    bool *needed = calloc(a->stack_count, sizeof *needed);
    uint32_t *moved = calloc(a->stack_count, sizeof *moved), *renamed = calloc(count + 1, sizeof *renamed);
    if (!needed || !moved || !renamed) fail(&to, ERR_NOMEM);
    for (size_t i = 0; i < count && to.code == 0; i++) {
        const struct automaton_place *p = &a->places[*places[i]];
        for (uint32_t k = 0; k < p->count; k++) needed[a->items[p->first + k].stack] = true;
    }
    if (to.code == 0) mark_stacks(a, needed);
    for (uint32_t n = 0; n < a->stack_count && to.code == 0; n++)
        if (needed[n]) moved[n] = move_stack(&to, a, n, moved);
    for (size_t i = 0; i < count && to.code == 0; i++) renamed[i] = move_place(&to, a, *places[i], moved);
    int code = to.code;
    if (code == 0) {
        for (size_t i = 0; i < count; i++) *places[i] = renamed[i];
        to.work = a->work;
        automaton_deinit(a);
        *a = to;
    } else {
        automaton_deinit(&to);
    }
    free(needed);
    free(moved);
    free(renamed);
    return code;
}
