/* Python's two ways of filling in formats: printf-style (docs.python.org/3/library/stdtypes.html#old-string-formatting)
 * and str.format (docs.python.org/3/library/string.html#format-string-syntax). */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/template/print.h"

enum { WIDTH_MAX = 100000, PRECISION_MAX = 60 };

/* What a directive asks for. */
struct spec {
    int32_t fill;
    char align; /* '<', '>', '^', '=', or '\0' */
    char sign;  /* '+', ' ', or '\0' */
    bool alternate, commas;
    int64_t width, precision; /* -1: none */
    char type;                /* '\0': none */
};

/* ---- filling in one value ---- */

static void add_padded(struct builder *b, const struct string *text, const struct spec *s, char align, size_t prefix) {
    int64_t missing = s->width - (int64_t)string_chars(text);
    if (s->align) align = s->align;
    if (missing < 0) missing = 0;
    int64_t left = align == '>' ? missing : align == '^' ? missing / 2 : 0;
    if (align == '=') builder_add_slice(b, text, 0, prefix);
    for (int64_t i = 0; i < (align == '=' ? missing : left); i++) builder_add_char(b, s->fill, false);
    builder_add_slice(b, text, align == '=' ? prefix : 0, text->len);
    for (int64_t i = left; i < missing && align != '='; i++) builder_add_char(b, s->fill, false);
}

static void add_text(struct builder *b, const struct string *text, const struct spec *s) {
    size_t end = s->precision >= 0 ? string_offset(text, (size_t)s->precision) : text->len;
    add_padded(b, string_slice(b->in, text, 0, end), s, '<', 0);
}

static void add_digits(struct builder *b, const char *digits, bool commas) {
    size_t whole = strspn(digits, "0123456789"), len = strlen(digits);
    for (size_t i = 0; i < whole; i++) {
        if (commas && i > 0 && (whole - i) % 3 == 0) builder_add_str(b, ",");
        builder_add_bytes(b, &digits[i], 1, false);
    }
    builder_add_bytes(b, digits + whole, len - whole, false);
}

static void add_number(struct builder *b, bool negative, const char *prefix, const char *digits, const struct spec *s) {
    struct builder text = builder_new(b->in);
    if (negative)
        builder_add_str(&text, "-");
    else if (s->sign)
        builder_add_bytes(&text, &s->sign, 1, false);
    if (s->alternate) builder_add_str(&text, prefix);
    size_t signs = text.len;
    add_digits(&text, digits, s->commas);
    add_padded(b, builder_string(&text), s, '>', signs);
}

static void add_int(struct builder *b, int64_t value, const struct spec *s) {
    char digits[80];
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    const char *prefix = s->type == 'x'   ? "0x"
                         : s->type == 'X' ? "0X"
                         : s->type == 'o' ? "0o"
                         : s->type == 'b' ? "0b"
                                          : "";
    unsigned base = s->type == 'x' || s->type == 'X' ? 16 : s->type == 'o' ? 8 : s->type == 'b' ? 2 : 10;
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do digits[--at] = (s->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[magnitude % base];
    while ((magnitude /= base) > 0);
    add_number(b, value < 0, prefix, digits + at, s);
}

static void add_float(struct builder *b, double value, const struct spec *s) {
    char digits[512], format[8] = "%.*f";
    bool percent = s->type == '%';
    if (percent) value *= 100;
    format[3] = percent || s->type == '\0' ? 'f' : s->type;
    if (s->type == '\0' && s->precision < 0) {
        struct builder text = builder_new(b->in);
        value_print_float(&text, fabs(value));
        snprintf(digits, sizeof digits, "%.*s", (int)text.len, text.data);
    } else {
        if (s->type == '\0') format[3] = 'g';
        int precision = s->precision < 0 ? 6 : s->precision > PRECISION_MAX ? PRECISION_MAX : (int)s->precision;
        snprintf(digits, sizeof digits - 1, format, precision, fabs(value));
        if (percent) strncat(digits, "%", 2);
    }
    add_number(b, signbit(value) && !isnan(value), "", digits, s);
}

static _Noreturn void raise_type(struct interp *in, char type, struct value v) {
    interp_raise(in, "Unknown format code '%c' for object of type '%s'", type, value_type(v));
}

/* ---- % ---- */

struct percent {
    struct interp *in;
    const struct string *format;
    size_t at;
    struct value args;
    int64_t used;
    struct builder out;
};

static char next(struct percent *p) {
    if (p->at >= p->format->len) interp_raise(p->in, "incomplete format");
    return p->format->data[p->at++];
}

static struct value next_arg(struct percent *p) {
    bool tuple = p->args.kind == VALUE_TUPLE;
    int64_t count = tuple ? (int64_t)p->args.list->count : 1;
    if (p->used >= count) interp_raise(p->in, "not enough arguments for format string");
    p->used++;
    return tuple ? p->args.list->items[p->used - 1] : p->args;
}

/* The value of %(name). */
static struct value named_arg(struct percent *p) {
    size_t begin = p->at;
    while (next(p) != ')') {}
    struct string *name = string_slice(p->in, p->format, begin, p->at - 1);
    if (p->args.kind != VALUE_DICT) interp_raise(p->in, "format requires a mapping");
    const struct value *v = dict_find(p->in, p->args.dict, value_string(name));
    if (v == NULL) interp_raise(p->in, "KeyError: '%.*s'", (int)name->len, name->data);
    return *v;
}

static int64_t take_size(struct percent *p) {
    int64_t size = 0;
    if (p->format->data[p->at] == '*') {
        p->at++;
        return builtin_int(p->in, next_arg(p), 0);
    }
    while (p->at < p->format->len && isdigit((unsigned char)p->format->data[p->at]) && size <= WIDTH_MAX)
        size = size * 10 + (p->format->data[p->at++] - '0');
    if (size > WIDTH_MAX) interp_raise(p->in, "width too big");
    return size;
}

static void take_flags(struct percent *p, struct spec *s) {
    for (;; p->at++) {
        char c = p->at < p->format->len ? p->format->data[p->at] : '\0';
        if (c == '-')
            s->align = '<';
        else if (c == '+')
            s->sign = '+';
        else if (c == ' ' && s->sign == '\0')
            s->sign = ' ';
        else if (c == '#')
            s->alternate = true;
        else if (c == '0')
            s->fill = '0';
        else if (c != ' ')
            return;
    }
}

static const struct string *repr_text(struct interp *in, struct value v) {
    struct builder text = builder_new(in);
    value_repr(&text, v);
    return builder_string(&text);
}

static void fill_percent(struct percent *p, struct value v, struct spec *s) {
    int64_t whole;
    double number;
    if (v.kind == VALUE_UNDEFINED && !strchr("sr", s->type)) value_raise_undefined(p->in, v);
    if (s->type == 's' || s->type == 'r' || s->type == 'a') {
        const struct string *text = s->type == 's' ? value_text(p->in, v) : repr_text(p->in, v);
        s->fill = ' ';
        if (!s->align) s->align = '>';
        add_text(&p->out, string_beside(p->in, text, p->format), s);
    } else if (strchr("diuxXo", s->type)) {
        if (s->type == 'i' || s->type == 'u') s->type = 'd';
        if (!value_as_number(v, &number))
            interp_raise(p->in, "%%%c format: a real number is required, not %s", s->type, value_type(v));
        if (!value_as_int(v, &whole) && (s->type != 'd' || fabs(number) > 9e18))
            interp_raise(p->in, "%%%c format: an integer is required, not %s", s->type, value_type(v));
        add_int(&p->out, v.kind == VALUE_FLOAT ? (int64_t)number : whole, s);
    } else if (strchr("feEgGF", s->type)) {
        if (!value_as_number(v, &number)) interp_raise(p->in, "must be real number, not %s", value_type(v));
        add_float(&p->out, number, s);
    } else if (s->type == 'c' && v.kind == VALUE_STRING && string_chars(v.string) == 1) {
        add_text(&p->out, v.string, s);
    } else {
        interp_raise(p->in, "unsupported format character '%c'", s->type);
    }
}

static void fill_directive(struct percent *p) {
    struct spec s = {.fill = ' ', .precision = -1};
    struct value v = {.kind = VALUE_ABSENT};
    if (p->at < p->format->len && p->format->data[p->at] == '(') {
        p->at++;
        v = named_arg(p);
    }
    take_flags(p, &s);
    if (p->at < p->format->len) s.width = take_size(p);
    if (p->at < p->format->len && p->format->data[p->at] == '.') {
        p->at++;
        s.precision = p->at < p->format->len ? take_size(p) : 0;
    }
    s.type = next(p);
    if (s.type == '%') {
        builder_add_str(&p->out, "%");
        return;
    }
    if (s.fill == '0') s.align = s.align ? s.align : '=';
    if (s.align == '<') s.fill = ' ';
    fill_percent(p, value_given(v) ? v : next_arg(p), &s);
}

struct value format_percent(struct interp *in, const struct string *format, struct value args) {
    struct percent p = {.in = in, .format = format, .args = args, .out = builder_new(in)};
    while (p.at < format->len) {
        const char *mark = memchr(format->data + p.at, '%', format->len - p.at);
        size_t end = mark ? (size_t)(mark - format->data) : format->len;
        builder_add_slice(&p.out, format, p.at, end);
        p.at = end + 1;
        if (mark) fill_directive(&p);
    }
    bool mapping =
        args.kind == VALUE_DICT || args.kind == VALUE_LIST || args.kind == VALUE_RANGE || args.kind == VALUE_UNDEFINED;
    int64_t count = args.kind == VALUE_TUPLE ? (int64_t)args.list->count : mapping ? 0 : 1;
    if (p.used < count) interp_raise(in, "not all arguments converted during string formatting");
    return value_string(builder_string_like(&p.out, format));
}

/* ---- {} ---- */

struct braces {
    struct interp *in;
    const struct string *format;
    const struct call *call;
    size_t automatic; /* number of the next {} */
    struct builder out;
};

static size_t take_count(const struct string *s, size_t at, int64_t *out) {
    *out = 0;
    for (; at < s->len && isdigit((unsigned char)s->data[at]) && *out <= WIDTH_MAX; at++)
        *out = *out * 10 + (s->data[at] - '0');
    return at;
}

static struct spec parse_spec(struct interp *in, const struct string *text) {
    struct spec s = {.fill = ' ', .precision = -1};
    size_t at = 0, len = 1;
    if (text->len > 0) {
        int32_t first = string_char(text, 0, &len);
        if (len < text->len && strchr("<>^=", text->data[len])) {
            s.fill = first;
            s.align = text->data[len];
            at = len + 1;
        } else if (strchr("<>^=", text->data[0])) {
            s.align = text->data[at++];
        }
    }
    if (at < text->len && strchr("+- ", text->data[at])) s.sign = text->data[at] == '-' ? '\0' : text->data[at], at++;
    if (at < text->len && text->data[at] == '#') s.alternate = true, at++;
    if (at < text->len && text->data[at] == '0') {
        if (!s.align) s.align = '=', s.fill = '0';
        at++;
    }
    at = take_count(text, at, &s.width);
    if (at < text->len && text->data[at] == ',') s.commas = true, at++;
    if (at < text->len && text->data[at] == '.') at = take_count(text, at + 1, &s.precision);
    if (at < text->len) s.type = text->data[at++];
    if (at < text->len || s.width > WIDTH_MAX) interp_raise(in, "Invalid format specifier");
    return s;
}

static struct builder fill_braces(struct braces *f, struct value v, const struct string *text) {
    struct spec s = parse_spec(f->in, text);
    struct builder out = builder_new(f->in);
    double number;
    int64_t whole;
    if (text->len == 0) {
        value_print(&out, v);
    } else if (v.kind == VALUE_STRING) {
        if (s.type && s.type != 's') raise_type(f->in, s.type, v);
        add_text(&out, v.string, &s);
    } else if (value_as_int(v, &whole) && (s.type == '\0' || strchr("dxXobn", s.type))) {
        add_int(&out, whole, &s);
    } else if (value_as_number(v, &number)) {
        if (s.type && !strchr("feEgGF%", s.type)) raise_type(f->in, s.type, v);
        add_float(&out, number, &s);
    } else {
        interp_raise(f->in, "unsupported format string passed to %s.__format__", value_type(v));
    }
    return out;
}

static struct value field_base(struct braces *f, const struct string *name) {
    int64_t number;
    if (name->len == 0)
        number = (int64_t)f->automatic++;
    else if (take_count(name, 0, &number) < name->len)
        number = -1;
    if (number >= 0) {
        if ((size_t)number >= f->call->count)
            interp_raise(f->in, "Replacement index %lld out of range for positional args tuple", (long long)number);
        return f->call->args[number];
    }
    for (size_t i = 0; i < f->call->keyword_count; i++)
        if (string_equal(f->call->keywords[i].name, name)) return f->call->keywords[i].value;
    interp_raise(f->in, "KeyError: '%.*s'", (int)name->len, name->data);
}

/* "name.attribute[index]" */
static struct value field_value(struct braces *f, const struct string *field) {
    size_t at = 0;
    while (at < field->len && field->data[at] != '.' && field->data[at] != '[') at++;
    struct value v = field_base(f, string_slice(f->in, field, 0, at));
    while (at < field->len) {
        bool index = field->data[at++] == '[';
        size_t begin = at;
        int64_t number;
        while (at < field->len && (index ? field->data[at] != ']' : field->data[at] != '.' && field->data[at] != '['))
            at++;
        struct string *name = string_slice(f->in, field, begin, at);
        bool numeric = name->len > 0 && take_count(name, 0, &number) == name->len;
        if (index)
            v = value_item(f->in, v, numeric ? value_int(number) : value_string(name));
        else
            v = value_attribute(f->in, v, name);
        if (index) at++;
    }
    return v;
}

/* Behind the "}" that closes the field which begins at `at`. */
static size_t fill_field(struct braces *f, size_t at) {
    const struct string *s = f->format;
    size_t begin = at, name_end;
    while (at < s->len && s->data[at] != '}' && s->data[at] != ':' && s->data[at] != '!') at++;
    name_end = at;
    char conversion = at + 1 < s->len && s->data[at] == '!' ? s->data[at + 1] : '\0';
    if (conversion) at += 2;
    size_t spec = at < s->len && s->data[at] == ':' ? at + 1 : at;
    while (at < s->len && s->data[at] != '}') {
        if (at >= spec && s->data[at] == '{') interp_raise(f->in, "nested format fields are not supported");
        at++;
    }
    if (at >= s->len) interp_raise(f->in, "expected '}' before end of string");
    struct value v = field_value(f, string_slice(f->in, s, begin, name_end));
    if (conversion) v = value_string(conversion == 's' ? value_text(f->in, v) : repr_text(f->in, v));
    struct builder field = fill_braces(f, v, string_slice(f->in, s, spec < at ? spec : at, at));
    bool markup = v.kind == VALUE_STRING && v.string->markup;
    builder_add(&f->out, markup ? builder_string(&field) : string_beside(f->in, builder_string(&field), s));
    return at + 1;
}

struct value format_braces(struct interp *in, const struct string *format, const struct call *call) {
    struct braces f = {.in = in, .format = format, .call = call, .out = builder_new(in)};
    for (size_t at = 0; at < format->len;) {
        size_t end = at;
        while (end < format->len && format->data[end] != '{' && format->data[end] != '}') end++;
        builder_add_slice(&f.out, format, at, end);
        at = end;
        if (at >= format->len) break;
        char c = format->data[at++];
        if (at < format->len && format->data[at] == c)
            builder_add_bytes(&f.out, &c, 1, false), at++;
        else if (c == '}')
            interp_raise(in, "Single '}' encountered in format string");
        else
            at = fill_field(&f, at);
    }
    return value_string(builder_string_like(&f.out, format));
}

/* ---- strftime ---- */

/* Days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_from_civil(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct moment {
    int year, month, day, hour, minute, second, weekday, year_day;
};

static struct moment read_moment(struct interp *in, const char *iso) {
    struct moment m = {0};
    int n = iso ? sscanf(iso, "%4d-%2d-%2d%*1[T ]%2d:%2d:%2d", &m.year, &m.month, &m.day, &m.hour, &m.minute, &m.second)
                : 0;
    bool valid = n >= 3 && m.year >= 0 && m.month >= 1 && m.month <= 12 && m.day >= 1 && m.day <= 31 && m.hour >= 0 &&
                 m.hour < 24 && m.minute >= 0 && m.minute < 60 && m.second >= 0 && m.second < 62;
    if (!valid) interp_raise(in, "the date is not known here");
    int64_t days = days_from_civil(m.year, m.month, m.day);
    m.weekday = (int)(((days + 4) % 7 + 7) % 7);
    m.year_day = (int)(days - days_from_civil(m.year, 1, 1)) + 1;
    return m;
}

static void add_time_part(struct builder *b, const struct moment *m, char c) {
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    int hour12 = m->hour % 12 ? m->hour % 12 : 12;
    switch (c) {
    case 'Y': builder_printf(b, "%d", m->year); break;
    case 'y': builder_printf(b, "%02d", m->year % 100); break;
    case 'm': builder_printf(b, "%02d", m->month); break;
    case 'd': builder_printf(b, "%02d", m->day); break;
    case 'e': builder_printf(b, "%2d", m->day); break;
    case 'j': builder_printf(b, "%03d", m->year_day); break;
    case 'H': builder_printf(b, "%02d", m->hour); break;
    case 'I': builder_printf(b, "%02d", hour12); break;
    case 'M': builder_printf(b, "%02d", m->minute); break;
    case 'S': builder_printf(b, "%02d", m->second); break;
    case 'f': builder_add_str(b, "000000"); break;
    case 'p': builder_add_str(b, m->hour < 12 ? "AM" : "PM"); break;
    case 'B': builder_add_str(b, months[m->month - 1]); break;
    case 'b':
    case 'h': builder_printf(b, "%.3s", months[m->month - 1]); break;
    case 'A': builder_add_str(b, days[m->weekday]); break;
    case 'a': builder_printf(b, "%.3s", days[m->weekday]); break;
    case 'w': builder_printf(b, "%d", m->weekday); break;
    case 'u': builder_printf(b, "%d", m->weekday ? m->weekday : 7); break;
    case 'F': builder_printf(b, "%d-%02d-%02d", m->year, m->month, m->day); break;
    case 'D':
    case 'x': builder_printf(b, "%02d/%02d/%02d", m->month, m->day, m->year % 100); break;
    case 'T':
    case 'X': builder_printf(b, "%02d:%02d:%02d", m->hour, m->minute, m->second); break;
    case 'R': builder_printf(b, "%02d:%02d", m->hour, m->minute); break;
    case 'n': builder_add_str(b, "\n"); break;
    case 't': builder_add_str(b, "\t"); break;
    case '%': builder_add_str(b, "%"); break;
    case 'Z':
    case 'z': break; /* the time has no zone */
    default: builder_printf(b, "%%%c", c);
    }
}

const struct string *format_time(struct interp *in, const struct string *format, const char *now) {
    struct moment m = read_moment(in, now);
    struct builder b = builder_new(in);
    for (size_t at = 0; at < format->len; at++) {
        bool plain = format->data[at] != '%' || at + 1 == format->len, bare = false;
        if (plain) {
            builder_add_slice(&b, format, at, at + 1);
            continue;
        }
        at++;
        if (format->data[at] == '-' && at + 1 < format->len) bare = true, at++; /* glibc: without padding */
        struct builder part = builder_new(in);
        add_time_part(&part, &m, format->data[at]);
        struct string *text = builder_string(&part);
        size_t skip = 0;
        while (bare && skip + 1 < text->len && (text->data[skip] == '0' || text->data[skip] == ' ')) skip++;
        builder_add_slice(&b, text, skip, text->len);
    }
    return builder_string(&b);
}
