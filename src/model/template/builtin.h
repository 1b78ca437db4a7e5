/* Filters, tests, methods and functions that the language brings along, and how they are called. */
#pragma once
#include "model/template/value.h"

struct keyword {
    const struct string *name;
    struct value value;
};

/* Arguments of one call. */
struct call {
    struct value *args;
    size_t count, capacity;
    struct keyword *keywords;
    size_t keyword_count, keyword_capacity;
};

/* A filter, test, method or function of the language. `parameters`: names in order, split by spaces, the first
 * `required` of them needed; NULL: it takes `call` as it is. args has one value per parameter, ABSENT where none was
 * given. */
struct builtin {
    const char *name;
    struct value (*run)(struct interp *in, struct value self, const struct value *args, const struct call *call);
    const char *parameters;
    int required;
    bool lazy; /* it gives a list, which is computed when its first item is needed: a Python generator */
};

enum { BUILTIN_PARAMETERS_MAX = 6 };

/* A call of a lazy one that is still to be made. */
struct deferred {
    const struct builtin *builtin;
    struct value self, args[BUILTIN_PARAMETERS_MAX];
    struct call call;
};

struct callable {
    const struct builtin *builtin;
    struct value self;
};

/* Bind the arguments to the parameters and run it. Raises Python's TypeError for too many, too few or unknown ones. */
struct value builtin_call(struct interp *in, const struct builtin *b, struct value self, const struct call *call);

struct list *builtin_run_deferred(struct interp *in, const struct deferred *d);

/* NULL: there is none of that name. */
const struct builtin *builtin_filter(const struct string *name);
const struct builtin *builtin_test(const struct string *name);
/* A method of values of that kind; `run` is NULL for one that would change the value. */
const struct builtin *builtin_method(struct value object, const struct string *name);
/* range, namespace, dict, ... ABSENT when there is none. */
struct value builtin_function(struct interp *in, const struct string *name);

/* Call any value. */
struct value value_call(struct interp *in, struct value callee, const struct call *call);

void call_add(struct interp *in, struct call *call, struct value arg);
void call_add_keyword(struct interp *in, struct call *call, const struct string *name, struct value value);

/* ---- for the tables ---- */
/* Arguments as the types that Python would insist on; `or` where none was given. */
const struct string *builtin_text(struct interp *in, struct value arg, const char *or_);
int64_t builtin_int(struct interp *in, struct value arg, int64_t or_);
bool builtin_bool(struct interp *in, struct value arg, bool or_);
