/* The automaton of a program while it runs: which instructions a text may be at, and where their rules return to.
 *
 * A place is a set of (instruction, stack); a stack is a set of frames (instruction behind a call, stack of its
 * caller), since one rule may have been called from several. Equal sets are one and have a number, so a place that was
 * seen before is recognised and its transitions are known: a deterministic automaton that is made as it is used. Frames
 * of calls that end their rule are left out, so lists do not grow. The sets are those of Earley ("An Efficient
 * Context-Free Parsing Algorithm", 1970), kept by content instead of by position. Numbers die with automaton_keep.
 * Pure. */
#pragma once
#include "model/grammar/program.h"

enum {
    AUTOMATON_UNKNOWN, /* a transition that nobody asked for yet; also: it could not be computed */
    AUTOMATON_DEAD,    /* nothing matches */
    AUTOMATON_STACK_END = 0,
    AUTOMATON_STACK_OUTSIDE = 1, /* an unknown caller */
};

/* An item of a place: a BYTE instruction and the stack of its rule. Or a frame: where a caller goes on, and its stack.
 */
struct automaton_pair {
    uint32_t at, stack;
};

struct automaton_place {
    uint32_t first, count; /* items, by stack, then instruction */
    bool ends;             /* the text may end here */
    bool outside;          /* an unknown caller may go on here */
    uint32_t *next;        /* [class], NULL: none known */
    void *notes;           /* the masks of mask.h, by number of notes; the owner's */
};

struct automaton_stack {
    uint32_t first, count; /* frames */
    uint32_t below;        /* place of its callers once the rule is complete; AUTOMATON_UNKNOWN: not computed */
};

struct automaton_set; /* numbers by content */
struct automaton_closure;

struct automaton {
    const struct program *program;
    struct automaton_pair *items;
    struct automaton_pair *frames;
    struct automaton_place *places;
    struct automaton_stack *stacks;
    uint32_t item_count, frame_count, place_count, stack_count;
    uint32_t item_capacity, frame_capacity, place_capacity, stack_capacity;
    uint32_t *place_table, *stack_table; /* hash -> number + 1 */
    uint32_t place_table_size, stack_table_size;
    struct automaton_closure *closure;
    size_t bytes;  /* held */
    uint64_t work; /* units left; the owner refills them */
    int code;      /* ERR_LIMIT when the work was spent, ERR_NOMEM; the owner clears it */
};

int automaton_init(struct automaton *a, const struct program *p);
void automaton_deinit(struct automaton *a);

/* Places by number; AUTOMATON_UNKNOWN when a->code was set. */
uint32_t automaton_start(struct automaton *a);
uint32_t automaton_next(struct automaton *a, uint32_t place, uint8_t class);
/* The items [first, first + count) of a place, which have one stack, as if their caller were unknown. */
uint32_t automaton_alone(struct automaton *a, uint32_t first, uint32_t count);
/* Where the callers of a stack go on. */
uint32_t automaton_below(struct automaton *a, uint32_t stack);
/* Forget all but these places, whose numbers are replaced by their new ones. ERR_NOMEM: nothing has changed. */
int automaton_keep(struct automaton *a, uint32_t **places, size_t count);
