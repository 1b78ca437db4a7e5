#include "cli/panes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/screen.h"

enum { WIDE = 100, RING_ROWS_MIN = 7, NUMBER_BYTES = 32, LABEL_CELLS = 20, NAME_CELLS = 14 };

struct area {
    int row, column, rows, columns;
};

/* ---- numbers ---- */

static const char *scaled(double value, double base, const char *unit, char out[NUMBER_BYTES]) {
    static const char *const prefixes[] = {"", "K", "M", "G", "T", "P"};
    int i = 0;
    for (; value >= base && i < 5; i++) value /= base;
    snprintf(out, NUMBER_BYTES, value < 10 && i > 0 ? "%.1f %s%s" : "%.0f %s%s", value, prefixes[i], unit);
    return out;
}

static const char *bytes_text(double bytes, char out[NUMBER_BYTES]) { return scaled(bytes, 1024, "B", out); }

/* A multiply-add is two operations. */
static const char *compute_text(double rate, char out[NUMBER_BYTES]) { return scaled(2 * rate, 1000, "OPS", out); }

static double sum_up(const struct watch *w, const char *key) {
    double sum = 0;
    size_t i;
    const json_t *node;
    json_array_foreach(w->nodes, i, node) if (watch_is_up(node)) sum += watch_number(node, key);
    return sum;
}

static unsigned count_up(const struct watch *w) {
    unsigned count = 0;
    size_t i;
    const json_t *node;
    json_array_foreach(w->nodes, i, node) count += watch_is_up(node);
    return count;
}

/* ---- who holds what ---- */

static bool is_member(const json_t *stage, const char *id) {
    size_t i;
    const json_t *member;
    json_array_foreach(json_object_get(stage, "members"), i, member) {
        if (strcmp(watch_text(member, "node"), id) == 0) return true;
    }
    return false;
}

/* "0-9" of the instance, or "". */
static void held_text(const json_t *instance, const char *id, char out[NUMBER_BYTES]) {
    size_t i;
    const json_t *stage;
    out[0] = '\0';
    json_array_foreach(json_object_get(instance, "stages"), i, stage) {
        const json_t *layers = json_object_get(stage, "layers");
        int first = (int)json_integer_value(json_array_get(layers, 0));
        int last = (int)json_integer_value(json_array_get(layers, 1)) - 1;
        if (!is_member(stage, id)) continue;
        if (first == last)
            snprintf(out, NUMBER_BYTES, "%d", first);
        else
            snprintf(out, NUMBER_BYTES, "%d-%d", first, last);
    }
}

/* The model that is shown: one that works, else the first. */
static const json_t *shown_instance(const struct watch *w) {
    size_t i;
    const json_t *instance;
    json_array_foreach(w->instances, i, instance) {
        if (watch_running(w, watch_text(instance, "model")) > 0) return instance;
    }
    return json_array_get(w->instances, 0);
}

/* Nodes in the order of the ring: by stages, then the others. Returns how many. */
static int ring_order(const struct watch *w, const json_t *instance, const json_t **out, int max) {
    int count = 0;
    size_t i, k;
    const json_t *stage, *member, *node;
    json_array_foreach(json_object_get(instance, "stages"), i, stage) {
        json_array_foreach(json_object_get(stage, "members"), k, member) {
            node = watch_node(w, watch_text(member, "node"));
            if (node && count < max) out[count++] = node;
        }
    }
    int members = count;
    json_array_foreach(w->nodes, i, node) {
        bool there = false;
        for (int m = 0; m < members; m++) there = there || out[m] == node;
        if (!there && count < max) out[count++] = node;
    }
    return count;
}

/* ---- the ring ---- */

static const double turn = 6.283185307179586;
static const double middle_of_ring = -100; /* an angle that is none: where one machine alone stands */

static void place(const struct area *a, double angle, int *row, int *column) {
    double rx = a->columns / 2.0 - LABEL_CELLS / 2.0 - 1, ry = a->rows / 2.0 - 1.2;
    if (angle == middle_of_ring) rx = ry = 0;
    *column = a->column + (int)lround(a->columns / 2.0 + rx * cos(angle));
    *row = a->row + (int)lround((a->rows - 1) / 2.0 - 0.4 + ry * sin(angle));
}

/* Dots as far from each other as a row is high, which is two columns. */
static void draw_circle(const struct area *a) {
    enum { STEPS = 1440 };
    int row, column, last_row = -1, last_column = -1;
    screen_ink(SCREEN_SOFT, false, false);
    for (int i = 0; i < STEPS; i++) {
        place(a, turn * i / STEPS, &row, &column);
        if (hypot(row - last_row, (column - last_column) / 2.0) < 1) continue;
        screen_mark(row, column, MARK_DOT);
        last_row = row;
        last_column = column;
    }
}

static void draw_token(const struct area *a, unsigned beat) {
    enum { BEATS = 24 };
    int row, column;
    place(a, turn * (beat % BEATS) / BEATS - turn / 4, &row, &column);
    screen_ink(SCREEN_ACCENT, true, false);
    screen_mark(row, column, MARK_TOKEN);
}

static void draw_node(const struct area *a, const json_t *node, const json_t *instance, double angle) {
    char held[NUMBER_BYTES], text[96];
    int row, column;
    bool up = watch_is_up(node);
    place(a, angle, &row, &column);
    held_text(instance, watch_text(node, "id"), held);
    snprintf(text, sizeof text, "%.*s%s", LABEL_CELLS - 3, watch_name(node),
             up                                               ? ""
             : strcmp(watch_text(node, "state"), "lost") == 0 ? " lost"
                                                              : " out");
    screen_ink(up ? SCREEN_ACCENT : SCREEN_BAD, true, false);
    screen_mark(row, column, up ? MARK_NODE : MARK_GONE);
    int half = (int)strlen(text) / 2, below = row + 1 < a->row + a->rows ? row + 1 : row - 1;
    screen_ink(up ? SCREEN_PLAIN : SCREEN_BAD, up, false);
    int filled = screen_put(below, column - half > a->column ? column - half : a->column, LABEL_CELLS, text);
    if (held[0] == '\0') return;
    screen_ink(SCREEN_SOFT, false, false);
    screen_printf(below, (column - half > a->column ? column - half : a->column) + filled, 10, " %s", held);
}

static double bandwidth_link(const json_t *from, const char *to, const char *key) {
    size_t i;
    const json_t *link;
    json_array_foreach(json_object_get(from, "links"), i, link) {
        if (strcmp(watch_text(link, "to"), to) == 0) return watch_number(link, key);
    }
    return 0;
}

/* Round trip and bandwidth beside the way from one node to the next. */
static void draw_link(const struct area *a, const json_t *from, const json_t *to, double angle) {
    char text[96], speed[NUMBER_BYTES];
    int row, column;
    double rtt = bandwidth_link(from, watch_text(to, "id"), "rtt_us");
    double bandwidth = bandwidth_link(from, watch_text(to, "id"), "bandwidth");
    if (rtt == 0) return;
    int n =
        rtt < 1000 ? snprintf(text, sizeof text, "%.0f us", rtt) : snprintf(text, sizeof text, "%.1f ms", rtt / 1000);
    if (bandwidth > 0) snprintf(text + n, sizeof text - (size_t)n, " %s/s", scaled(bandwidth, 1000, "B", speed));
    place(a, angle, &row, &column);
    int left = column - (int)strlen(text) / 2;
    screen_ink(SCREEN_SKY, false, false);
    screen_put(row, left > a->column ? left : a->column, 18, text);
}

static void draw_middle(const struct area *a, const struct watch *w, const json_t *instance, int nodes) {
    char text[64];
    int row = a->row + a->rows / 2 - (nodes == 1 ? 3 : 1), middle = a->column + a->columns / 2;
    const char *model = instance ? watch_text(instance, "model") : "no model is loaded";
    screen_ink(SCREEN_SOFT, false, false);
    screen_put(row, middle - (int)strlen(model) / 2, a->columns / 2, model);
    if (instance == NULL) return;
    if (watch_running(w, watch_text(instance, "model")) > 0)
        snprintf(text, sizeof text, "%.0f tok/s", w->tokens_per_s);
    else
        snprintf(text, sizeof text, "%s", watch_text(instance, "state"));
    screen_ink(SCREEN_ACCENT, true, false);
    screen_put(row + 1, middle - (int)strlen(text) / 2, a->columns / 2, text);
}

static void draw_ring(const struct area *a, const struct panes *p, const struct watch *w) {
    enum { NODES_MAX = 16 };
    const json_t *order[NODES_MAX], *instance = shown_instance(w);
    int count = ring_order(w, instance, order, NODES_MAX);
    if (count > 1) draw_circle(a);
    for (int i = 0; i < count && count > 1 && count <= 6 && a->rows >= 9; i++)
        draw_link(a, order[i], order[(i + 1) % count], turn * (i + 0.5) / count - turn / 4);
    if (count > 1 && p->beat > 0 && watch_running(w, NULL) > 0) draw_token(a, p->beat);
    draw_middle(a, w, instance, count);
    for (int i = 0; i < count; i++)
        draw_node(a, order[i], instance, count == 1 ? middle_of_ring : turn * i / count - turn / 4);
}

/* ---- lists ---- */

static void draw_title(int row, const struct area *a, const char *title) {
    screen_ink(SCREEN_SOFT, false, false);
    for (int i = 0; i < a->columns; i++) screen_mark(row, a->column + i, MARK_RULE);
    screen_ink(SCREEN_PLAIN, true, false);
    screen_printf(row, a->column + 1, a->columns - 2, " %s ", title);
}

/* From a small board to a hall of accelerators, in int8 operations per second, by powers of ten. */
static void draw_strength(int row, const struct area *a, const struct watch *w) {
    static const char poor[] = "GPU poor ", rich[] = " GPU rich  ";
    char text[NUMBER_BYTES];
    double rate = sum_up(w, "matmul_rate"), part = rate > 0 ? (log10(2 * rate) - 10) / 7 : 0;
    int cells = a->columns - (int)sizeof poor - (int)sizeof rich - 12;
    if (cells < 5) return;
    screen_ink(SCREEN_PLAIN, false, false);
    screen_put(row, a->column + 1, 10, poor);
    screen_ink(SCREEN_ACCENT, false, false);
    screen_bar(row, a->column + (int)sizeof poor, cells, part < 0 ? 0 : part > 1 ? 1 : part);
    screen_ink(SCREEN_PLAIN, false, false);
    screen_printf(row, a->column + (int)sizeof poor + cells, 24, "%s%s", rich,
                  rate > 0 ? compute_text(rate, text) : "measuring");
}

/* A column of a table that stands there whole or not at all, like those behind it; returns where the next one begins.
 */
static int put_column(int row, int at, int end, int cells, const char *text) {
    if (at + cells > end) return end;
    screen_put(row, at, cells, text);
    return at + cells + 2;
}

static void draw_machine(int row, const struct area *a, const struct watch *w, const json_t *node) {
    char free_text[NUMBER_BYTES], total_text[NUMBER_BYTES], number[NUMBER_BYTES], text[96];
    double total = watch_number(node, "memory_total"), free_bytes = watch_number(node, "memory_free");
    double rate = watch_number(node, "matmul_rate"), celsius = watch_temperature(w, watch_text(node, "id"));
    int at = a->column + 1, end = a->column + a->columns;
    screen_ink(watch_is_up(node) ? SCREEN_PLAIN : SCREEN_BAD, json_is_true(json_object_get(node, "self")), false);
    screen_put(row, at, NAME_CELLS, watch_name(node));
    at += NAME_CELLS + 1;
    if (!watch_is_up(node)) {
        screen_printf(row, at, end - at, "%s: %s", watch_text(node, "state"), watch_text(node, "reason"));
        return;
    }
    screen_ink(SCREEN_ACCENT, false, false);
    screen_bar(row, at, 8, total > 0 ? 1 - free_bytes / total : 0);
    screen_ink(SCREEN_PLAIN, false, false);
    snprintf(text, sizeof text, "%s of %s free", bytes_text(free_bytes, free_text), bytes_text(total, total_text));
    at = put_column(row, at + 9, end, 22, text);
    at = put_column(row, at, end, 9, rate > 0 ? compute_text(rate, number) : "measuring");
    screen_ink(SCREEN_SOFT, false, false);
    held_text(shown_instance(w), watch_text(node, "id"), number);
    snprintf(text, sizeof text, strchr(number, '-') ? "layers %s" : "layer %s", number);
    at = put_column(row, at, end, 13, number[0] ? text : "");
    snprintf(text, sizeof text, "%.0f C", celsius);
    at = put_column(row, at, end, 5, celsius > 0 ? text : "");
    snprintf(text, sizeof text, "%s/s", scaled(watch_number(node, "read_bandwidth"), 1000, "B", number));
    at = put_column(row, at, end, 9, rate > 0 ? text : "");
    snprintf(text, sizeof text, "%.0f x %s", watch_number(node, "threads"), watch_text(node, "isa"));
    put_column(row, at, end, 13, text);
}

static void draw_model(int row, const struct area *a, const struct watch *w, const json_t *instance) {
    char text[96];
    const char *model = watch_text(instance, "model"), *state = watch_text(instance, "state");
    double total = watch_number(instance, "bytes_total"), done = watch_number(instance, "bytes_done");
    size_t stages = json_array_size(json_object_get(instance, "stages"));
    unsigned running = watch_running(w, model);
    int at = a->column + 1, end = a->column + a->columns;
    screen_ink(SCREEN_PLAIN, true, false);
    at += screen_printf(row, at, end - at, "%s  ", model);
    screen_ink(strcmp(state, "ready") == 0    ? SCREEN_GOOD
               : strcmp(state, "failed") == 0 ? SCREEN_BAD
                                              : SCREEN_ACCENT,
               false, false);
    if (strcmp(state, "loading") == 0 && total > 0)
        at += screen_printf(row, at, end - at, "loading %.0f %%  ", 100 * done / total);
    else
        at += screen_printf(row, at, end - at, "%s  ", state);
    screen_ink(SCREEN_SOFT, false, false);
    snprintf(text, sizeof text, "%u running, %.0f tok/s", running, w->tokens_per_s);
    if (running > 0) at = put_column(row, at, end, (int)strlen(text), text);
    snprintf(text, sizeof text, "%zu stage%s", stages, stages == 1 ? "" : "s");
    at = put_column(row, at, end, (int)strlen(text), text);
    snprintf(text, sizeof text, "%.0f tokens of context", watch_number(instance, "context"));
    put_column(row, at, end, (int)strlen(text), text);
}

static void draw_download(int row, const struct area *a, const json_t *item) {
    char done[NUMBER_BYTES], all[NUMBER_BYTES], rate[NUMBER_BYTES];
    double total = watch_number(item, "bytes_total"), part = total > 0 ? watch_number(item, "bytes_done") / total : 0;
    int at = a->column + 1, end = a->column + a->columns;
    screen_ink(SCREEN_PLAIN, false, false);
    at += screen_printf(row, at, 24, "%s ", watch_text(item, "model"));
    screen_ink(SCREEN_SKY, false, false);
    screen_bar(row, at, 12, part);
    at += 13;
    screen_ink(SCREEN_SOFT, false, false);
    screen_printf(row, at, end - at, "%s of %s  %s/s  %s", bytes_text(watch_number(item, "bytes_done"), done),
                  bytes_text(total, all), scaled(watch_number(item, "bytes_per_s"), 1000, "B", rate),
                  watch_text(item, "state"));
}

/* A title and as many rows as there are and fit; returns the next row. */
static int draw_machines(int row, int end, const struct area *a, const struct watch *w) {
    size_t i;
    const json_t *node;
    if (row + 1 >= end) return row;
    draw_title(row++, a, "machines");
    json_array_foreach(w->nodes, i, node) if (row < end) draw_machine(row++, a, w, node);
    return row;
}

static int draw_models(int row, int end, const struct area *a, const struct watch *w) {
    size_t i;
    const json_t *item;
    if (row + 1 >= end) return row;
    draw_title(row++, a, "models");
    if (json_array_size(w->instances) == 0) {
        screen_ink(SCREEN_SOFT, false, false);
        screen_put(row++, a->column + 1, a->columns - 1, "none is loaded: caravan run MODEL, or the page");
    }
    json_array_foreach(w->instances, i, item) if (row < end) draw_model(row++, a, w, item);
    return row;
}

static int draw_downloads(int row, int end, const struct area *a, const struct watch *w) {
    size_t i, under = 0;
    const json_t *item;
    json_array_foreach(w->downloads, i, item) under += strcmp(watch_text(item, "state"), "done") != 0;
    if (under == 0 || row + 1 >= end) return row;
    draw_title(row++, a, "on the way here");
    json_array_foreach(w->downloads, i, item) {
        if (row < end && strcmp(watch_text(item, "state"), "done") != 0) draw_download(row++, a, item);
    }
    return row;
}

static int draw_hints(int row, int end, const struct area *a, const struct top_hints *hints) {
    for (int i = 0; hints && i < 3 && row < end - 2; i++) {
        screen_ink(SCREEN_SKY, false, false);
        if (hints->lines[i][0]) screen_put(row++, a->column + 1, a->columns - 1, hints->lines[i]);
    }
    return row;
}

static void draw_log(int row, int end, const struct area *a, const struct watch *w) {
    if (row + 1 >= end) return;
    draw_title(row++, a, "what happened");
    unsigned known = w->logged < WATCH_LOG_MAX ? w->logged : WATCH_LOG_MAX;
    for (unsigned i = 1; i <= known && row < end; i++, row++) {
        const struct watch_line *line = &w->log[(w->logged - i) % WATCH_LOG_MAX];
        struct tm local;
        char at[16] = "";
        if (localtime_r(&line->at, &local)) strftime(at, sizeof at, "%H:%M:%S", &local);
        screen_ink(line->bad ? SCREEN_BAD : SCREEN_PLAIN, false, false);
        screen_printf(row, a->column + 1, a->columns - 1, "%s  %s", at, line->text);
    }
}

/* ---- all of it ---- */

static void draw_line(int row, int columns, const char *left, const char *right) {
    screen_ink(SCREEN_PLAIN, false, true);
    for (int i = 0; i < columns; i++) screen_put(row, i, 1, " ");
    screen_put(row, 1, columns - 1, left);
    int width = (int)strlen(right);
    if (width + (int)strlen(left) + 3 < columns) screen_put(row, columns - width - 1, width, right);
}

static void draw_head(const struct panes *p, const struct watch *w, int columns) {
    char text[128], free_text[NUMBER_BYTES], total_text[NUMBER_BYTES];
    unsigned up = count_up(w);
    snprintf(text, sizeof text, "%u machine%s  %s of %s free", up, up == 1 ? "" : "s",
             bytes_text(sum_up(w, "memory_free"), free_text), bytes_text(sum_up(w, "memory_total"), total_text));
    draw_line(0, columns, p->title, text);
}

void panes_draw(const struct panes *p, const struct watch *w) {
    int rows = screen_rows(), columns = screen_columns(), end = rows - 1, row;
    bool wide = columns >= WIDE;
    screen_clear();
    draw_head(p, w, columns);
    int ring_rows = wide ? rows * 3 / 5 : rows * 2 / 5, ring_columns = wide ? columns * 2 / 5 : columns;
    int round_rows = (ring_columns - LABEL_CELLS) / 2; /* as high as it is wide */
    if (ring_rows > round_rows) ring_rows = round_rows;
    if (ring_rows < RING_ROWS_MIN) ring_rows = RING_ROWS_MIN;
    struct area ring = {1, 0, ring_rows, ring_columns}, all = {1, 0, end - 1, columns};
    struct area lists = wide ? (struct area){1, ring.columns, ring_rows, columns - ring.columns} : all;
    draw_ring(&ring, p, w);
    row = wide ? 1 : 1 + ring_rows;
    draw_strength(row, &lists, w);
    row = draw_machines(row + 1, wide ? 1 + ring_rows : end, &lists, w);
    row = draw_models(row, wide ? 1 + ring_rows : end, &lists, w);
    if (wide) row = 1 + ring_rows;
    row = draw_hints(row, end, &all, p->hints);
    row = draw_downloads(row, end, &all, w);
    draw_log(row, end, &all, w);
    draw_line(end, columns, p->keys, "");
    screen_show();
}
