/* Recursive descent, after jinja2/parser.py. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model/template.h"
#include "model/template/ast.h"
#include "model/template/lexer.h"

/* A macro whose body is being read. */
struct open_macro {
    struct parameters *parameters;
    struct open_macro *outer;
};

struct parser {
    struct interp *in;
    struct tokens tokens;
    size_t at;
    struct names *names;
    struct open_macro *macro;
    unsigned depth, loops;
};

static struct node *parse_expression(struct parser *p);
static struct node *parse_condition(struct parser *p, bool with_if);
static struct node *parse_unary(struct parser *p, bool with_filter);
static struct nodes parse_body(struct parser *p, const char *const *ends);

/* ---- tokens ---- */

static const struct token *current(const struct parser *p) { return &p->tokens.items[p->at]; }

static const struct token *ahead(const struct parser *p) {
    return &p->tokens.items[p->at + 1 < p->tokens.count ? p->at + 1 : p->at];
}

static const struct token *take(struct parser *p) {
    const struct token *t = current(p);
    if (t->kind != TOKEN_END) p->at++;
    p->in->line = current(p)->line;
    return t;
}

static const char *describe(const struct token *t, char text[64]) {
    static const char *const names[] = {[TOKEN_END] = "end of template",
                                        [TOKEN_TEXT] = "template data / text",
                                        [TOKEN_PRINT_BEGIN] = "begin of print statement",
                                        [TOKEN_PRINT_END] = "end of print statement",
                                        [TOKEN_BLOCK_BEGIN] = "begin of statement block",
                                        [TOKEN_BLOCK_END] = "end of statement block",
                                        [TOKEN_STRING] = "string",
                                        [TOKEN_INTEGER] = "integer",
                                        [TOKEN_FLOAT] = "float"};
    if (t->kind == TOKEN_NAME) {
        int len = t->value.string->len < 60 ? (int)t->value.string->len : 60;
        snprintf(text, 64, "%.*s", len, t->value.string->data);
    } else {
        snprintf(text, 64, "%s", t->kind == TOKEN_OPERATOR ? t->op : names[t->kind]);
    }
    return text;
}

static _Noreturn void fail(struct parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static _Noreturn void fail(struct parser *p, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    interp_raise(p->in, "line %u: %s", current(p)->line, text);
}

static bool is_op(const struct token *t, const char *op) { return t->kind == TOKEN_OPERATOR && strcmp(t->op, op) == 0; }
static bool is_word(const struct token *t, const char *word) {
    return t->kind == TOKEN_NAME && string_is(t->value.string, word);
}
static bool at_op(const struct parser *p, const char *op) { return is_op(current(p), op); }
static bool at_word(const struct parser *p, const char *word) { return is_word(current(p), word); }

static bool skip_op(struct parser *p, const char *op) {
    bool found = at_op(p, op);
    if (found) take(p);
    return found;
}

static bool skip_word(struct parser *p, const char *word) {
    bool found = at_word(p, word);
    if (found) take(p);
    return found;
}

static const struct token *expect(struct parser *p, enum token_kind kind, const char *what) {
    char text[64];
    if (current(p)->kind != kind) fail(p, "expected token '%s', got '%s'", what, describe(current(p), text));
    return take(p);
}

static void expect_op(struct parser *p, const char *op) {
    char text[64];
    if (!skip_op(p, op)) fail(p, "expected token '%s', got '%s'", op, describe(current(p), text));
}

static void expect_word(struct parser *p, const char *word) {
    char text[64];
    if (!skip_word(p, word)) fail(p, "expected token '%s', got '%s'", word, describe(current(p), text));
}

static const struct string *intern_token(struct parser *p, const struct token *t) {
    return names_intern(p->in, p->names, t->value.string->data, t->value.string->len);
}

static const struct string *expect_name(struct parser *p) { return intern_token(p, expect(p, TOKEN_NAME, "name")); }

/* ---- nodes ---- */

const struct string *names_intern(struct interp *in, struct names *names, const char *data, size_t len) {
    struct string key = {.data = data, .len = len};
    const struct value *found = dict_find(in, names->all, value_string(&key));
    if (found) return found->string;
    struct value name = value_string(string_new(in, data, len, false));
    dict_set(in, names->all, name, name);
    return name.string;
}

void nodes_add(struct interp *in, struct nodes *list, struct node *node) {
    list->items = interp_grow(in, list->items, list->count, &list->capacity, sizeof *list->items);
    list->items[list->count++] = node;
}

static struct node *new_node(struct parser *p, enum node_kind kind) {
    struct node *n = interp_alloc(p->in, sizeof *n);
    n->kind = kind;
    n->line = current(p)->line;
    return n;
}

static struct node *with_operands(struct parser *p, enum node_kind kind, struct node *first, struct node *second) {
    struct node *n = new_node(p, kind);
    n->first = first;
    n->second = second;
    return n;
}

static struct node *constant(struct parser *p, struct value v) {
    struct node *n = new_node(p, NODE_CONSTANT);
    n->value = v;
    return n;
}

static void descend(struct parser *p) {
    if (++p->depth > TEMPLATE_DEPTH_MAX) fail(p, "nested deeper than %d", TEMPLATE_DEPTH_MAX);
}

/* ---- expressions ---- */

/* Is this the end of a tuple without parentheses? */
static bool at_tuple_end(const struct parser *p, const char *end_word) {
    const struct token *t = current(p);
    return t->kind == TOKEN_PRINT_END || t->kind == TOKEN_BLOCK_END || is_op(t, ")") ||
           (end_word && is_word(t, end_word));
}

static struct node *parse_primary(struct parser *p);

/* Expressions with commas between them make a tuple; alone, one is itself. */
static struct node *parse_tuple(struct parser *p, struct node *(*item)(struct parser *), const char *end_word,
                                bool in_parentheses) {
    char text[64];
    struct node *tuple = new_node(p, NODE_TUPLE);
    bool is_tuple = false;
    for (;;) {
        if (tuple->items.count > 0) expect_op(p, ",");
        if (at_tuple_end(p, end_word)) break;
        nodes_add(p->in, &tuple->items, item(p));
        if (!at_op(p, ",")) break;
        is_tuple = true;
    }
    if (!is_tuple && tuple->items.count > 0) return tuple->items.items[0];
    if (!is_tuple && !in_parentheses) fail(p, "Expected an expression, got '%s'", describe(current(p), text));
    return tuple;
}

static struct node *parse_without_if(struct parser *p) { return parse_condition(p, false); }

static struct node *parse_list(struct parser *p) {
    struct node *list = new_node(p, NODE_LIST);
    expect_op(p, "[");
    while (!at_op(p, "]")) {
        if (list->items.count > 0) expect_op(p, ",");
        if (at_op(p, "]")) break;
        nodes_add(p->in, &list->items, parse_expression(p));
    }
    expect_op(p, "]");
    return list;
}

static struct node *parse_dict(struct parser *p) {
    struct node *dict = new_node(p, NODE_DICT);
    expect_op(p, "{");
    while (!at_op(p, "}")) {
        if (dict->items.count > 0) expect_op(p, ",");
        if (at_op(p, "}")) break;
        nodes_add(p->in, &dict->items, parse_expression(p));
        expect_op(p, ":");
        nodes_add(p->in, &dict->items, parse_expression(p));
    }
    expect_op(p, "}");
    return dict;
}

static struct node *parse_strings(struct parser *p) {
    struct builder b = builder_new(p->in);
    while (current(p)->kind == TOKEN_STRING) builder_add(&b, take(p)->value.string);
    return constant(p, value_string(builder_string(&b)));
}

/* Macros need to know whether their body speaks of caller, varargs or kwargs. */
static void note_use(struct parser *p, const struct string *name) {
    for (struct open_macro *m = p->macro; m; m = m->outer) {
        m->parameters->uses_caller |= name == p->names->caller;
        m->parameters->uses_varargs |= name == p->names->varargs;
        m->parameters->uses_kwargs |= name == p->names->kwargs;
    }
}

static struct node *parse_name(struct parser *p) {
    if (at_word(p, "true") || at_word(p, "True")) return take(p), constant(p, value_bool(true));
    if (at_word(p, "false") || at_word(p, "False")) return take(p), constant(p, value_bool(false));
    if (at_word(p, "none") || at_word(p, "None")) return take(p), constant(p, value_none());
    struct node *n = new_node(p, NODE_NAME);
    n->name = expect_name(p);
    note_use(p, n->name);
    return n;
}

static struct node *parse_primary(struct parser *p) {
    char text[64];
    const struct token *t = current(p);
    if (t->kind == TOKEN_NAME) return parse_name(p);
    if (t->kind == TOKEN_STRING) return parse_strings(p);
    if (t->kind == TOKEN_INTEGER || t->kind == TOKEN_FLOAT) return constant(p, take(p)->value);
    if (is_op(t, "[")) return parse_list(p);
    if (is_op(t, "{")) return parse_dict(p);
    if (!is_op(t, "(")) fail(p, "unexpected '%s'", describe(t, text));
    take(p);
    struct node *n = parse_tuple(p, parse_expression, NULL, true);
    expect_op(p, ")");
    return n;
}

static void parse_keyword(struct parser *p, struct arguments *a) {
    size_t capacity = a->keywords.capacity;
    a->keyword_names = interp_grow(p->in, a->keyword_names, a->keywords.count, &capacity, sizeof *a->keyword_names);
    a->keyword_names[a->keywords.count] = expect_name(p);
    expect_op(p, "=");
    nodes_add(p->in, &a->keywords, parse_expression(p));
}

static void parse_argument(struct parser *p, struct arguments *a) {
    static const char wrong[] = "invalid syntax for function call expression";
    if (at_op(p, "*")) {
        if (a->star || a->star_star) fail(p, wrong);
        take(p);
        a->star = parse_expression(p);
    } else if (at_op(p, "**")) {
        if (a->star_star) fail(p, wrong);
        take(p);
        a->star_star = parse_expression(p);
    } else if (current(p)->kind == TOKEN_NAME && is_op(ahead(p), "=")) {
        if (a->star_star) fail(p, wrong);
        parse_keyword(p, a);
    } else {
        if (a->star || a->star_star || a->keywords.count > 0) fail(p, wrong);
        nodes_add(p->in, &a->positional, parse_expression(p));
    }
}

static struct arguments *parse_arguments(struct parser *p) {
    struct arguments *a = interp_alloc(p->in, sizeof *a);
    expect_op(p, "(");
    for (bool first = true; !at_op(p, ")"); first = false) {
        if (!first) expect_op(p, ",");
        if (at_op(p, ")")) break;
        parse_argument(p, a);
    }
    expect_op(p, ")");
    return a;
}

/* What stands between [ ]: an expression, or a slice of `object`. */
static struct node *parse_subscript(struct parser *p, struct node *object) {
    struct node *slice = with_operands(p, NODE_SLICE, object, NULL);
    for (int part = 0; part < 3; part++) {
        bool empty = at_op(p, ":") || at_op(p, "]") || at_op(p, ",");
        if (part == 0 && empty && !at_op(p, ":")) fail(p, "expected subscript expression");
        struct node *n = empty ? NULL : parse_expression(p);
        if (part == 0 && !at_op(p, ":")) return with_operands(p, NODE_ITEM, object, n);
        nodes_add(p->in, &slice->items, n);
        if (part < 2 && !skip_op(p, ":")) break;
    }
    while (slice->items.count < 3) nodes_add(p->in, &slice->items, NULL);
    return slice;
}

static struct node *parse_item(struct parser *p, struct node *object) {
    expect_op(p, "[");
    struct node *n = parse_subscript(p, object);
    if (at_op(p, ",")) fail(p, "an index of several parts is not supported");
    expect_op(p, "]");
    return n;
}

static struct node *parse_dot(struct parser *p, struct node *object) {
    take(p);
    if (current(p)->kind == TOKEN_INTEGER) {
        struct node *key = constant(p, take(p)->value);
        return with_operands(p, NODE_ITEM, object, key);
    }
    if (current(p)->kind != TOKEN_NAME) fail(p, "expected name or number");
    struct node *n = with_operands(p, NODE_ATTRIBUTE, object, NULL);
    n->name = expect_name(p);
    return n;
}

static struct node *parse_call(struct parser *p, struct node *callee) {
    struct node *n = with_operands(p, NODE_CALL, callee, NULL);
    n->arguments = parse_arguments(p);
    return n;
}

static struct node *parse_postfix(struct parser *p, struct node *n) {
    for (;;) {
        if (at_op(p, "."))
            n = parse_dot(p, n);
        else if (at_op(p, "["))
            n = parse_item(p, n);
        else if (at_op(p, "("))
            n = parse_call(p, n);
        else
            return n;
    }
}

/* The name of a filter or test and its arguments in parentheses, over `object`. */
static struct node *parse_filter(struct parser *p, struct node *object) {
    struct node *n = with_operands(p, NODE_FILTER, object, NULL);
    n->name = expect_name(p);
    n->builtin = builtin_filter(n->name);
    n->arguments = at_op(p, "(") ? parse_arguments(p) : interp_alloc(p->in, sizeof *n->arguments);
    return n;
}

static bool at_test_argument(const struct parser *p) {
    const struct token *t = current(p);
    if (is_word(t, "else") || is_word(t, "or") || is_word(t, "and")) return false;
    return t->kind == TOKEN_NAME || t->kind == TOKEN_STRING || t->kind == TOKEN_INTEGER || t->kind == TOKEN_FLOAT ||
           is_op(t, "(") || is_op(t, "[") || is_op(t, "{");
}

static struct node *parse_test(struct parser *p, struct node *object) {
    take(p);
    bool negated = skip_word(p, "not");
    struct node *n = with_operands(p, NODE_TEST, object, NULL);
    n->name = expect_name(p);
    n->builtin = builtin_test(n->name);
    if (at_op(p, "(")) {
        n->arguments = parse_arguments(p);
    } else {
        n->arguments = interp_alloc(p->in, sizeof *n->arguments);
        if (at_word(p, "is")) fail(p, "You cannot chain multiple tests with is");
        if (at_test_argument(p)) nodes_add(p->in, &n->arguments->positional, parse_postfix(p, parse_primary(p)));
    }
    return negated ? with_operands(p, NODE_NOT, n, NULL) : n;
}

static struct node *parse_filters_and_tests(struct parser *p, struct node *n) {
    for (;;) {
        if (at_op(p, "|"))
            take(p), n = parse_filter(p, n);
        else if (at_word(p, "is"))
            n = parse_test(p, n);
        else if (at_op(p, "("))
            n = parse_call(p, n);
        else
            return n;
    }
}

static struct node *parse_unary(struct parser *p, bool with_filter) {
    struct node *n;
    descend(p);
    if (skip_op(p, "-"))
        n = with_operands(p, NODE_NEGATE, parse_unary(p, false), NULL);
    else if (skip_op(p, "+"))
        n = with_operands(p, NODE_POSITIVE, parse_unary(p, false), NULL);
    else
        n = parse_primary(p);
    n = parse_postfix(p, n);
    if (with_filter) n = parse_filters_and_tests(p, n);
    p->depth--;
    return n;
}

static struct node *arithmetic(struct parser *p, char op, struct node *left, struct node *right) {
    struct node *n = with_operands(p, NODE_ARITHMETIC, left, right);
    n->op = op;
    return n;
}

static struct node *parse_power(struct parser *p) {
    struct node *n = parse_unary(p, true);
    while (skip_op(p, "**")) n = arithmetic(p, 'p', n, parse_unary(p, true));
    return n;
}

static struct node *parse_product(struct parser *p) {
    struct node *n = parse_power(p);
    for (;;) {
        if (skip_op(p, "*"))
            n = arithmetic(p, '*', n, parse_power(p));
        else if (skip_op(p, "/"))
            n = arithmetic(p, '/', n, parse_power(p));
        else if (skip_op(p, "//"))
            n = arithmetic(p, 'f', n, parse_power(p));
        else if (skip_op(p, "%"))
            n = arithmetic(p, '%', n, parse_power(p));
        else
            return n;
    }
}

static struct node *parse_concatenation(struct parser *p) {
    struct node *first = parse_product(p);
    if (!at_op(p, "~")) return first;
    struct node *n = new_node(p, NODE_CONCAT);
    nodes_add(p->in, &n->items, first);
    while (skip_op(p, "~")) nodes_add(p->in, &n->items, parse_product(p));
    return n;
}

static struct node *parse_sum(struct parser *p) {
    struct node *n = parse_concatenation(p);
    for (;;) {
        if (skip_op(p, "+"))
            n = arithmetic(p, '+', n, parse_concatenation(p));
        else if (skip_op(p, "-"))
            n = arithmetic(p, '-', n, parse_concatenation(p));
        else
            return n;
    }
}

/* The comparison that begins here is taken; false when there is none. */
static bool take_comparison(struct parser *p, enum compare *out) {
    static const char *const symbols[] = {"==", "!=", "<", "<=", ">", ">="};
    for (enum compare c = COMPARE_EQ; c <= COMPARE_GE; c++) {
        *out = c;
        if (skip_op(p, symbols[c])) return true;
    }
    *out = COMPARE_IN;
    if (skip_word(p, "in")) return true;
    *out = COMPARE_NOT_IN;
    if (!at_word(p, "not") || !is_word(ahead(p), "in")) return false;
    take(p);
    take(p);
    return true;
}

static struct node *parse_comparison(struct parser *p) {
    struct node *first = parse_sum(p), *n = NULL;
    enum compare op;
    while (take_comparison(p, &op)) {
        if (n == NULL) n = with_operands(p, NODE_COMPARE, first, NULL);
        size_t capacity = n->items.capacity;
        n->operators = interp_grow(p->in, n->operators, n->items.count, &capacity, sizeof *n->operators);
        n->operators[n->items.count] = op;
        nodes_add(p->in, &n->items, parse_sum(p));
    }
    return n ? n : first;
}

static struct node *parse_not(struct parser *p) {
    if (!skip_word(p, "not")) return parse_comparison(p);
    descend(p);
    struct node *n = with_operands(p, NODE_NOT, parse_not(p), NULL);
    p->depth--;
    return n;
}

static struct node *parse_and(struct parser *p) {
    struct node *n = parse_not(p);
    while (skip_word(p, "and")) n = with_operands(p, NODE_AND, n, parse_not(p));
    return n;
}

static struct node *parse_or(struct parser *p) {
    struct node *n = parse_and(p);
    while (skip_word(p, "or")) n = with_operands(p, NODE_OR, n, parse_and(p));
    return n;
}

static struct node *parse_condition(struct parser *p, bool with_if) {
    descend(p);
    struct node *n = parse_or(p);
    while (with_if && skip_word(p, "if")) {
        struct node *condition = parse_or(p);
        struct node *whole = with_operands(p, NODE_CONDITION, n, condition);
        if (skip_word(p, "else")) whole->third = parse_condition(p, true);
        n = whole;
    }
    p->depth--;
    return n;
}

static struct node *parse_expression(struct parser *p) { return parse_condition(p, true); }

/* ---- statements ---- */

static struct node *parse_target_item(struct parser *p) {
    descend(p);
    struct node *n = parse_primary(p);
    p->depth--;
    if (n->kind == NODE_NAME && at_op(p, ".")) {
        take(p);
        n->kind = NODE_ATTRIBUTE_TARGET;
        n->first = new_node(p, NODE_NAME);
        n->first->name = n->name;
        n->name = expect_name(p);
    }
    return n;
}

static void check_target(struct parser *p, const struct node *target, bool attributes) {
    bool name = target->kind == NODE_NAME || (attributes && target->kind == NODE_ATTRIBUTE_TARGET);
    if (name) return;
    if (target->kind != NODE_TUPLE && target->kind != NODE_LIST) fail(p, "can't assign to this");
    for (size_t i = 0; i < target->items.count; i++) check_target(p, target->items.items[i], attributes);
}

static struct node *parse_target(struct parser *p, const char *end_word, bool attributes) {
    struct node *target = parse_tuple(p, parse_target_item, end_word, false);
    check_target(p, target, attributes);
    return target;
}

/* The body up to one of `ends`, whose word is not taken yet. */
static struct nodes parse_block(struct parser *p, const char *const *ends) {
    skip_op(p, ":");
    expect(p, TOKEN_BLOCK_END, "end of statement block");
    return parse_body(p, ends);
}

static struct nodes parse_block_until(struct parser *p, const char *end) {
    struct nodes body = parse_block(p, (const char *const[]){end, NULL});
    take(p);
    return body;
}

static struct node *parse_set(struct parser *p) {
    struct node *n = new_node(p, NODE_SET);
    take(p);
    n->first = parse_target(p, NULL, true);
    if (skip_op(p, "=")) {
        n->second = parse_tuple(p, parse_expression, NULL, false);
        return n;
    }
    n->kind = NODE_SET_BLOCK;
    while (skip_op(p, "|")) n->second = parse_filter(p, n->second);
    n->body = parse_block_until(p, "endset");
    return n;
}

static struct node *parse_for(struct parser *p) {
    struct node *n = new_node(p, NODE_FOR);
    n->name = p->names->loop;
    take(p);
    n->first = parse_target(p, "in", false);
    expect_word(p, "in");
    n->second = parse_tuple(p, parse_without_if, "recursive", false);
    if (skip_word(p, "if")) n->third = parse_expression(p);
    n->recursive = skip_word(p, "recursive");
    p->loops++;
    n->body = parse_block(p, (const char *const[]){"else", "endfor", NULL});
    p->loops--;
    if (!is_word(take(p), "endfor")) n->otherwise = parse_block_until(p, "endfor");
    return n;
}

static struct node *parse_if(struct parser *p) {
    struct node *n = new_node(p, NODE_IF);
    const struct token *word;
    take(p);
    do {
        nodes_add(p->in, &n->items, parse_tuple(p, parse_without_if, NULL, false));
        struct node *body = new_node(p, NODE_BLOCK);
        body->body = parse_block(p, (const char *const[]){"elif", "else", "endif", NULL});
        nodes_add(p->in, &n->items, body);
        word = take(p);
    } while (is_word(word, "elif"));
    if (is_word(word, "else")) n->otherwise = parse_block_until(p, "endif");
    return n;
}

static struct parameters *new_parameters(struct parser *p) {
    struct parameters *s = interp_alloc(p->in, sizeof *s);
    s->caller = p->names->caller;
    s->varargs = p->names->varargs;
    s->kwargs = p->names->kwargs;
    return s;
}

static void parse_parameters(struct parser *p, struct parameters *s) {
    size_t capacity = 0, defaults = 0;
    bool defaulted = false;
    expect_op(p, "(");
    while (!at_op(p, ")")) {
        if (s->count > 0) expect_op(p, ",");
        s->names = interp_grow(p->in, s->names, s->count, &capacity, sizeof *s->names);
        s->defaults = interp_grow(p->in, s->defaults, s->count, &defaults, sizeof *s->defaults);
        s->names[s->count] = expect_name(p);
        s->defaults[s->count] = NULL;
        if (skip_op(p, "="))
            s->defaults[s->count] = parse_expression(p), defaulted = true;
        else if (defaulted)
            fail(p, "non-default argument follows default argument");
        s->count++;
    }
    expect_op(p, ")");
}

static struct nodes parse_macro_body(struct parser *p, struct parameters *s, const char *end) {
    struct open_macro macro = {s, p->macro};
    unsigned loops = p->loops;
    p->macro = &macro;
    p->loops = 0;
    struct nodes body = parse_block_until(p, end);
    p->macro = macro.outer;
    p->loops = loops;
    for (size_t i = 0; i < s->count; i++) {
        s->uses_caller &= s->names[i] != s->caller;
        s->uses_varargs &= s->names[i] != s->varargs;
        s->uses_kwargs &= s->names[i] != s->kwargs;
    }
    return body;
}

static struct node *parse_macro(struct parser *p) {
    struct node *n = new_node(p, NODE_MACRO);
    take(p);
    n->name = expect_name(p);
    n->parameters = new_parameters(p);
    parse_parameters(p, n->parameters);
    n->body = parse_macro_body(p, n->parameters, "endmacro");
    return n;
}

static struct node *parse_call_block(struct parser *p) {
    struct node *n = new_node(p, NODE_CALL_BLOCK);
    take(p);
    n->parameters = new_parameters(p);
    if (at_op(p, "(")) parse_parameters(p, n->parameters);
    n->second = parse_expression(p);
    if (n->second->kind != NODE_CALL) fail(p, "expected call");
    n->body = parse_macro_body(p, n->parameters, "endcall");
    return n;
}

static struct node *parse_filter_block(struct parser *p) {
    struct node *n = new_node(p, NODE_FILTER_BLOCK);
    take(p);
    do n->second = parse_filter(p, n->second);
    while (skip_op(p, "|"));
    n->body = parse_block_until(p, "endfilter");
    return n;
}

static struct node *parse_with(struct parser *p) {
    struct node *n = new_node(p, NODE_WITH);
    take(p);
    while (current(p)->kind != TOKEN_BLOCK_END) {
        if (n->items.count > 0) expect_op(p, ",");
        nodes_add(p->in, &n->items, parse_target(p, NULL, false));
        expect_op(p, "=");
        nodes_add(p->in, &n->items, parse_expression(p));
    }
    n->body = parse_block_until(p, "endwith");
    return n;
}

static struct node *parse_named_block(struct parser *p) {
    struct node *n = new_node(p, NODE_BLOCK);
    take(p);
    n->name = expect_name(p);
    if (skip_word(p, "scoped")) n->recursive = true;
    skip_word(p, "required");
    n->body = parse_block_until(p, "endblock");
    if (current(p)->kind == TOKEN_NAME && intern_token(p, current(p)) == n->name) take(p);
    return n;
}

/* {% generation %}: marks what the assistant says, for training; a scope of its own here. */
static struct node *parse_generation(struct parser *p) {
    struct node *n = new_node(p, NODE_BLOCK);
    n->recursive = true;
    n->name = expect_name(p);
    n->body = parse_block_until(p, "endgeneration");
    return n;
}

static struct node *parse_print(struct parser *p) {
    struct node *n = new_node(p, NODE_OUTPUT);
    take(p);
    while (current(p)->kind != TOKEN_BLOCK_END) {
        if (n->items.count > 0) expect_op(p, ",");
        nodes_add(p->in, &n->items, parse_expression(p));
    }
    return n;
}

static struct node *parse_jump(struct parser *p) {
    struct node *n = new_node(p, at_word(p, "break") ? NODE_BREAK : NODE_CONTINUE);
    if (p->loops == 0) fail(p, "a loop control outside of a loop");
    take(p);
    return n;
}

static struct node *parse_statement(struct parser *p) {
    static const struct {
        const char *word;
        struct node *(*parse)(struct parser *);
    } statements[] = {{"if", parse_if},
                      {"set", parse_set},
                      {"for", parse_for},
                      {"macro", parse_macro},
                      {"break", parse_jump},
                      {"continue", parse_jump},
                      {"filter", parse_filter_block},
                      {"call", parse_call_block},
                      {"with", parse_with},
                      {"generation", parse_generation},
                      {"print", parse_print},
                      {"block", parse_named_block}};
    char text[64];
    if (current(p)->kind != TOKEN_NAME) fail(p, "tag name expected");
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (at_word(p, statements[i].word)) return statements[i].parse(p);
    fail(p, "Encountered unknown tag '%s'.", describe(current(p), text));
}

static bool at_any(const struct parser *p, const char *const *words) {
    for (; words && *words; words++)
        if (at_word(p, *words)) return true;
    return false;
}

static const char *last_of(const char *const *words) {
    while (words[1]) words++;
    return words[0];
}

/* Nodes up to one of the tags `ends` (NULL: the end of the template); its word is the current token then. */
static struct nodes parse_body(struct parser *p, const char *const *ends) {
    struct nodes body = {0};
    descend(p);
    for (;;) {
        const struct token *t = current(p);
        struct node *n = new_node(p, t->kind == TOKEN_TEXT ? NODE_TEXT : NODE_OUTPUT);
        if (t->kind == TOKEN_END && ends) fail(p, "Unexpected end of template: '%s' is missing", last_of(ends));
        if (t->kind == TOKEN_END) break;
        take(p);
        if (t->kind == TOKEN_TEXT) {
            n->value = t->value;
        } else if (t->kind == TOKEN_PRINT_BEGIN) {
            nodes_add(p->in, &n->items, parse_tuple(p, parse_expression, NULL, false));
            expect(p, TOKEN_PRINT_END, "end of print statement");
        } else {
            if (at_any(p, ends)) break;
            n = parse_statement(p);
            expect(p, TOKEN_BLOCK_END, "end of statement block");
        }
        nodes_add(p->in, &body, n);
    }
    p->depth--;
    return body;
}

struct nodes parser_parse(struct interp *in, const char *source, size_t len, struct names *names) {
    names->all = dict_new(in);
    names->loop = names_intern(in, names, "loop", 4);
    names->caller = names_intern(in, names, "caller", 6);
    names->varargs = names_intern(in, names, "varargs", 7);
    names->kwargs = names_intern(in, names, "kwargs", 6);
    struct parser p = {.in = in, .tokens = lexer_tokenize(in, source, len), .names = names};
    in->line = 1;
    return parse_body(&p, NULL);
}
