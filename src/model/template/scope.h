/* Variables of a template, and the values that hold some of their own. */
#pragma once
#include "model/template/value.h"

struct variable {
    const struct string *name; /* interned: compared by address */
    struct value value;
};

/* Variables of one block; lookups go on in the parent. */
struct scope {
    struct scope *parent;
    struct variable *variables;
    size_t count, capacity;
};

struct namespace {
    struct scope attributes;
};

struct cycler {
    struct list *list;
    size_t at;
};
struct joiner {
    const struct string *separator;
    bool used;
};

struct scope *scope_new(struct interp *in, struct scope *parent);
void scope_set(struct interp *in, struct scope *s, const struct string *name, struct value v);
const struct value *scope_find(const struct scope *s, const struct string *name); /* in this scope alone */
/* Names of a namespace are compared by their text. */
void namespace_set(struct interp *in, struct namespace *ns, const struct string *name, struct value v);
const struct value *namespace_find(const struct namespace *ns, const struct string *name);
