/* What a chat does besides talking: lines that begin with a slash. All of it is told on stderr. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/size.h"
#include "cli/chat.h"
#include "cli/client.h"
#include "cli/plan.h"
#include "os/file.h"

enum { MODELS_SHOWN = 40 };

/* ---- /model ---- */

static void list_models(struct chat *c) {
    struct error error;
    json_t *models = NULL;
    const json_t *model;
    size_t i;
    fprintf(stderr, "%s; here are\n", c->model);
    if (client_get(c->client, "models", &models, &error) != 0) common_fail(&error);
    json_array_foreach(models, i, model) {
        if (i == MODELS_SHOWN) break;
        fprintf(stderr, "  %s\n", json_string_value(json_object_get(model, "name")));
    }
    if (i < json_array_size(models)) fprintf(stderr, "  and more: caravan list\n");
    json_decref(models);
}

static void do_model(struct chat *c, const char *name) {
    char path[CLI_PATH_BYTES];
    struct error error;
    if (*name == '\0') {
        list_models(c);
        return;
    }
    const char *meant = common_model_name(name, path);
    fprintf(stderr, "loading %s\n", name);
    int code = plan_load(c->client, json_pack("{s:s}", "model", meant), NULL, &error);
    if (client_take_interrupt())
        fprintf(stderr, "it is still %s\n", c->model);
    else if (code != 0)
        common_fail(&error);
    else
        snprintf(c->model, sizeof c->model, "%s", meant);
}

/* ---- /system ---- */

/* The content of the system prompt; NULL: there is none. */
static const char *system_prompt(const struct chat *c) {
    const json_t *first = json_array_get(c->messages, 0);
    const char *role = json_string_value(json_object_get(first, "role"));
    return role && strcmp(role, "system") == 0 ? json_string_value(json_object_get(first, "content")) : NULL;
}

static void do_system(struct chat *c, const char *text) {
    const char *now = system_prompt(c);
    if (*text == '\0') {
        fprintf(stderr, "%s\n", now ? now : "no system prompt; /system TEXT sets one, /system none takes it away");
        return;
    }
    if (now) json_array_remove(c->messages, 0);
    if (strcmp(text, "none") == 0) return;
    json_t *prompt = json_pack("{s:s, s:s}", "role", "system", "content", text);
    if (prompt == NULL || json_array_insert_new(c->messages, 0, prompt) != 0)
        fprintf(stderr, "the text is not valid UTF-8\n");
}

/* ---- /set ---- */

struct setting {
    const char *name;
    double low, high;
    size_t offset; /* in struct answer_settings */
    bool whole;    /* an int64_t; else a double */
};

static const struct setting settings[] = {
    {"temperature", 0, 2, offsetof(struct answer_settings, temperature), false},
    {"top_p", 0, 1, offsetof(struct answer_settings, top_p), false},
    {"seed", 0, 9e15, offsetof(struct answer_settings, seed), true},
    {"max_tokens", 1, 1 << 30, offsetof(struct answer_settings, tokens_max), true},
};

static double setting_get(const struct setting *s, const struct answer_settings *from) {
    const char *at = (const char *)from + s->offset;
    return s->whole ? (double)*(const int64_t *)(const void *)at : *(const double *)(const void *)at;
}

static void setting_put(const struct setting *s, struct answer_settings *to, double value) {
    char *at = (char *)to + s->offset;
    if (s->whole)
        *(int64_t *)(void *)at = (int64_t)value;
    else
        *(double *)(void *)at = value;
}

static void show_settings(const struct chat *c) {
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        double value = setting_get(&settings[i], &c->settings);
        if (value < 0)
            fprintf(stderr, "  %-12s auto\n", settings[i].name);
        else
            fprintf(stderr, "  %-12s %.16g\n", settings[i].name, value);
    }
}

static void do_set(struct chat *c, const char *words) {
    size_t len = strcspn(words, " "), i = 0;
    const char *text = words + len + strspn(words + len, " ");
    char *end = NULL;
    if (*words == '\0') {
        show_settings(c);
        return;
    }
    while (i < ARRAY_LEN(settings) && (strlen(settings[i].name) != len || strncmp(settings[i].name, words, len))) i++;
    if (i == ARRAY_LEN(settings)) {
        fprintf(stderr, "there is no setting \"%.*s\"; there are temperature, top_p, seed and max_tokens\n", (int)len,
                words);
        return;
    }
    const struct setting *s = &settings[i];
    bool automatic = strcmp(text, "auto") == 0;
    double value = automatic ? -1 : strtod(text, &end);
    bool number = automatic || (end != text && *end == '\0' && value >= s->low && value <= s->high);
    if (number && (!s->whole || automatic || value == (double)(int64_t)value))
        setting_put(s, &c->settings, value);
    else
        fprintf(stderr, "%s takes %s from %g to %.16g, or auto\n", s->name, s->whole ? "a whole number" : "a number",
                s->low, s->high);
}

/* ---- /save and /load ---- */

/* `name` with ~ as the shell reads it. False after telling why not. */
static bool file_path(const char *name, char out[CLI_PATH_BYTES]) {
    const char *home = getenv("HOME");
    bool at_home = name[0] == '~' && name[1] == '/' && home != NULL;
    int n = at_home ? snprintf(out, CLI_PATH_BYTES, "%s%s", home, name + 1) : snprintf(out, CLI_PATH_BYTES, "%s", name);
    if (*name != '\0' && n > 0 && n < CLI_PATH_BYTES) return true;
    fprintf(stderr, *name == '\0' ? "to or from which file?\n" : "the name of the file is too long\n");
    return false;
}

/* As the body of a request, so that other programs can go on with it. */
static void do_save(struct chat *c, const char *name) {
    char path[CLI_PATH_BYTES];
    struct error error;
    if (!file_path(*name == '\0' ? c->file : name, path)) return;
    if (access(path, F_OK) == 0 && strcmp(path, c->file) != 0) {
        fprintf(stderr, "%s is there already; save to another name\n", path);
        return;
    }
    json_t *body = json_pack("{s:s, s:O}", "model", c->model, "messages", c->messages);
    char *text = json_dumps(body, JSON_INDENT(1));
    json_decref(body);
    int code = text ? file_replace(path, text, strlen(text), &error) : error_set(&error, ERR_NOMEM, "out of memory");
    free(text);
    if (code != 0) {
        common_fail(&error);
        return;
    }
    snprintf(c->file, sizeof c->file, "%s", path);
    fprintf(stderr, "%zu messages saved to %s\n", json_array_size(c->messages), path);
}

static bool is_message(const json_t *message) {
    const char *role = json_string_value(json_object_get(message, "role"));
    bool known = role && (!strcmp(role, "system") || !strcmp(role, "user") || !strcmp(role, "assistant"));
    return known && json_is_string(json_object_get(message, "content"));
}

static bool are_messages(const json_t *messages) {
    size_t i;
    const json_t *message;
    json_array_foreach(messages, i, message) if (!is_message(message)) return false;
    return json_is_array(messages);
}

static void do_load(struct chat *c, const char *name) {
    char path[CLI_PATH_BYTES];
    json_error_t why;
    if (!file_path(name, path)) return;
    json_t *body = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    json_t *messages = json_object_get(body, "messages");
    const char *model = json_string_value(json_object_get(body, "model"));
    if (body == NULL) {
        fprintf(stderr, "%s cannot be read: %s\n", path, why.text);
    } else if (!are_messages(messages)) {
        fprintf(stderr, "%s holds no chat: \"messages\" must be texts of system, user and assistant\n", path);
    } else {
        json_decref(c->messages);
        c->messages = json_incref(messages);
        snprintf(c->file, sizeof c->file, "%s", path);
        fprintf(stderr, "%zu messages from %s\n", json_array_size(messages), path);
        if (model && strcmp(model, c->model) != 0) fprintf(stderr, "they were %s's; /model changes to it\n", model);
    }
    json_decref(body);
}

/* ---- /stats, /clear, /help, /exit ---- */

/* Tokens that a session with the model may have; 0: not known. */
static int64_t context_of(const struct chat *c) {
    struct error ignored;
    json_t *instances = NULL;
    const json_t *instance;
    int64_t context = 0;
    size_t i;
    if (client_get(c->client, "instances", &instances, &ignored) != 0) return 0;
    json_array_foreach(instances, i, instance) {
        const char *model = json_string_value(json_object_get(instance, "model"));
        if (model == NULL || strcasecmp(model, c->model) != 0) continue;
        context = json_integer_value(json_object_get(instance, "context"));
    }
    json_decref(instances);
    return context;
}

static void do_stats(struct chat *c, const char *words) {
    const struct answer *a = &c->last;
    int64_t context = context_of(c);
    fprintf(stderr, "%s, %zu messages", c->model, json_array_size(c->messages));
    if (c->answers == 0) {
        fprintf(stderr, ", no answer yet\n");
        return;
    }
    fprintf(stderr, ", %lld tokens", (long long)(a->prompt_tokens + a->tokens));
    if (context > 0) fprintf(stderr, " of %lld", (long long)context);
    fprintf(stderr, "\nlast answer: %lld tokens, the first after %.2f s", (long long)a->tokens, a->first_token_s);
    if (a->tokens_per_s > 0) fprintf(stderr, ", then %.1f tok/s", a->tokens_per_s);
    fprintf(stderr, "\nits prompt: %lld tokens, %lld of them known from before\n", (long long)a->prompt_tokens,
            (long long)a->cached_tokens);
    fprintf(stderr, "all answers: %lld, %lld tokens in %.1f s\n", (long long)c->answers, (long long)c->tokens,
            c->seconds);
}

static void do_clear(struct chat *c, const char *words) {
    json_t *system = system_prompt(c) ? json_incref(json_array_get(c->messages, 0)) : NULL;
    json_array_clear(c->messages);
    if (system) json_array_append_new(c->messages, system);
    c->file[0] = '\0';
    c->last = (struct answer){0};
    c->answers = c->tokens = 0;
    c->seconds = 0;
    fprintf(stderr, "a new chat%s\n", system ? " with the same system prompt" : "");
}

static void do_exit(struct chat *c, const char *words) { c->ended = true; }

static void do_help(struct chat *c, const char *words);

static const struct {
    const char *name, *words, *what;
    void (*run)(struct chat *c, const char *words);
} commands[] = {
    {"help", "", "this", do_help},
    {"model", "[NAME]", "go on with another model, or see which are here", do_model},
    {"system", "[TEXT|none]", "the system prompt", do_system},
    {"set", "[NAME VALUE|auto]", "temperature, top_p, seed, max_tokens", do_set},
    {"save", "[FILE]", "keep the chat, as a request of the OpenAI API", do_save},
    {"load", "FILE", "go on with a chat that was kept", do_load},
    {"stats", "", "how long, how fast", do_stats},
    {"clear", "", "begin a new chat", do_clear},
    {"exit", "", "leave; so does Ctrl-D", do_exit},
};

const char *const chat_commands[] = {"/help", "/model", "/system", "/set",  "/save",
                                     "/load", "/stats", "/clear",  "/exit", NULL};
_Static_assert(ARRAY_LEN(chat_commands) == ARRAY_LEN(commands) + 1, "the same names, with their slash");

static void do_help(struct chat *c, const char *words) {
    char call[64];
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        snprintf(call, sizeof call, "/%s %s", commands[i].name, commands[i].words);
        fprintf(stderr, "  %-23s %s\n", call, commands[i].what);
    }
    fprintf(stderr, "  %-23s %s\n", "\"\"\" ... \"\"\"", "a message of several lines; Alt-Enter starts one, too");
    fprintf(stderr, "  %-23s %s\n", "Ctrl-C", "stops the answer, or throws the line away");
    fprintf(stderr, "  %-23s %s\n", "Up, Down, Ctrl-R", "what was asked before; Tab completes commands");
}

static void run(struct chat *c, const char *name, size_t len, const char *words) {
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strlen(commands[i].name) == len && memcmp(commands[i].name, name, len) == 0) {
            commands[i].run(c, words);
            return;
        }
    fprintf(stderr, "there is no command /%.*s; /help lists them\n", (int)len, name);
}

bool chat_command(struct chat *c, const char *message) {
    const char *name = message + 1;
    size_t len = 0;
    if (*message != '/') return false;
    while (islower((unsigned char)name[len])) len++;
    if (len == 0 || (name[len] != '\0' && !isspace((unsigned char)name[len]))) return false; /* a path, a rate */
    const char *words = name + len;
    while (isspace((unsigned char)*words)) words++;
    size_t end = strlen(words);
    while (end > 0 && isspace((unsigned char)words[end - 1])) end--;
    char *trimmed = strndup(words, end);
    if (trimmed) run(c, name, len, trimmed);
    free(trimmed);
    return true;
}
