#include "node/events.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/daemon_private.h"
#include "node/downloads.h"
#include "node/views.h"

enum { SETTLE_MS = 100, ACTIVITY_MS = 1000 };

struct watcher {
    struct watcher *next;
    struct daemon *daemon;
    struct http_exchange *x;
    uint64_t number;
};

/* ---- one watcher ---- */

static void drop(struct daemon *d, uint64_t number) {
    for (struct watcher **at = &d->watchers; *at; at = &(*at)->next) {
        struct watcher *w = *at;
        if (w->number != number) continue;
        *at = w->next;
        http_stream_end(w->x);
        free(w);
        return;
    }
}

struct departure {
    struct letter letter;
    struct daemon *daemon;
    uint64_t number;
};

static void deliver_departure(struct letter *letter) {
    struct departure *gone = (struct departure *)letter;
    drop(gone->daemon, gone->number);
    free(gone);
}

/* Server thread. The watcher may be gone when the letter arrives, so it is named by number. */
static void on_left(void *context) {
    const struct watcher *w = context;
    struct departure *gone = calloc(1, sizeof *gone);
    if (gone == NULL) return;
    *gone = (struct departure){.letter.deliver = deliver_departure, .daemon = w->daemon, .number = w->number};
    mailbox_post(&w->daemon->mailbox, &gone->letter);
}

/* To all; who does not read is dropped. */
static void tell_all(struct daemon *d, const char *event, size_t len) {
    for (struct watcher *w = d->watchers, *next; w; w = next) {
        next = w->next;
        if (http_stream_write(w->x, event, len) != 0) drop(d, w->number);
    }
}

/* ---- what there is to see ---- */

static void write_event(struct text *out, const char *name, const char *json) {
    text_printf(out, "event: %s\ndata: ", name);
    text_add_str(out, json);
    text_add_str(out, "\n\n");
}

/* Replace *seen by the value (taken) and append an event, if it is news. */
static void note(char **seen, const char *name, json_t *value, struct text *news) {
    json_t *data = json_pack("{s:o}", name, value);
    char *now = json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(data);
    if (now == NULL || (*seen && strcmp(*seen, now) == 0)) {
        free(now);
        return;
    }
    free(*seen);
    *seen = now;
    write_event(news, name, now);
}

static void look(struct daemon *d) {
    struct text news = {0};
    note(&d->seen_nodes, "nodes", web_nodes(d), &news);
    note(&d->seen_instances, "instances", view_instances(d->node), &news);
    note(&d->seen_downloads, "downloads", downloads_list(d), &news);
    if (news.len > 0) tell_all(d, text_str(&news), news.len);
    text_deinit(&news);
}

static void on_settled(uv_timer_t *timer) {
    struct daemon *d = timer->data;
    d->events_due = false;
    if (d->watchers && !d->stopping) look(d);
}

/* Each second, which also shows a watcher that the stream is alive. */
static void on_second(uv_timer_t *timer) {
    struct daemon *d = timer->data;
    struct text news = {0};
    char *none = NULL;
    if (d->watchers == NULL || d->stopping) return;
    note(&none, "activity", view_activity(d->node, &d->metrics, d->beacon_us), &news);
    tell_all(d, text_str(&news), news.len);
    text_deinit(&news);
    free(none);
}

/* ---- */

void events_open(struct daemon *d, struct http_exchange *x) {
    struct watcher *w = calloc(1, sizeof *w);
    struct text first = {0};
    assert(w != NULL);
    if (d->watchers == NULL) uv_timer_start(&d->activity_timer, on_second, 0, ACTIVITY_MS);
    look(d);
    *w = (struct watcher){.next = d->watchers, .daemon = d, .x = x, .number = ++d->next_watcher};
    d->watchers = w;
    write_event(&first, "nodes", d->seen_nodes);
    write_event(&first, "instances", d->seen_instances);
    write_event(&first, "downloads", d->seen_downloads);
    http_stream_begin(x, "text/event-stream");
    http_stream_write(x, text_str(&first), first.len);
    text_deinit(&first);
    http_on_close(x, on_left, w);
}

void events_changed(struct daemon *d) {
    if (d->watchers == NULL || d->events_due) return;
    d->events_due = true;
    uv_timer_start(&d->events_timer, on_settled, SETTLE_MS, 0);
}

void events_shut(struct daemon *d) {
    while (d->watchers) drop(d, d->watchers->number);
    uv_timer_stop(&d->activity_timer);
    free(d->seen_nodes);
    free(d->seen_instances);
    free(d->seen_downloads);
    d->seen_nodes = d->seen_instances = d->seen_downloads = NULL;
}
