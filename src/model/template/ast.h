/* The syntax tree of a template. Nodes live in the arena of their parse; names are interned, one address per name. */
#pragma once
#include "model/template/builtin.h"
#include "model/template/value.h"

enum node_kind {
    /* expressions */
    NODE_CONSTANT, /* value */
    NODE_NAME,     /* name */
    NODE_LIST,
    NODE_TUPLE,     /* items */
    NODE_DICT,      /* items: key, value, key, value ... */
    NODE_ATTRIBUTE, /* first . name */
    NODE_ITEM,      /* first [ second ] */
    NODE_SLICE,     /* first [ items[0] : items[1] : items[2] ], each may be NULL */
    NODE_CALL,      /* first ( arguments ) */
    NODE_FILTER,    /* first | builtin ( arguments ); first NULL: what the block around it gives */
    NODE_TEST,      /* first is builtin ( arguments ) */
    NODE_NOT,
    NODE_NEGATE,
    NODE_POSITIVE,   /* first */
    NODE_ARITHMETIC, /* first op second */
    NODE_CONCAT,     /* items */
    NODE_AND,
    NODE_OR,
    NODE_COMPARE,   /* first, then (operators[i], items[i]) */
    NODE_CONDITION, /* first if second else third (may be NULL) */
    /* statements */
    NODE_TEXT,         /* value */
    NODE_OUTPUT,       /* items */
    NODE_BLOCK,        /* items in a scope of their own; name: a {% block %}, which sees the outermost variables only */
    NODE_IF,           /* items: condition, body, condition, body ...; third: else */
    NODE_FOR,          /* target first, in second, if third; body, otherwise, recursive; name: "loop" */
    NODE_SET,          /* target first = second */
    NODE_SET_BLOCK,    /* target first, filters second, body */
    NODE_FILTER_BLOCK, /* filters second, body */
    NODE_WITH,         /* items: target, value ...; body */
    NODE_MACRO,        /* name, parameters, body */
    NODE_CALL_BLOCK,   /* call second, parameters, body */
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_ATTRIBUTE_TARGET, /* namespace first . name */
};

enum compare { COMPARE_EQ, COMPARE_NE, COMPARE_LT, COMPARE_LE, COMPARE_GT, COMPARE_GE, COMPARE_IN, COMPARE_NOT_IN };

struct nodes {
    struct node **items;
    size_t count, capacity;
};

struct arguments {
    struct nodes positional, keywords;
    const struct string **keyword_names; /* keywords.count of them */
    struct node *star, *star_star;       /* *args, **kwargs; may be NULL */
};

struct parameters {
    const struct string **names;
    struct node **defaults; /* NULL: none */
    size_t count;
    bool uses_varargs, uses_kwargs, uses_caller;
    const struct string *varargs, *kwargs, *caller; /* their interned names */
};

struct node {
    enum node_kind kind;
    uint32_t line;
    char op;
    bool recursive;
    struct value value;
    const struct string *name;
    const struct builtin *builtin; /* NULL: there is no filter or test called `name` */
    struct node *first, *second, *third;
    struct nodes items, body, otherwise;
    enum compare *operators;
    struct arguments *arguments;
    struct parameters *parameters;
};

void nodes_add(struct interp *in, struct nodes *list, struct node *node);
/* Parse a whole template; raises. loop_name and others that the evaluator needs are interned with it. */
struct names {
    const struct string *loop, *caller, *varargs, *kwargs;
    struct dict *all; /* text -> STRING value that holds the interned name */
};
const struct string *names_intern(struct interp *in, struct names *names, const char *data, size_t len);
struct nodes parser_parse(struct interp *in, const char *source, size_t len, struct names *names);
