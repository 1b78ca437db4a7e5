#include <math.h>

#include "model/template/print.h"
#include "model/template/value.h"

static _Noreturn void raise_overflow(struct interp *in) { interp_raise(in, "integer too large"); }

static const char *symbol(char op) {
    static const char *const symbols[] = {
        ['+'] = "+", ['-'] = "-", ['*'] = "*", ['/'] = "/", ['%'] = "%", ['f'] = "//", ['p'] = "** or pow()"};
    return symbols[(unsigned char)op];
}

static struct value power_int(struct interp *in, int64_t base, int64_t exponent) {
    if (exponent < 0) {
        if (base == 0) interp_raise(in, "0.0 cannot be raised to a negative power");
        return value_float(pow((double)base, (double)exponent));
    }
    int64_t result = 1;
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) raise_overflow(in);
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) raise_overflow(in);
    }
    return value_int(result);
}

static int64_t floor_divide(struct interp *in, int64_t a, int64_t b) {
    if (b == -1 && a == INT64_MIN) raise_overflow(in);
    return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

static struct value with_ints(struct interp *in, char op, int64_t a, int64_t b) {
    int64_t result = 0;
    if ((op == '/' || op == 'f' || op == '%') && b == 0)
        interp_raise(in, op == '/' ? "division by zero" : "integer division or modulo by zero");
    switch (op) {
    case '+':
        if (__builtin_add_overflow(a, b, &result)) raise_overflow(in);
        break;
    case '-':
        if (__builtin_sub_overflow(a, b, &result)) raise_overflow(in);
        break;
    case '*':
        if (__builtin_mul_overflow(a, b, &result)) raise_overflow(in);
        break;
    case '/': return value_float((double)a / (double)b);
    case 'f': result = floor_divide(in, a, b); break;
    case '%': result = b == -1 ? 0 : a - b * floor_divide(in, a, b); break;
    default: return power_int(in, a, b);
    }
    return value_int(result);
}

/* Python's float modulo takes the sign of the divisor. */
static double modulo(double a, double b) {
    double m = fmod(a, b);
    if (m != 0 ? (b < 0) != (m < 0) : false) return m + b;
    return m != 0 ? m : copysign(0, b);
}

static struct value with_floats(struct interp *in, char op, double a, double b) {
    if ((op == '/' || op == 'f' || op == '%') && b == 0)
        interp_raise(in, op == '/' ? "float division by zero" : "float floor division by zero");
    switch (op) {
    case '+': return value_float(a + b);
    case '-': return value_float(a - b);
    case '*': return value_float(a * b);
    case '/': return value_float(a / b);
    case 'f': return value_float(round((a - modulo(a, b)) / b));
    case '%': return value_float(modulo(a, b));
    default:
        if (a == 0 && b < 0) interp_raise(in, "0.0 cannot be raised to a negative power");
        if (a < 0 && b != floor(b)) interp_raise(in, "complex numbers are not supported");
        return value_float(pow(a, b));
    }
}

static struct value concatenate(struct interp *in, struct value a, struct value b) {
    if (a.kind == VALUE_STRING) {
        struct builder text = builder_new(in);
        builder_add(&text, string_beside(in, a.string, b.string));
        builder_add(&text, string_beside(in, b.string, a.string));
        return value_string(builder_string_like(&text, a.string->markup ? a.string : b.string));
    }
    struct list *l = list_new(in);
    for (size_t i = 0; i < a.list->count; i++) list_add(in, l, a.list->items[i]);
    for (size_t i = 0; i < b.list->count; i++) list_add(in, l, b.list->items[i]);
    return (struct value){.kind = a.kind, .list = l};
}

static struct value repeat(struct interp *in, struct value what, int64_t times) {
    if (what.kind == VALUE_STRING) {
        struct builder text = builder_new(in);
        builder_add_repeat(&text, what.string, times);
        return value_string(builder_string_like(&text, what.string));
    }
    struct list *l = list_new(in);
    for (int64_t t = 0; t < times && what.list->count > 0; t++)
        for (size_t i = 0; i < what.list->count; i++) list_add(in, l, what.list->items[i]);
    return (struct value){.kind = what.kind, .list = l};
}

static bool is_sequence(struct value v) {
    return v.kind == VALUE_STRING || v.kind == VALUE_LIST || v.kind == VALUE_TUPLE;
}

static _Noreturn void raise_operands(struct interp *in, char op, struct value a, struct value b) {
    if (op == '+' && is_sequence(a))
        interp_raise(in, "can only concatenate %s (not \"%s\") to %s", value_type(a), value_type(b), value_type(a));
    interp_raise(in, "unsupported operand type(s) for %s: '%s' and '%s'", symbol(op), value_type(a), value_type(b));
}

struct value value_arithmetic(struct interp *in, char op, struct value a, struct value b) {
    int64_t i, j;
    double x, y;
    interp_spend(in, 1);
    if (op == '%' && a.kind == VALUE_STRING) return format_percent(in, a.string, b);
    if (a.kind == VALUE_UNDEFINED) value_raise_undefined(in, a);
    if (b.kind == VALUE_UNDEFINED) value_raise_undefined(in, b);
    if (value_as_int(a, &i) && value_as_int(b, &j)) return with_ints(in, op, i, j);
    if (value_as_number(a, &x) && value_as_number(b, &y)) return with_floats(in, op, x, y);
    if (op == '+' && is_sequence(a) && a.kind == b.kind) return concatenate(in, a, b);
    if (op == '*' && is_sequence(a) && value_as_int(b, &j)) return repeat(in, a, j);
    if (op == '*' && is_sequence(b) && value_as_int(a, &i)) return repeat(in, b, i);
    raise_operands(in, op, a, b);
}

struct value value_negate(struct interp *in, struct value v, bool minus) {
    int64_t i;
    if (v.kind == VALUE_UNDEFINED) value_raise_undefined(in, v);
    if (v.kind == VALUE_FLOAT) return value_float(minus ? -v.number : v.number);
    if (!value_as_int(v, &i)) interp_raise(in, "bad operand type for unary %c: '%s'", minus ? '-' : '+', value_type(v));
    if (minus && i == INT64_MIN) raise_overflow(in);
    return value_int(minus ? -i : i);
}
