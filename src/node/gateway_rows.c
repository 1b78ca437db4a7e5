/* `caravan debug logits --cluster`: the logits of every position of a prompt.
 *
 * They come window by window, each from a job of its own that reuses what the one before has computed, so that neither
 * a link nor a mailbox holds more of them than a window. */
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "api/cluster/generate.h"
#include "node/gateway_private.h"

enum { WINDOW_BYTES = 16 << 20, ANSWER_BYTES_MAX = 1 << 30 };

static int read_tokens(struct gateway_job *j) {
    const json_t *tokens = json_object_get(j->api.body, "tokens"), *token;
    size_t i;
    bool good = json_array_size(tokens) > 0;
    json_array_foreach(tokens, i, token) {
        json_int_t id = json_is_integer(token) ? json_integer_value(token) : -1;
        good = good && id >= 0 && id < UINT32_MAX && token_list_add(&j->ids, (uint32_t)id) == 0;
    }
    return good ? 0 : body_wrong(&j->error, "tokens", "must be an array of token ids");
}

static int read_rows(struct gateway_job *j) {
    size_t len;
    const char *body = http_body(j->x, &len);
    int status = body_parse(&j->api, body, len, &j->error);
    if (status == 0) status = body_model(&j->api, &j->error);
    if (status == 0) status = read_tokens(j);
    j->rows = true;
    j->api.tokens_max = 0;
    return status;
}

static size_t row_bytes(const struct gateway_job *j) { return j->card->model.params.vocab * sizeof(float); }

static uint32_t window_rows(const struct gateway_job *j) {
    const json_t *chunk = json_object_get(j->api.body, "chunk");
    size_t rows = WINDOW_BYTES / row_bytes(j), wanted = (size_t)json_integer_value(chunk);
    if (wanted > 0 && wanted < rows) rows = wanted;
    return rows > 0 ? (uint32_t)rows : 1;
}

static void next_window(struct gateway_job *j) {
    uint32_t left = (uint32_t)j->ids.count - j->rows_end, window = window_rows(j);
    j->rows_begin = j->rows_end;
    j->rows_end += window < left ? window : left;
    gateway__submit(j);
}

static void fail_rows(struct gateway_job *j, const struct api_error *error) {
    struct text out = {0};
    cluster_write_error(error, &out);
    gateway__reply(j, error->status, "application/json", text_str(&out), out.len);
    text_deinit(&out);
}

static void start_rows(struct gateway_job *j) {
    if (j->ids.count <= ANSWER_BYTES_MAX / row_bytes(j)) {
        next_window(j);
        return;
    }
    body_wrong(&j->error, "tokens", "must be fewer: their logits are more than 1 GiB");
    fail_rows(j, &j->error);
}

static void deliver_next(struct letter *letter) {
    struct gateway_job *j = (struct gateway_job *)(void *)((char *)letter - offsetof(struct gateway_job, rows_next));
    j->working = false;
    if (j->gone)
        gateway__fail(j, &j->error);
    else
        next_window(j);
    gateway__drop_if_done(j);
}

/* A window ends in the middle of a step of the node: the next one begins after it. */
static void finish_rows(struct gateway_job *j) {
    if (j->content.len != j->rows_end * row_bytes(j)) {
        api_error_set(&j->error, 503, "server_error", "instance_failed", "", "logits were lost on the way");
        fail_rows(j, &j->error);
    } else if (j->rows_end == j->ids.count) {
        gateway__reply(j, 200, "application/octet-stream", j->content.data, j->content.len);
    } else {
        j->working = true;
        j->rows_next.deliver = deliver_next;
        mailbox_post(&j->daemon->mailbox, &j->rows_next);
    }
}

const struct gateway_dialect dialect_rows = {
    .read = read_rows, .start = start_rows, .finish = finish_rows, .fail = fail_rows};

void gateway_rows(struct daemon *d, const struct wire_job_rows *rows) {
    struct gateway_job *j = gateway__find(d, rows->job);
    if (j && j->leader) parts_row(j, rows);
    if (j == NULL || !j->rows) return;
    bool in_order = j->content.len == rows->position * row_bytes(j) + rows->offset;
    if (in_order && rows->len <= row_bytes(j)) text_add(&j->content, (const char *)rows->bytes, rows->len);
}

void gateway_logits(struct daemon *d, struct http_exchange *x) { gateway__start(d, x, &dialect_rows, NULL); }
