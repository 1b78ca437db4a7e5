/* Evaluation of the syntax tree. */
#pragma once
#include "model/template/ast.h"

/* A macro, or the body of a call block: it sees the variables around its definition. */
struct macro {
    const struct node *node;
    struct scope *scope;
};

/* What a template sees as `loop`. */
struct loop {
    const struct node *node;
    struct scope *scope; /* around the loop, for recursion */
    struct list *items;
    size_t index0, depth0;
    struct list *changed; /* last values given to loop.changed */
};

/* Where text goes: the prompt itself, or a captured block. */
void eval_body(struct interp *in, const struct nodes *body, struct builder *out);
struct value eval_expression(struct interp *in, const struct node *node);
const struct value *eval_lookup(struct interp *in, const struct string *name); /* NULL: undefined */
void eval_assign(struct interp *in, const struct node *target, struct value v);
void eval_arguments(struct interp *in, const struct arguments *arguments, struct call *call);
/* Filters of a filter or set block, applied to its text. */
struct value eval_filters(struct interp *in, const struct node *filters, struct value text);

struct value macro_call(struct interp *in, const struct macro *macro, const struct call *call);
struct value loop_call(struct interp *in, const struct loop *loop, const struct call *call);
/* ABSENT when loops have no such attribute. */
struct value loop_attribute(struct interp *in, struct loop *loop, const struct string *name);
