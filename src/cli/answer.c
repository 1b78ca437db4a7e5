#include "cli/answer.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/common.h"
#include "cli/markdown.h"
#include "cli/wrap.h"

/* What is said, or thought: its marks become ink, its lines are broken between words. */
struct voice {
    struct markdown marks;
    struct wrap wrap;
    struct text inked;
};

/* An answer on its way to the terminal. */
struct stream {
    struct answer *answer;
    enum answer_look look;
    struct voice said, thought;
    struct text shown;
    bool thinking; /* the last that came was a thought */
    bool lost;     /* stdout does not take it any more */
};

json_t *answer_request(const struct answer_settings *s) {
    json_t *request = json_pack("{s:s, s:b}", "model", s->model, "raw", s->raw);
    if (s->temperature >= 0) json_object_set_new(request, "temperature", json_real(s->temperature));
    if (s->top_p >= 0) json_object_set_new(request, "top_p", json_real(s->top_p));
    if (s->seed >= 0) json_object_set_new(request, "seed", json_integer(s->seed));
    if (s->tokens_max >= 0) json_object_set_new(request, "max_tokens", json_integer(s->tokens_max));
    return request;
}

static void wrap_inked(struct voice *v, struct text *out) {
    wrap_add(&v->wrap, text_str(&v->inked), v->inked.len, v->marks.in_code, out);
    text_clear(&v->inked);
}

static void speak(struct voice *v, const char *piece, size_t len, struct text *out) {
    for (size_t i = 0; i < len; i++) {
        markdown_add(&v->marks, piece + i, 1, &v->inked);
        wrap_inked(v, out);
    }
}

static void fall_silent(struct voice *v, struct text *out) {
    markdown_end(&v->marks, &v->inked);
    wrap_inked(v, out);
    wrap_end(&v->wrap, out);
}

static void voice_deinit(struct voice *v) {
    wrap_deinit(&v->wrap);
    text_deinit(&v->inked);
}

static void put(struct stream *s, FILE *out) {
    bool taken = fwrite(text_str(&s->shown), 1, s->shown.len, out) == s->shown.len && fflush(out) == 0;
    if (out == stdout && !taken) s->lost = true;
    text_clear(&s->shown);
}

static void show_thought(struct stream *s, const json_t *thought) {
    bool dim = common_styled(stderr);
    if (json_string_length(thought) == 0 || !isatty(STDERR_FILENO)) return;
    if (dim) text_add_str(&s->shown, "\033[2m");
    speak(&s->thought, json_string_value(thought), json_string_length(thought), &s->shown);
    if (dim) text_add_str(&s->shown, "\033[0m");
    put(s, stderr);
    s->thinking = true;
}

static void end_thought(struct stream *s, const char *newlines) {
    if (!s->thinking) return;
    s->thinking = false;
    fall_silent(&s->thought, &s->shown);
    text_add_str(&s->shown, newlines);
    put(s, stderr);
}

static void show_text(struct stream *s, const char *piece, size_t len) {
    end_thought(s, "\n\n");
    text_add(&s->answer->text, piece, len);
    if (s->look == ANSWER_EXACT)
        text_add(&s->shown, piece, len);
    else
        speak(&s->said, piece, len, &s->shown);
    put(s, stdout);
}

static void take_numbers(struct answer *a, const json_t *event) {
    const json_t *rate = json_object_get(event, "tokens_per_s");
    a->told = true;
    a->prompt_tokens = json_integer_value(json_object_get(event, "prompt_tokens"));
    a->cached_tokens = json_integer_value(json_object_get(event, "cached_tokens"));
    a->tokens = json_integer_value(json_object_get(event, "tokens"));
    a->first_token_s = json_number_value(json_object_get(event, "first_token_s"));
    a->tokens_per_s = json_is_number(rate) ? json_number_value(rate) : -1;
}

static bool on_event(void *context, const json_t *event) {
    struct stream *s = context;
    const json_t *piece = json_object_get(event, "text");
    show_thought(s, json_object_get(event, "thought"));
    if (json_string_length(piece) > 0) show_text(s, json_string_value(piece), json_string_length(piece));
    if (json_is_true(json_object_get(event, "done"))) take_numbers(s->answer, event);
    return !s->lost;
}

/* The end of the line, whatever it was the end of. */
static void end(struct stream *s, bool complete) {
    end_thought(s, "\n");
    fall_silent(&s->said, &s->shown);
    if (complete || s->answer->text.len > 0) text_add_char(&s->shown, '\n');
    put(s, stdout);
    text_deinit(&s->shown);
    voice_deinit(&s->said);
    voice_deinit(&s->thought);
}

int answer_print(struct client *client, json_t *request, enum answer_look look, struct answer *out,
                 struct error *error) {
    struct stream stream = {.answer = out, .look = look, .said.marks.styled = look == ANSWER_STYLED};
    stream.said.wrap.columns = stream.thought.wrap.columns = look == ANSWER_STYLED ? common_columns() : 0;
    int code = client_stream(client, "generate", request, on_event, &stream, error);
    end(&stream, code == 0);
    if (code == 0 && stream.lost) code = error_set(error, ERR_IO, "standard output does not take the answer");
    return code;
}
