#include "model/template/scope.h"
#include "model/template/eval.h"

#include <string.h>

#include "model/template/print.h"

/* ---- variables ---- */

const struct value *eval_lookup(struct interp *in, const struct string *name) {
    interp_spend(in, 1);
    for (const struct scope *s = in->scope; s; s = s->parent) {
        const struct value *v = scope_find(s, name);
        if (v) return v;
    }
    const struct value *given = dict_find(in, in->context->dict, value_string(name));
    if (given) return given;
    struct value function = builtin_function(in, name);
    if (!value_given(function)) return NULL;
    struct value *box = interp_alloc(in, sizeof *box);
    *box = function;
    return box;
}

static struct value lookup(struct interp *in, const struct string *name) {
    const struct value *found = eval_lookup(in, name);
    if (found) return *found;
    struct undefined *u = interp_alloc(in, sizeof *u);
    u->name = name;
    return (struct value){.kind = VALUE_UNDEFINED, .undefined = u};
}

static void unpack(struct interp *in, const struct nodes *targets, struct value v) {
    if (!value_iterable(v)) interp_raise(in, "cannot unpack non-iterable %s object", value_type(v));
    struct list *l = value_items(in, v);
    if (l->count > targets->count) interp_raise(in, "too many values to unpack (expected %zu)", targets->count);
    if (l->count < targets->count)
        interp_raise(in, "not enough values to unpack (expected %zu, got %zu)", targets->count, l->count);
    for (size_t i = 0; i < l->count; i++) eval_assign(in, targets->items[i], l->items[i]);
}

void eval_assign(struct interp *in, const struct node *target, struct value v) {
    if (target->kind == NODE_NAME) {
        scope_set(in, in->scope, target->name, v);
    } else if (target->kind == NODE_ATTRIBUTE_TARGET) {
        struct value object = lookup(in, target->first->name);
        if (object.kind != VALUE_NAMESPACE) interp_raise(in, "cannot assign attribute on non-namespace object");
        namespace_set(in, object.namespace, target->name, v);
    } else {
        unpack(in, &target->items, v);
    }
}

/* ---- expressions ---- */

static void spread(struct interp *in, const struct node *star, struct call *call) {
    struct value v = eval_expression(in, star);
    if (!value_iterable(v)) interp_raise(in, "argument after * must be an iterable, not %s", value_type(v));
    struct list *l = value_items(in, v);
    for (size_t i = 0; i < l->count; i++) call_add(in, call, l->items[i]);
}

static void spread_keywords(struct interp *in, const struct node *star_star, struct call *call) {
    struct value v = eval_expression(in, star_star);
    if (v.kind != VALUE_DICT) interp_raise(in, "argument after ** must be a mapping, not %s", value_type(v));
    for (size_t i = 0; i < v.dict->count; i++) {
        if (v.dict->keys[i].kind != VALUE_STRING) interp_raise(in, "keywords must be strings");
        call_add_keyword(in, call, v.dict->keys[i].string, v.dict->values[i]);
    }
}

void eval_arguments(struct interp *in, const struct arguments *a, struct call *call) {
    for (size_t i = 0; i < a->positional.count; i++) call_add(in, call, eval_expression(in, a->positional.items[i]));
    if (a->star) spread(in, a->star, call);
    for (size_t i = 0; i < a->keywords.count; i++)
        call_add_keyword(in, call, a->keyword_names[i], eval_expression(in, a->keywords.items[i]));
    if (a->star_star) spread_keywords(in, a->star_star, call);
}

static struct value apply(struct interp *in, const struct node *n, const char *what, struct value subject) {
    struct call call = {0};
    if (n->builtin == NULL)
        interp_raise(in, "line %u: No %s named '%.*s'.", n->line, what, (int)n->name->len, n->name->data);
    eval_arguments(in, n->arguments, &call);
    return builtin_call(in, n->builtin, subject, &call);
}

struct value eval_filters(struct interp *in, const struct node *filters, struct value text) {
    if (filters == NULL) return text;
    interp_descend(in);
    struct value result = apply(in, filters, "filter", eval_filters(in, filters->first, text));
    in->depth--;
    return result;
}

static struct value eval_sequence(struct interp *in, const struct node *n) {
    struct list *l = list_new(in);
    for (size_t i = 0; i < n->items.count; i++) list_add(in, l, eval_expression(in, n->items.items[i]));
    return n->kind == NODE_LIST ? value_list(l) : value_tuple(l);
}

static struct value eval_dict(struct interp *in, const struct node *n) {
    struct dict *d = dict_new(in);
    for (size_t i = 0; i + 1 < n->items.count; i += 2) {
        struct value key = eval_expression(in, n->items.items[i]);
        dict_set(in, d, key, eval_expression(in, n->items.items[i + 1]));
    }
    return value_dict(d);
}

static struct value eval_slice(struct interp *in, const struct node *n) {
    struct value object = eval_expression(in, n->first), bounds[3];
    for (int i = 0; i < 3; i++) bounds[i] = n->items.items[i] ? eval_expression(in, n->items.items[i]) : value_none();
    return value_slice(in, object, bounds);
}

static struct value eval_concat(struct interp *in, const struct node *n) {
    struct list *parts = eval_sequence(in, n).list;
    struct builder b = builder_new(in);
    for (size_t i = 0; i < parts->count; i++) value_print(&b, parts->items[i]);
    return value_string(builder_string(&b));
}

static bool holds(struct interp *in, enum compare op, struct value a, struct value b) {
    static const char *const symbols[] = {"==", "!=", "<", "<=", ">", ">="};
    if (op == COMPARE_EQ) return value_equal(in, a, b);
    if (op == COMPARE_NE) return !value_equal(in, a, b);
    if (op == COMPARE_IN) return value_contains(in, b, a);
    if (op == COMPARE_NOT_IN) return !value_contains(in, b, a);
    int order = value_compare(in, a, b, symbols[op]);
    if (order == VALUE_UNORDERED) return false;
    return op == COMPARE_LT ? order < 0 : op == COMPARE_LE ? order <= 0 : op == COMPARE_GT ? order > 0 : order >= 0;
}

static struct value eval_compare(struct interp *in, const struct node *n) {
    struct value left = eval_expression(in, n->first);
    for (size_t i = 0; i < n->items.count; i++) {
        struct value right = eval_expression(in, n->items.items[i]);
        if (!holds(in, n->operators[i], left, right)) return value_bool(false);
        left = right;
    }
    return value_bool(true);
}

static struct value eval_condition(struct interp *in, const struct node *n) {
    if (value_truth(in, eval_expression(in, n->second))) return eval_expression(in, n->first);
    if (n->third) return eval_expression(in, n->third);
    return value_undefined(in, "the inline if-expression evaluated to false and no else section was defined.");
}

static struct value eval_call(struct interp *in, const struct node *n, const struct macro *caller) {
    struct call call = {0};
    struct value callee = eval_expression(in, n->first);
    eval_arguments(in, n->arguments, &call);
    struct value macro = {.kind = VALUE_MACRO, .macro = (struct macro *)(uintptr_t)caller};
    if (caller) call_add_keyword(in, &call, caller->node->parameters->caller, macro);
    return value_call(in, callee, &call);
}

static struct value evaluate(struct interp *in, const struct node *n) {
    struct value left;
    switch (n->kind) {
    case NODE_CONSTANT: return n->value;
    case NODE_NAME: return lookup(in, n->name);
    case NODE_LIST:
    case NODE_TUPLE: return eval_sequence(in, n);
    case NODE_DICT: return eval_dict(in, n);
    case NODE_ATTRIBUTE: return value_attribute(in, eval_expression(in, n->first), n->name);
    case NODE_ITEM: left = eval_expression(in, n->first); return value_item(in, left, eval_expression(in, n->second));
    case NODE_SLICE: return eval_slice(in, n);
    case NODE_CALL: return eval_call(in, n, NULL);
    case NODE_FILTER: return apply(in, n, "filter", eval_expression(in, n->first));
    case NODE_TEST: return value_bool(value_truth(in, apply(in, n, "test", eval_expression(in, n->first))));
    case NODE_NOT: return value_bool(!value_truth(in, eval_expression(in, n->first)));
    case NODE_NEGATE: return value_negate(in, eval_expression(in, n->first), true);
    case NODE_POSITIVE: return value_negate(in, eval_expression(in, n->first), false);
    case NODE_ARITHMETIC:
        left = eval_expression(in, n->first);
        return value_arithmetic(in, n->op, left, eval_expression(in, n->second));
    case NODE_CONCAT: return eval_concat(in, n);
    case NODE_AND:
        left = eval_expression(in, n->first);
        return value_truth(in, left) ? eval_expression(in, n->second) : left;
    case NODE_OR:
        left = eval_expression(in, n->first);
        return value_truth(in, left) ? left : eval_expression(in, n->second);
    case NODE_COMPARE: return eval_compare(in, n);
    case NODE_CONDITION: return eval_condition(in, n);
    default: interp_raise(in, "line %u: not an expression", n->line);
    }
}

struct value eval_expression(struct interp *in, const struct node *n) {
    interp_spend(in, 1);
    interp_descend(in);
    struct value v = evaluate(in, n);
    in->depth--;
    return v;
}

/* ---- macros ---- */

static const struct value *keyword(const struct call *call, const struct string *name) {
    for (size_t i = 0; i < call->keyword_count; i++)
        if (string_equal(call->keywords[i].name, name)) return &call->keywords[i].value;
    return NULL;
}

/* Is the keyword one that a parameter beyond the positional arguments, or the caller, takes? */
static bool keyword_is_taken(const struct parameters *p, const struct call *call, const struct string *name) {
    for (size_t i = call->count; i < p->count; i++)
        if (string_equal(p->names[i], name)) return true;
    return p->uses_caller && string_equal(name, p->caller);
}

static void bind_rest(struct interp *in, const struct macro *m, const struct call *call, struct scope *scope) {
    const struct parameters *p = m->node->parameters;
    const struct string *name = m->node->name ? m->node->name : p->caller;
    struct dict *kwargs = dict_new(in);
    for (size_t i = 0; i < call->keyword_count; i++) {
        const struct keyword *k = &call->keywords[i];
        if (keyword_is_taken(p, call, k->name)) continue;
        if (!p->uses_kwargs)
            interp_raise(in, "macro '%.*s' takes no keyword argument '%.*s'", (int)name->len, name->data,
                         (int)k->name->len, k->name->data);
        dict_set(in, kwargs, value_string(k->name), k->value);
    }
    if (call->count > p->count && !p->uses_varargs)
        interp_raise(in, "macro '%.*s' takes not more than %zu argument(s)", (int)name->len, name->data, p->count);
    struct list *varargs = list_new(in);
    for (size_t i = p->count; i < call->count; i++) list_add(in, varargs, call->args[i]);
    if (p->uses_kwargs) scope_set(in, scope, p->kwargs, value_dict(kwargs));
    if (p->uses_varargs) scope_set(in, scope, p->varargs, value_tuple(varargs));
    const struct value *caller = keyword(call, p->caller);
    if (p->uses_caller) scope_set(in, scope, p->caller, caller ? *caller : value_undefined(in, "No caller defined"));
}

static void bind_parameters(struct interp *in, const struct parameters *p, const struct call *call,
                            struct scope *scope) {
    for (size_t i = 0; i < p->count; i++) {
        const struct value *given = i < call->count ? &call->args[i] : keyword(call, p->names[i]);
        struct value v;
        if (given)
            v = *given;
        else if (p->defaults[i])
            v = eval_expression(in, p->defaults[i]);
        else
            v = value_undefined(in, "a parameter was not provided");
        scope_set(in, scope, p->names[i], v);
    }
}

struct value macro_call(struct interp *in, const struct macro *m, const struct call *call) {
    struct scope *outer = in->scope;
    struct builder out = builder_new(in);
    interp_descend(in);
    in->scope = scope_new(in, m->scope);
    bind_rest(in, m, call, in->scope);
    bind_parameters(in, m->node->parameters, call, in->scope);
    eval_body(in, &m->node->body, &out);
    in->scope = outer;
    in->depth--;
    return value_string(builder_string(&out));
}

static struct macro *new_macro(struct interp *in, const struct node *n) {
    struct macro *m = interp_alloc(in, sizeof *m);
    *m = (struct macro){n, in->scope};
    return m;
}

/* ---- statements ---- */

enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE };

static enum flow run_body(struct interp *in, const struct nodes *body, struct builder *out);

static enum flow run_in_scope(struct interp *in, const struct nodes *body, struct scope *parent, struct builder *out) {
    struct scope *outer = in->scope;
    in->scope = scope_new(in, parent);
    enum flow flow = run_body(in, body, out);
    in->scope = outer;
    return flow;
}

/* What the block's filters make of its text; they see the variables that it has set. */
static struct value capture(struct interp *in, const struct node *n) {
    struct builder out = builder_new(in);
    struct scope *outer = in->scope;
    in->scope = scope_new(in, outer);
    run_body(in, &n->body, &out);
    struct value v = eval_filters(in, n->second, value_string(builder_string(&out)));
    in->scope = outer;
    return v;
}

/* The items for which the loop's condition holds. */
static struct list *chosen(struct interp *in, const struct node *n, struct list *items) {
    if (n->third == NULL) return items;
    struct list *l = list_new(in);
    struct scope *outer = in->scope;
    for (size_t i = 0; i < items->count; i++) {
        in->scope = scope_new(in, outer);
        eval_assign(in, n->first, items->items[i]);
        if (value_truth(in, eval_expression(in, n->third))) list_add(in, l, items->items[i]);
    }
    in->scope = outer;
    return l;
}

/* in->scope is the one around the loop. */
static void run_loop(struct interp *in, const struct node *n, struct value over, size_t depth0,
                     const struct string *name, struct builder *out) {
    struct scope *outer = in->scope;
    struct loop *loop = interp_alloc(in, sizeof *loop);
    *loop = (struct loop){.node = n, .scope = outer, .items = chosen(in, n, value_items(in, over)), .depth0 = depth0};
    bool completed = false; /* as Jinja's: an iteration that was broken off does not count */
    for (size_t i = 0; i < loop->items->count; i++) {
        loop->index0 = i;
        in->scope = scope_new(in, outer);
        scope_set(in, in->scope, name, (struct value){.kind = VALUE_LOOP, .loop = loop});
        eval_assign(in, n->first, loop->items->items[i]);
        enum flow flow = run_body(in, &n->body, out);
        completed |= flow == FLOW_NEXT;
        if (flow == FLOW_BREAK) break;
    }
    in->scope = outer;
    if (!completed) run_in_scope(in, &n->otherwise, outer, out);
}

struct value loop_call(struct interp *in, const struct loop *loop, const struct call *call) {
    if (!loop->node->recursive) interp_raise(in, "The loop must have the 'recursive' marker to be called recursively.");
    if (call->count != 1 || call->keyword_count > 0) interp_raise(in, "loop() takes one argument");
    struct builder out = builder_new(in);
    struct scope *outer = in->scope;
    interp_descend(in);
    in->scope = loop->scope;
    run_loop(in, loop->node, call->args[0], loop->depth0 + 1, loop->node->name, &out);
    in->scope = outer;
    in->depth--;
    return value_string(builder_string(&out));
}

static enum flow run_if(struct interp *in, const struct node *n, struct builder *out) {
    for (size_t i = 0; i + 1 < n->items.count; i += 2)
        if (value_truth(in, eval_expression(in, n->items.items[i])))
            return run_body(in, &n->items.items[i + 1]->body, out);
    return run_body(in, &n->otherwise, out);
}

static void run_with(struct interp *in, const struct node *n, struct builder *out) {
    struct scope *outer = in->scope, *inner = scope_new(in, outer);
    for (size_t i = 0; i + 1 < n->items.count; i += 2) {
        struct value v = eval_expression(in, n->items.items[i + 1]);
        in->scope = inner;
        eval_assign(in, n->items.items[i], v);
        in->scope = outer;
    }
    run_in_scope(in, &n->body, inner, out);
}

static void run_output(struct interp *in, const struct node *n, struct builder *out) {
    for (size_t i = 0; i < n->items.count; i++) value_print(out, eval_expression(in, n->items.items[i]));
}

static enum flow run(struct interp *in, const struct node *n, struct builder *out) {
    switch (n->kind) {
    case NODE_TEXT: builder_add(out, n->value.string); break;
    case NODE_OUTPUT: run_output(in, n, out); break;
    case NODE_BLOCK: return run_in_scope(in, &n->body, n->recursive ? in->scope : in->root, out);
    case NODE_IF: return run_if(in, n, out);
    case NODE_FOR: run_loop(in, n, eval_expression(in, n->second), 0, n->name, out); break;
    case NODE_SET: eval_assign(in, n->first, eval_expression(in, n->second)); break;
    case NODE_SET_BLOCK: eval_assign(in, n->first, capture(in, n)); break;
    case NODE_FILTER_BLOCK: value_print(out, capture(in, n)); break;
    case NODE_WITH: run_with(in, n, out); break;
    case NODE_MACRO:
        scope_set(in, in->scope, n->name, (struct value){.kind = VALUE_MACRO, .macro = new_macro(in, n)});
        break;
    case NODE_CALL_BLOCK: value_print(out, eval_call(in, n->second, new_macro(in, n))); break;
    case NODE_BREAK: return FLOW_BREAK;
    case NODE_CONTINUE: return FLOW_CONTINUE;
    default: interp_raise(in, "line %u: not a statement", n->line);
    }
    return FLOW_NEXT;
}

static enum flow run_body(struct interp *in, const struct nodes *body, struct builder *out) {
    enum flow flow = FLOW_NEXT;
    interp_descend(in);
    for (size_t i = 0; i < body->count && flow == FLOW_NEXT; i++) {
        interp_spend(in, 1);
        flow = run(in, body->items[i], out);
    }
    in->depth--;
    return flow;
}

void eval_body(struct interp *in, const struct nodes *body, struct builder *out) { run_body(in, body, out); }
