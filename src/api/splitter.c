#include "api/splitter.h"

#include <string.h>

#include "api/calls.h"
#include "base/size.h"

static const char space[] = " \t\r\n";
static const char *const channel_ends[] = {"<|end|>", "<|call|>", "<|return|>", "<|start|>", "<|channel|>"};

static bool in_channels(const struct splitter *s) { return s->form->calls->body == CALL_CHANNEL; }

void splitter_init(struct splitter *s, const struct chat_form *form, const json_t *tools, bool thinking,
                   const struct splitter_listener *to) {
    *s = (struct splitter){.form = form, .tools = tools, .to = *to, .may_think = true, .fresh = thinking};
    s->state = thinking ? SPLIT_THOUGHT : SPLIT_BEGIN;
}

void splitter_deinit(struct splitter *s) { text_deinit(&s->held); }

/* ---- what is held ---- */

static void drop(struct splitter *s, size_t len) {
    struct text rest = {0};
    text_add(&rest, s->held.data + len, s->held.len - len);
    text_deinit(&s->held);
    s->held = rest;
    s->searched = 0;
}

static size_t leading_space(const struct text *t) { return t->len ? strspn(t->data, space) : 0; }

static bool begins_with(const struct text *t, size_t at, const char *mark) {
    size_t len = strlen(mark);
    return len > 0 && t->len - at >= len && memcmp(t->data + at, mark, len) == 0;
}

/* Could more text make it begin with the mark? */
static bool may_begin_with(const struct text *t, size_t at, const char *mark) {
    size_t left = t->len - at;
    return left < strlen(mark) && memcmp(text_str(t) + at, mark, left) == 0;
}

/* Where the mark stands, or could begin with the last bytes held. SIZE_MAX: nowhere. */
static size_t find(const struct text *t, size_t from, const char *mark, bool *whole) {
    for (size_t at = from; at < t->len && mark[0]; at++) {
        *whole = begins_with(t, at, mark);
        if (*whole || may_begin_with(t, at, mark)) return at;
    }
    return SIZE_MAX;
}

/* The first of several marks; *found is NULL if it is not whole yet. */
static size_t find_first(const struct text *t, size_t from, const char *const *marks, size_t count,
                         const char **found) {
    size_t first = SIZE_MAX;
    *found = NULL;
    for (size_t i = 0; i < count; i++) {
        bool whole = false;
        size_t at = find(t, from, marks[i], &whole);
        if (at >= first) continue;
        first = at;
        *found = whole ? marks[i] : NULL;
    }
    return first;
}

/* Tell the first bytes held; space at their end waits for what comes, since none stands before a mark or the end. */
static void tell(struct splitter *s, size_t len, bool keep_space) {
    size_t skip = s->fresh ? strspn(text_str(&s->held), space) : 0, end = len;
    if (skip > len) skip = len;
    while (!keep_space && end > skip && strchr(space, s->held.data[end - 1]) && s->held.data[end - 1]) end--;
    if (end > skip) {
        s->to.text(s->to.context, s->state == SPLIT_THOUGHT, s->held.data + skip, end - skip);
        s->fresh = s->may_think = false;
    }
    drop(s, end > skip ? end : skip);
}

/* ---- states: each takes what it can from what is held; false: more is needed ---- */

static bool take_begin(struct splitter *s) {
    size_t at = leading_space(&s->held);
    const char *open = s->form->think_open;
    bool bare = s->tools && s->form->calls->mark[0] == '\0' && !in_channels(s);
    if (at == s->held.len) return false;
    if (in_channels(s)) {
        s->state = SPLIT_HEADER;
        return true;
    }
    if (s->may_think && may_begin_with(&s->held, at, open)) return false;
    if (bare && may_begin_with(&s->held, at, "<|python_tag|>")) return false;
    if (s->may_think && begins_with(&s->held, at, open)) {
        drop(s, at + strlen(open));
        s->state = SPLIT_THOUGHT;
        s->fresh = true;
    } else if (bare && (s->held.data[at] == '{' || begins_with(&s->held, at, "<|python_tag|>"))) {
        drop(s, at);
        s->state = SPLIT_CALL;
    } else {
        s->state = SPLIT_TEXT;
    }
    return true;
}

static bool take_until(struct splitter *s, const char *const *marks, size_t count, enum splitter_state next) {
    const char *found;
    size_t at = find_first(&s->held, 0, marks, count, &found);
    if (at == SIZE_MAX) at = s->held.len;
    tell(s, at, s->state == SPLIT_TEXT && s->tools == NULL && !found);
    if (!found) return false;
    drop(s, strspn(text_str(&s->held), space)); /* between the text and the mark */
    s->state = next;
    return true;
}

static bool take_channel(struct splitter *s) {
    bool more = take_until(s, channel_ends, ARRAY_LEN(channel_ends), SPLIT_HEADER);
    if (more) s->fresh = true;
    return more;
}

static bool take_text(struct splitter *s) {
    if (in_channels(s)) return take_channel(s);
    const char *mark = s->tools ? s->form->calls->mark : "";
    if (!take_until(s, &mark, 1, SPLIT_CALL)) return false;
    drop(s, strlen(mark));
    return true;
}

static bool take_thought(struct splitter *s) {
    if (in_channels(s)) return take_channel(s);
    if (!take_until(s, &s->form->think_close, 1, SPLIT_BEGIN)) return false;
    drop(s, strlen(s->form->think_close));
    s->may_think = false;
    s->fresh = true;
    return true;
}

/* Tell the calls in the first bytes held, which the marks enclosed; false: they are none. */
static bool tell_calls(struct splitter *s, size_t len) {
    size_t i;
    json_t *call, *calls = calls_parse(s->form->calls->body, text_str(&s->held), len, s->tools);
    const char *mark = s->form->calls->mark;
    json_array_foreach(calls, i, call) {
        const char *name = json_string_value(json_object_get(call, "name"));
        if (mark[0] || calls_find_tool(s->tools, name)) continue;
        json_decref(calls); /* a JSON object that only looks like a call */
        return false;
    }
    json_array_foreach(calls, i, call) s->to.call(s->to.context, json_string_value(json_object_get(call, "name")),
                                                  json_string_value(json_object_get(call, "arguments")));
    json_decref(calls);
    return calls != NULL;
}

static void end_call(struct splitter *s, size_t len, const char *close) {
    const char *mark = s->form->calls->mark;
    if (tell_calls(s, len)) {
        drop(s, len + strlen(close));
        s->fresh = true;
    } else { /* as it was written */
        if (mark[0]) s->to.text(s->to.context, false, mark, strlen(mark));
        s->state = SPLIT_TEXT;
        s->fresh = false;
        tell(s, len + strlen(close), true);
    }
    s->may_think = false;
    s->state = SPLIT_BEGIN;
}

static bool take_call(struct splitter *s) {
    const struct call_syntax *c = s->form->calls;
    const char *const ends[] = {c->close[0] ? c->close : c->mark}, *found;
    size_t at = find_first(&s->held, s->searched, in_channels(s) ? channel_ends : ends,
                           in_channels(s) ? ARRAY_LEN(channel_ends) : 1, &found);
    s->searched = at == SIZE_MAX ? s->held.len : at;
    if (at == SIZE_MAX || !found) return false;
    end_call(s, at, c->close);
    return true;
}

/* `<|start|>assistant<|channel|>NAME to=functions.TOOL <|constrain|>json<|message|>`: what follows? */
static bool take_header(struct splitter *s) {
    static const char message[] = "<|message|>", to[] = "to=functions.";
    bool whole = false;
    size_t at = find(&s->held, 0, message, &whole), lead = leading_space(&s->held);
    bool plain = lead < s->held.len && s->held.data[lead] != '<' && strncmp(s->held.data + lead, "to=", 3) != 0;
    if (plain && s->may_think) { /* no header at all */
        s->state = SPLIT_TEXT;
        return true;
    }
    if (at == SIZE_MAX || !whole) return false;
    const char *recipient = memmem(s->held.data, at, to, strlen(to));
    bool thinks = memmem(s->held.data, at, "analysis", 8) != NULL;
    s->may_think = false;
    s->fresh = true;
    if (recipient == NULL || s->tools == NULL) {
        drop(s, at + strlen(message));
        s->state = thinks ? SPLIT_THOUGHT : SPLIT_TEXT;
        return true;
    }
    struct text call = {0}; /* the name, and the arguments behind it */
    size_t begin = (size_t)(recipient - s->held.data) + strlen(to);
    text_add(&call, s->held.data + begin, strcspn(s->held.data + begin, " <"));
    text_add(&call, s->held.data + at + strlen(message), s->held.len - at - strlen(message));
    text_deinit(&s->held);
    s->held = call;
    s->state = SPLIT_CALL;
    return true;
}

static bool take(struct splitter *s) {
    switch (s->state) {
    case SPLIT_BEGIN: return take_begin(s);
    case SPLIT_TEXT: return take_text(s);
    case SPLIT_THOUGHT: return take_thought(s);
    case SPLIT_CALL: return take_call(s);
    case SPLIT_HEADER: return take_header(s);
    }
    return false;
}

void splitter_add(struct splitter *s, const char *text, size_t len) {
    text_add(&s->held, text, len);
    while (s->held.len > 0 && take(s)) continue;
}

void splitter_finish(struct splitter *s) {
    if (s->held.len == 0 || s->state == SPLIT_HEADER) return;
    if (s->state == SPLIT_CALL) {
        end_call(s, s->held.len, "");
        return;
    }
    tell(s, s->held.len, s->state != SPLIT_THOUGHT);
}
