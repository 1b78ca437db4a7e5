#include "api/forms.h"

#include <stdlib.h>
#include <string.h>

/* How the calls of a reply are written, as parts of a grammar of tags. */
struct layout {
    const char *begin, *end;          /* around all calls */
    const char *call, *middle, *done; /* around a name, and behind the arguments */
    const char *separator;            /* NULL: one call only */
    struct text begin_text, end_text; /* what begin and end may point into */
};

/* ---- layouts ---- */

static const char *separator_of(const struct call_syntax *c, bool list) {
    if (list) return ", ";
    if (c->body == CALL_CHANNEL || c->mark[0] == '\0') return NULL;
    if (c->body == CALL_NAMED_JSON) return strcmp(c->name, "deepseek") == 0 ? "\n" : "";
    return "\n";
}

/* A syntax whose calls are elements of a JSON array has the brackets around all of them. */
static void layout_init(struct layout *l, const struct call_syntax *c) {
    const char *open = strstr(c->begin, "[{"), *close = strstr(c->end, "}]");
    bool list = open && close;
    *l = (struct layout){c->section_begin, c->section_end, c->begin, c->middle, c->end, separator_of(c, list)};
    if (list) {
        text_add(&l->begin_text, c->begin, (size_t)(open - c->begin) + 1);
        text_add_str(&l->end_text, close + 1);
        l->begin = text_str(&l->begin_text);
        l->end = text_str(&l->end_text);
        l->call = open + 1;
        l->done = "}";
    }
    if (c->body == CALL_FUNCTION || c->body == CALL_ARG_KEYS) l->done += l->done[0] == '\n';
    if (c->body == CALL_CHANNEL) l->call = "to=functions.";
}

static void layout_deinit(struct layout *l) {
    text_deinit(&l->begin_text);
    text_deinit(&l->end_text);
}

/* How arguments are written that are not JSON as a whole; NULL: they are. */
static json_t *argument_style(enum call_body body) {
    if (body == CALL_FUNCTION)
        return json_pack("{s:s, s:s, s:s}", "begin", "<parameter=", "middle", ">\n", "end", "\n</parameter>\n");
    if (body == CALL_ARG_KEYS)
        return json_pack("{s:s, s:s, s:s}", "begin", "<arg_key>", "middle", "</arg_key>\n<arg_value>", "end",
                         "</arg_value>\n");
    return NULL;
}

/* ---- tags ---- */

static int try_text(enum grammar_kind kind, const char *text, size_t len, struct error *error) {
    struct grammar *g;
    int code = grammar_new(&g, kind, text, len, NULL, error);
    if (code == 0) grammar_free(g);
    return code;
}

/* The schema of a tool's arguments; any object where there is none, or where `loose` lets it be so because the schema
 * cannot be kept to. NULL: it cannot, and *error says why. New reference. */
static json_t *arguments_schema(const json_t *function, bool loose, struct error *error) {
    json_t *given = json_object_get(function, "parameters");
    json_t *any = json_pack("{s:s}", "type", "object");
    if (!json_is_object(given) || json_object_size(given) == 0) return any;
    json_t *closed = json_copy(given); /* arguments are an object, also if the schema forgets to say so */
    if (!json_object_get(closed, "type")) json_object_set_new(closed, "type", json_string("object"));
    char *text = json_dumps(closed, JSON_COMPACT);
    int code = text ? try_text(GRAMMAR_SCHEMA, text, strlen(text), error) : ERR_NOMEM;
    free(text);
    json_decref(code ? closed : any);
    if (code == 0) return closed;
    if (loose && !json_is_true(json_object_get(function, "strict"))) return any;
    json_decref(any);
    return NULL;
}

static json_t *call_tag(const struct layout *l, const struct call_syntax *c, const char *name, json_t *schema) {
    struct text begin = {0};
    json_t *style = argument_style(c->body);
    text_add_str(&begin, l->call);
    text_add_str(&begin, name);
    text_add_str(&begin, l->middle);
    json_t *tag =
        json_pack("{s:s, s:s, s:o}", "begin", text_str(&begin), "end", l->done, style ? "arguments" : "schema", schema);
    if (style) json_object_set_new(tag, "style", style);
    text_deinit(&begin);
    return tag;
}

/* The tags of all tools that may be called. 0 or the HTTP status. */
static int add_calls(const struct api_job *job, const struct layout *l, const struct call_syntax *c, json_t *tags,
                     struct api_error *e) {
    size_t i;
    const json_t *tool;
    bool required = job->tool_choice == API_TOOLS_REQUIRED;
    json_array_foreach(job->tools, i, tool) {
        const json_t *function = json_object_get(tool, "function");
        const char *name = json_string_value(json_object_get(function, "name"));
        struct error error = {0};
        if (required && job->tool_named && strcmp(job->tool_named, name) != 0) continue;
        json_t *schema = arguments_schema(function, !required, &error);
        if (schema == NULL)
            return api_error_set(e, 400, "invalid_request_error", NULL, "tools", "the parameters of tool '%s': %s",
                                 name, error.text);
        json_array_append_new(tags, call_tag(l, c, name, schema));
    }
    return 0;
}

static json_t *answer_tag(const struct api_job *job, const char *begin) {
    if (job->grammar_kind == GRAMMAR_GBNF)
        return json_pack("{s:s, s:s, s:s}", "begin", begin, "end", "", "gbnf", text_str(&job->grammar));
    json_t *schema = json_is_object(job->schema) ? json_incref((json_t *)(uintptr_t)job->schema)
                                                 : json_pack("{s:s}", "type", "object");
    return json_pack("{s:s, s:s, s:o}", "begin", begin, "end", "", "schema", schema);
}

/* ---- replies ---- */

static bool may_think(const struct api_job *job, const struct chat_form *form, bool thinks) {
    bool off = json_is_false(json_object_get(job->variables, "enable_thinking"));
    return thinks || (form->switches_thinking && !off && !job->continues);
}

static json_t *thoughts(const struct chat_form *form, bool opened) {
    return json_pack("{s:s, s:s, s:b}", "open", form->think_open, "close", form->think_close, "opened", opened);
}

static bool has_answer(const struct api_job *job) { return job->schema || job->grammar_kind == GRAMMAR_GBNF; }

/* Tools may be called, and text may be anything. */
static bool calls_are_free(const struct api_job *job) {
    return job->tools && job->tool_choice == API_TOOLS_AUTO && !has_answer(job);
}

/* A reply in channels: what its last one is begins behind a trigger, and before it there may be others. */
static json_t *in_channels(const struct api_job *job, json_t *tags) {
    static const char final[] = "<|channel|>final<|message|>";
    json_t *triggers = json_array();
    if (json_array_size(tags) > 0) json_array_append_new(triggers, json_string("to=functions."));
    if (has_answer(job)) {
        json_array_append_new(triggers, json_string(final));
        json_array_append_new(tags, answer_tag(job, final));
    }
    bool required = has_answer(job) || job->tool_choice == API_TOOLS_REQUIRED;
    return json_pack("{s:O, s:o, s:b}", "tags", tags, "triggers", triggers, "required", required);
}

/* The answer, or one call, each as a whole. */
static json_t *answer_or_call(const struct api_job *job, const struct layout *l, json_t *tags) {
    size_t i;
    json_t *tag;
    json_array_foreach(tags, i, tag) {
        struct text begin = {0}, end = {0};
        text_add_str(&begin, l->begin);
        text_add_str(&begin, json_string_value(json_object_get(tag, "begin")));
        text_add_str(&end, json_string_value(json_object_get(tag, "end")));
        text_add_str(&end, l->end);
        json_object_set_new(tag, "begin", json_string(text_str(&begin)));
        json_object_set_new(tag, "end", json_string(text_str(&end)));
        text_deinit(&begin);
        text_deinit(&end);
    }
    json_array_append_new(tags, answer_tag(job, ""));
    return json_pack("{s:O}", "tags", tags);
}

/* Only calls; or free text with calls, from their mark on. */
static json_t *calls(const struct api_job *job, const struct layout *l, const char *mark, json_t *tags) {
    bool required = job->tool_choice == API_TOOLS_REQUIRED, many = !job->one_call && l->separator;
    json_t *all = json_pack("{s:O, s:s, s:s, s:b}", "tags", tags, "begin", l->begin, "end", l->end, "many", many);
    if (l->separator) json_object_set_new(all, "separator", json_string(l->separator));
    if (!required) json_object_set_new(all, "triggers", json_pack("[s]", mark));
    return all;
}

static int set_text(struct api_job *job, enum grammar_kind kind, const json_t *all, struct api_error *e) {
    struct error error = {0};
    bool free_calls = calls_are_free(job);
    char *text = json_dumps(all, JSON_COMPACT | JSON_ENCODE_ANY);
    text_clear(&job->grammar);
    if (text) text_add_str(&job->grammar, text);
    free(text);
    job->grammar_kind = kind;
    if (text == NULL || job->grammar.failed)
        return api_error_set(e, 503, "server_error", NULL, "", "no memory for the form of the reply");
    if (try_text(kind, text_str(&job->grammar), job->grammar.len, &error) == 0) return 0;
    if (free_calls) { /* the schemas of all tools are too much together: calls are as the model writes them */
        job->grammar_kind = GRAMMAR_NONE;
        return 0;
    }
    const char *param = job->schema ? "response_format" : "tools";
    return api_error_set(e, 400, "invalid_request_error", NULL, param, "'%s': %s", param, error.text);
}

static int make_reply(struct api_job *job, const struct chat_form *form, bool thinks, struct api_error *e) {
    const struct call_syntax *c = form->calls;
    struct layout l;
    json_t *tags = json_array(), *all = NULL;
    layout_init(&l, c);
    int status = add_calls(job, &l, c, tags, e);
    if (status == 0 && c->body == CALL_CHANNEL)
        all = in_channels(job, tags);
    else if (status == 0 && has_answer(job) && job->tool_choice != API_TOOLS_REQUIRED)
        all = answer_or_call(job, &l, tags);
    else if (status == 0)
        all = calls(job, &l, c->mark, tags);
    if (all && c->body != CALL_CHANNEL && may_think(job, form, thinks))
        json_object_set_new(all, "thoughts", thoughts(form, thinks));
    if (all) status = set_text(job, GRAMMAR_TAGS, all, e);
    json_decref(all);
    json_decref(tags);
    layout_deinit(&l);
    return status;
}

int forms_make(struct api_job *job, const struct chat_form *form, bool thinks, struct api_error *e) {
    struct error error = {0};
    if (job->task != API_GENERATE || (!job->tools && !has_answer(job))) return 0;
    if (job->grammar_kind == GRAMMAR_GBNF &&
        try_text(GRAMMAR_GBNF, text_str(&job->grammar), job->grammar.len, &error) != 0)
        return api_error_set(e, 400, "invalid_request_error", NULL, "grammar", "'grammar': %s", error.text);
    bool plain = !job->messages || (!job->tools && !may_think(job, form, thinks) && form->calls->body != CALL_CHANNEL);
    if (plain && job->grammar_kind == GRAMMAR_GBNF) return 0;
    if (plain) {
        json_t *object = json_is_object(job->schema) ? NULL : json_pack("{s:s}", "type", "object");
        int status = set_text(job, GRAMMAR_SCHEMA, object ? object : job->schema, e);
        json_decref(object);
        return status;
    }
    bool unmarked = form->calls->mark[0] == '\0' && form->calls->body != CALL_CHANNEL;
    return calls_are_free(job) && unmarked ? 0 : make_reply(job, form, thinks, e);
}
