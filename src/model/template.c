#include "model/template.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/template/eval.h"
#include "model/template/print.h"
#include "model/template/scope.h"

struct template {
    struct arena arena; /* of the tree and all its texts */
    struct nodes body;
};

static bool valid_utf8(const char *source, size_t len) {
    for (size_t at = 0; at < len;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)source + at, (utf8proc_ssize_t)(len - at), &c);
        if (n <= 0) return false;
        at += (size_t)n;
    }
    return true;
}

int template_new(struct template **out, const char *source, size_t len, struct error *error) {
    if (len > TEMPLATE_SOURCE_BYTES_MAX)
        return error_set(error, ERR_LIMIT, "the template has %zu bytes, more than %d", len, TEMPLATE_SOURCE_BYTES_MAX);
    if (!valid_utf8(source, len)) return error_set(error, ERR_INVALID, "the template is not valid UTF-8");
    struct template *t = calloc(1, sizeof *t);
    struct interp *in = malloc(sizeof *in);
    if (t == NULL || in == NULL) {
        free(t);
        free(in);
        return error_set(error, ERR_NOMEM, "no memory for the template");
    }
    interp_init(in, error);
    if (setjmp(in->out) == 0) {
        struct names names;
        t->body = parser_parse(in, source, len, &names);
    }
    int code = in->code;
    t->arena = in->arena;
    free(in);
    if (code == 0)
        *out = t;
    else
        template_free(t);
    return code;
}

void template_free(struct template *t) {
    if (t == NULL) return;
    arena_deinit(&t->arena);
    free(t);
}

/* What a rendering needs beside the interpreter; on the heap, because it outlives a longjmp. */
struct rendering {
    struct interp in;
    struct builder out;
    struct value context;
};

static bool is_named(const char *const *names, const char *name) {
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

static struct value context_of(struct interp *in, const json_t *variables, const char *const *foreign) {
    struct dict *d = dict_new(in);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)variables, key, value)
        dict_set(in, d, value_string(string_of(in, key)), value_from_json(in, value, is_named(foreign, key)));
    return value_dict(d);
}

static void add_output(const struct string *s, struct text *out, struct text *origin) {
    text_add(out, s->data, s->len);
    if (origin == NULL) return;
    for (size_t i = 0; i < s->len; i++) text_add_char(origin, (char)string_user_at(s, i));
}

int template_render_origin(const struct template *t, const json_t *variables, const char *const *foreign,
                           const char *now, struct text *out, struct text *origin, struct error *error) {
    assert(json_is_object(variables));
    struct rendering *r = malloc(sizeof *r);
    if (r == NULL) return error_set(error, ERR_NOMEM, "no memory to render the template");
    interp_init(&r->in, error);
    r->out = builder_new(&r->in);
    r->in.now = now;
    if (setjmp(r->in.out) == 0) {
        r->context = context_of(&r->in, variables, foreign);
        r->in.context = &r->context;
        r->in.root = r->in.scope = scope_new(&r->in, NULL);
        eval_body(&r->in, &t->body, &r->out);
        if (r->out.len > TEMPLATE_OUTPUT_BYTES_MAX) interp_raise_limit(&r->in, "writes too much");
    }
    int code = r->in.code;
    struct string text = {.data = r->out.data, .len = r->out.len, .origin = r->out.origin, .user = r->out.user};
    add_output(&text, out, origin);
    if (code == 0 && (out->failed || (origin && origin->failed)))
        code = error_set(error, ERR_NOMEM, "no memory for the rendered text");
    interp_deinit(&r->in);
    free(r);
    return code;
}

int template_render(const struct template *t, const json_t *variables, const char *now, struct text *out,
                    struct error *error) {
    return template_render_origin(t, variables, NULL, now, out, NULL, error);
}
