#include "cli/watch.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

const char *watch_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

double watch_number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

bool watch_is_up(const json_t *node) { return strcmp(watch_text(node, "state"), "up") == 0; }

static const json_t *find(const json_t *list, const char *key, const char *value) {
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item) if (strcmp(watch_text(item, key), value) == 0) return item;
    return NULL;
}

const json_t *watch_node(const struct watch *w, const char *id) { return find(w->nodes, "id", id); }

const char *watch_name(const json_t *node) {
    const char *name = watch_text(node, "name");
    return name[0] ? name : watch_text(node, "id");
}

unsigned watch_running(const struct watch *w, const char *model) {
    unsigned running = 0;
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(w->activity, "models"), i, item) {
        if (model == NULL || strcmp(watch_text(item, "model"), model) == 0)
            running += (unsigned)watch_number(item, "running");
    }
    return running;
}

/* ---- what happens ---- */

static void note(struct watch *w, bool bad, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void note(struct watch *w, bool bad, const char *format, ...) {
    struct watch_line *line = &w->log[w->logged++ % WATCH_LOG_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line->text, sizeof line->text, format, arguments);
    va_end(arguments);
    line->bad = bad;
    line->at = time(NULL);
}

static void compare_nodes(struct watch *w, const json_t *now) {
    size_t i;
    const json_t *node;
    json_array_foreach(now, i, node) {
        const json_t *before = find(w->nodes, "id", watch_text(node, "id"));
        const char *name = watch_name(node), *reason = watch_text(node, "reason");
        bool up = watch_is_up(node), was_up = before && watch_is_up(before);
        if (up && !was_up && !json_is_true(json_object_get(node, "self")))
            note(w, false, "%s %s", name, before ? "is back" : "is here");
        if (!up && was_up) note(w, true, "%s is lost%s%s", name, reason[0] ? ": " : "", reason);
        if (!up && !before) note(w, true, "%s cannot join: %s", name, reason);
    }
}

static void compare_instances(struct watch *w, const json_t *now) {
    size_t i;
    const json_t *instance;
    json_array_foreach(now, i, instance) {
        const json_t *before = find(w->instances, "id", watch_text(instance, "id"));
        const char *state = watch_text(instance, "state"), *reason = watch_text(instance, "reason");
        if (before && strcmp(watch_text(before, "state"), state) == 0) continue;
        bool bad = strcmp(state, "failed") == 0 || strcmp(state, "recovering") == 0;
        note(w, bad, "%s is %s%s%s", watch_text(instance, "model"), state, reason[0] ? ": " : "", reason);
    }
    json_array_foreach(w->instances, i, instance) if (!find(now, "id", watch_text(instance, "id")))
        note(w, false, "%s was unloaded", watch_text(instance, "model"));
}

static void compare_downloads(struct watch *w, const json_t *now) {
    size_t i;
    const json_t *item;
    json_array_foreach(now, i, item) {
        const json_t *before = find(w->downloads, "model", watch_text(item, "model"));
        const char *state = watch_text(item, "state");
        if (before == NULL || strcmp(watch_text(before, "state"), state) == 0) continue;
        if (strcmp(state, "done") == 0) note(w, false, "%s was pulled", watch_text(item, "model"));
        if (strcmp(state, "failed") == 0)
            note(w, true, "%s was not pulled: %s", watch_text(item, "model"), watch_text(item, "error"));
    }
}

double watch_temperature(const struct watch *w, const char *id) {
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(w->activity, "instruments"), i, item) {
        if (strcmp(watch_text(item, "node"), id) == 0) return watch_number(item, "temperature_c");
    }
    return 0;
}

static void count_tokens(struct watch *w, const json_t *activity, uint64_t now_us) {
    uint64_t generated = 0;
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(activity, "models"), i, item) generated +=
        (uint64_t)watch_number(item, "generated_tokens");
    uint64_t spent_us = now_us - w->generated_us;
    w->tokens_per_s = 0;
    if (w->activity && generated > w->generated && spent_us > 0)
        w->tokens_per_s = (double)(generated - w->generated) * 1e6 / (double)spent_us;
    w->generated = generated;
    w->generated_us = now_us;
}

static void replace(json_t **kept, json_t *now) {
    json_decref(*kept);
    *kept = json_incref(now);
}

void watch_take(struct watch *w, const json_t *event, uint64_t now_us) {
    json_t *nodes = json_object_get(event, "nodes"), *instances = json_object_get(event, "instances");
    json_t *downloads = json_object_get(event, "downloads"), *activity = json_object_get(event, "activity");
    if (nodes) {
        compare_nodes(w, nodes);
        replace(&w->nodes, nodes);
    } else if (instances) {
        compare_instances(w, instances);
        replace(&w->instances, instances);
    } else if (downloads) {
        compare_downloads(w, downloads);
        replace(&w->downloads, downloads);
    } else if (activity) {
        count_tokens(w, activity, now_us);
        replace(&w->activity, activity);
    }
}

void watch_free(struct watch *w) {
    json_decref(w->nodes);
    json_decref(w->instances);
    json_decref(w->downloads);
    json_decref(w->activity);
    *w = (struct watch){0};
}
