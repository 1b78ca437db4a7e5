/* What a loop and a cycler have: attributes and methods. */
#include "model/template/scope.h"
#include "model/template/eval.h"
#include "model/template/tables.h"

#define ARGUMENTS struct interp *in, struct value self, const struct value *args, const struct call *call

static struct value neighbour(struct interp *in, const struct loop *loop, bool next) {
    size_t at = next ? loop->index0 + 1 : loop->index0 - 1;
    if (at < loop->items->count) return loop->items->items[at]; /* before the first is beyond the end */
    return value_undefined(in, next ? "there is no next item" : "there is no previous item");
}

struct value loop_attribute(struct interp *in, struct loop *loop, const struct string *name) {
    int64_t index0 = (int64_t)loop->index0, length = (int64_t)loop->items->count;
    if (string_is(name, "index")) return value_int(index0 + 1);
    if (string_is(name, "index0")) return value_int(index0);
    if (string_is(name, "revindex")) return value_int(length - index0);
    if (string_is(name, "revindex0")) return value_int(length - index0 - 1);
    if (string_is(name, "first")) return value_bool(index0 == 0);
    if (string_is(name, "last")) return value_bool(index0 + 1 == length);
    if (string_is(name, "length")) return value_int(length);
    if (string_is(name, "depth")) return value_int((int64_t)loop->depth0 + 1);
    if (string_is(name, "depth0")) return value_int((int64_t)loop->depth0);
    if (string_is(name, "previtem")) return neighbour(in, loop, false);
    if (string_is(name, "nextitem")) return neighbour(in, loop, true);
    return (struct value){.kind = VALUE_ABSENT};
}

static struct value loop_cycle(ARGUMENTS) {
    if (call->count == 0) interp_raise(in, "no items for cycling given");
    return call->args[self.loop->index0 % call->count];
}

static struct value loop_changed(ARGUMENTS) {
    struct list *now = list_new(in);
    for (size_t i = 0; i < call->count; i++) list_add(in, now, call->args[i]);
    struct list *before = self.loop->changed;
    bool same = before && value_equal(in, value_tuple(before), value_tuple(now));
    if (!same) self.loop->changed = now;
    return value_bool(!same);
}

static struct value cycler_next(ARGUMENTS) {
    struct cycler *c = self.cycler;
    return c->list->items[c->at++ % c->list->count];
}

static struct value cycler_reset(ARGUMENTS) {
    self.cycler->at = 0;
    return value_none();
}

const struct builtin methods_loop[] = {{"cycle", loop_cycle}, {"changed", loop_changed}, {NULL}};
const struct builtin methods_cycler[] = {{"next", cycler_next, ""}, {"reset", cycler_reset, ""}, {NULL}};
