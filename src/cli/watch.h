/* The cluster as it is told in events: the newest of each kind, rates, and what has happened. One thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum { WATCH_LOG_MAX = 64, WATCH_LINE_BYTES = 160 };

struct watch_line {
    time_t at;
    bool bad;
    char text[WATCH_LINE_BYTES];
};

struct watch {
    json_t *nodes, *instances, *downloads, *activity; /* NULL: not told yet */
    double tokens_per_s;                              /* all models together, of the last second */
    uint64_t generated, generated_us;
    struct watch_line log[WATCH_LOG_MAX]; /* a ring: the newest is the one before `logged` */
    unsigned logged;
};

/* Take an event in, {"nodes": [...]} and so on, at a time of clock_us(). */
void watch_take(struct watch *w, const json_t *event, uint64_t now_us);
void watch_free(struct watch *w);

/* Of all objects: a text, "" when there is none; a number, 0 when it is not known. */
const char *watch_text(const json_t *object, const char *key);
double watch_number(const json_t *object, const char *key);
bool watch_is_up(const json_t *node);
/* The node of that id, and its name (or id). */
const json_t *watch_node(const struct watch *w, const char *id);
const char *watch_name(const json_t *node);
/* Of the node's processor, degrees Celsius; 0: its host does not tell. */
double watch_temperature(const struct watch *w, const char *id);
/* Requests that generate now: of the model, or of all (NULL). */
unsigned watch_running(const struct watch *w, const char *model);
