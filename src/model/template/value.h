/* Values of the template language, with Python's rules for truth, equality, order and printing.
 *
 * Lists and dicts are immutable, as in Jinja's immutable sandbox; only a namespace changes. Failures raise (interp.h).
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/template/string.h"

enum value_kind {
    VALUE_UNDEFINED,
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_STRING,
    VALUE_LIST,
    VALUE_TUPLE,
    VALUE_DICT,
    VALUE_VIEW, /* what dict.items() and its kin give */
    VALUE_RANGE,
    VALUE_ITERATOR,
    VALUE_NAMESPACE,
    VALUE_CALLABLE,
    VALUE_MACRO,
    VALUE_LOOP,
    VALUE_CYCLER,
    VALUE_JOINER,
    VALUE_ABSENT, /* an argument that was not given; templates never see it */
};

struct value {
    enum value_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double number;
        const struct string *string;
        struct list *list; /* LIST, TUPLE, VIEW */
        struct dict *dict;
        struct range *range;
        struct iterator *iterator;
        struct namespace *namespace;
        struct callable *callable;
        struct macro *macro;
        struct loop *loop;
        struct cycler *cycler;
        struct joiner *joiner;
        const struct undefined *undefined;
    };
};

struct list {
    struct value *items;
    size_t count, capacity;
    const char *type; /* of a view: "dict_items" */
};

struct dict {
    struct value *keys, *values;
    size_t count, capacity;
    uint32_t *index; /* hash table of string keys: position + 1; made when it pays */
    size_t index_capacity;
};

struct range {
    int64_t start, stop, step;
};

/* Gives each item once, as a Python generator does; what has to be computed is, when somebody asks for the first. */
struct iterator {
    struct list *list; /* NULL: not computed yet */
    size_t next;
    const char *type;
    const struct deferred *deferred; /* see builtin.h */
};

/* Why a value is undefined: `message`, or "NAME is undefined", or "OBJECT has no attribute NAME". */
struct undefined {
    const char *message;
    const struct string *name;
    const char *object;          /* "dict object"; NULL: a variable */
    const struct value *element; /* instead of name: an index */
};

static inline struct value value_none(void) { return (struct value){.kind = VALUE_NONE}; }
static inline struct value value_bool(bool b) { return (struct value){.kind = VALUE_BOOL, .boolean = b}; }
static inline struct value value_int(int64_t i) { return (struct value){.kind = VALUE_INT, .integer = i}; }
static inline struct value value_float(double d) { return (struct value){.kind = VALUE_FLOAT, .number = d}; }
static inline struct value value_string(const struct string *s) {
    return (struct value){.kind = VALUE_STRING, .string = s};
}
static inline struct value value_list(struct list *l) { return (struct value){.kind = VALUE_LIST, .list = l}; }
static inline struct value value_tuple(struct list *l) { return (struct value){.kind = VALUE_TUPLE, .list = l}; }
static inline struct value value_dict(struct dict *d) { return (struct value){.kind = VALUE_DICT, .dict = d}; }
static inline bool value_given(struct value v) { return v.kind != VALUE_ABSENT; }
struct value value_iterator(struct interp *in, struct list *list, const char *type);
struct value *iterator_next(struct interp *in, struct iterator *it); /* NULL: at its end */
struct value value_undefined(struct interp *in, const char *message);
/* Fail with the reason why `v` is undefined. */
_Noreturn void value_raise_undefined(struct interp *in, struct value v);

const char *value_type(struct value v); /* "str", "NoneType" */
bool value_truth(struct interp *in, struct value v);
bool value_equal(struct interp *in, struct value a, struct value b);
enum { VALUE_UNORDERED = 2 };
/* < 0, 0, > 0, or VALUE_UNORDERED for NaN; raises where Python's `op` would: "'<' not supported between ...". */
int value_compare(struct interp *in, struct value a, struct value b, const char *op);
bool value_contains(struct interp *in, struct value container, struct value item);
int64_t value_length(struct interp *in, struct value v); /* raises for what has none */
bool value_iterable(struct value v);
struct list *value_items(struct interp *in, struct value v); /* all items; an iterator is used up */
bool value_as_number(struct value v, double *out);           /* bool, int, float */
bool value_as_int(struct value v, int64_t *out);             /* bool, int */
double value_range_length(const struct range *r);

/* object.name, and object[key] */
struct value value_attribute(struct interp *in, struct value object, const struct string *name);
struct value value_item(struct interp *in, struct value object, struct value key);
/* object[start:stop:step], NONE where nothing stands. */
struct value value_slice(struct interp *in, struct value object, const struct value bounds[3]);
/* Left OP right, OP one of + - * / % and 'f' (//), 'p' (**). */
struct value value_arithmetic(struct interp *in, char op, struct value left, struct value right);
struct value value_negate(struct interp *in, struct value v, bool minus);

struct list *list_new(struct interp *in);
void list_add(struct interp *in, struct list *l, struct value v);
struct dict *dict_new(struct interp *in);
void dict_set(struct interp *in, struct dict *d, struct value key,
              struct value value);                                                  /* raises for an unhashable key */
const struct value *dict_find(struct interp *in, struct dict *d, struct value key); /* NULL: absent */
