#include "model/template/interp.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void interp_init(struct interp *in, struct error *error) {
    *in = (struct interp){.arena = {.used_max = INTERP_MEMORY_BYTES_MAX}, .error = error, .line = 1};
}

void interp_deinit(struct interp *in) { arena_deinit(&in->arena); }

_Noreturn void interp_raise_limit(struct interp *in, const char *what) {
    in->code = error_set(in->error, ERR_LIMIT, "the template %s", what);
    longjmp(in->out, 1);
}

_Noreturn void interp_raise(struct interp *in, const char *format, ...) {
    char text[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    in->code = error_set(in->error, ERR_INVALID, "%s", text);
    longjmp(in->out, 1);
}

void *interp_array(struct interp *in, size_t count, size_t size) {
    void *memory = arena_array(&in->arena, count, size);
    if (memory == NULL) interp_raise_limit(in, "needs too much memory");
    return memory;
}

void *interp_alloc(struct interp *in, size_t size) { return interp_array(in, 1, size); }

void *interp_grow(struct interp *in, void *items, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity) return items;
    *capacity = *capacity ? 2 * *capacity : 4;
    void *larger = interp_array(in, *capacity, size);
    if (count > 0) memcpy(larger, items, count * size);
    return larger;
}

void interp_spend(struct interp *in, uint64_t steps) {
    in->steps += steps;
    if (in->steps > INTERP_STEPS_MAX) interp_raise_limit(in, "does not come to an end");
}

void interp_descend(struct interp *in) {
    if (++in->depth > INTERP_DEPTH_MAX) interp_raise_limit(in, "nests too deep");
}
