/* What one parse or one rendering of a template holds: its memory, its limits, and the way out on an error.
 *
 * Everything lives in one bounded arena, so an error leaves by longjmp from wherever it happens and nothing is lost.
 * Hence no function between interp_enter and an interp_raise may own anything outside the arena. One thread. */
#pragma once
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

struct scope;
struct string;
struct value;

enum { INTERP_MEMORY_BYTES_MAX = 512 << 20, INTERP_STEPS_MAX = 20000000, INTERP_DEPTH_MAX = 600 };

struct interp {
    struct arena arena;
    uint64_t steps;
    unsigned depth;
    uint32_t line; /* being parsed or evaluated, for messages */
    jmp_buf out;
    struct error *error;
    int code;                    /* after a raise */
    const char *now;             /* ISO date-time for strftime_now */
    struct scope *root, *scope;  /* outermost and current variables */
    const struct value *context; /* dict of the variables given */
};

void interp_init(struct interp *in, struct error *error);
void interp_deinit(struct interp *in);

/* Zeroed memory that lives as long as the arena. */
void *interp_alloc(struct interp *in, size_t size);
void *interp_array(struct interp *in, size_t count, size_t size);
/* `items` of `count` with room for one more: the same, or a copy with twice the capacity. */
void *interp_grow(struct interp *in, void *items, size_t count, size_t *capacity, size_t size);

/* Account for work; a template that does too much is stopped. */
void interp_spend(struct interp *in, uint64_t steps);
/* Go one level deeper (and come back up with in->depth--). */
void interp_descend(struct interp *in);

/* Fail with a message, as Python would. */
_Noreturn void interp_raise(struct interp *in, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fail because a limit is reached. */
_Noreturn void interp_raise_limit(struct interp *in, const char *what);
