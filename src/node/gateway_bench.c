/* `caravan bench --cluster`: the same jobs as any client's, K at a time, R rounds, timed by the coordinator.
 *
 * The request's own job is the leader: it holds the exchange and is never submitted itself. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/gateway_private.h"
#include "node/views.h"
#include "os/clock.h"

enum { REPEAT_MAX = 100, REQUESTS_MAX = 64, OWN_TOKENS = 6 };

struct gateway_bench {
    struct letter next_round; /* a round ends in the middle of a step of the node: the next one begins after it */
    struct gateway_job *leader;
    uint32_t prompt, generate, repeat, requests;
    uint32_t round, pending;
    double prefill[REPEAT_MAX], decode[REPEAT_MAX]; /* tokens/s of each round */
    uint64_t slowest_prefill_us;
    uint32_t hop_us[REPEAT_MAX * REQUESTS_MAX], hop_us_p99;
    uint32_t hops;
    bool failed;
};

static void start_round(struct gateway_bench *b);

static uint32_t count_or(const json_t *body, const char *key, uint32_t otherwise, uint32_t max) {
    const json_t *value = json_object_get(body, key);
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : otherwise;
    return n < 1 ? 1 : n > max ? max : (uint32_t)n;
}

static int read_bench(struct gateway_job *j) {
    struct error error = {0};
    j->api.body = web_body(j->x, &error);
    j->api.model = json_string_value(json_object_get(j->api.body, "model"));
    if (j->api.model == NULL)
        return api_error_set(&j->error, 400, "invalid_request_error", NULL, "model", "'model' must be a string");
    struct gateway_bench *b = calloc(1, sizeof *b);
    assert(b != NULL);
    b->leader = j;
    b->prompt = count_or(j->api.body, "prompt", 64, 1 << 20);
    b->generate = count_or(j->api.body, "generate", 64, 1 << 20);
    b->repeat = count_or(j->api.body, "repeat", 3, REPEAT_MAX);
    b->requests = count_or(j->api.body, "requests", 1, REQUESTS_MAX);
    j->bench = b;
    j->rows = true; /* ids are given */
    for (uint32_t i = 0; i < b->prompt; i++) token_list_add(&j->ids, (uint32_t)(i * 7919ull % 251));
    j->api.tokens_max = b->generate;
    return 0;
}

struct gateway_job *gateway__leader(const struct gateway_job *j) {
    return j->leader ? j->leader : j->bench ? j->bench->leader : NULL;
}

static void release(struct gateway_bench *b) {
    b->leader->bench = NULL;
    free(b);
}

static int compare_double(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int compare_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static json_t *rates_json(double *rates, uint32_t count) {
    qsort(rates, count, sizeof *rates, compare_double);
    return json_pack("{s:f, s:f, s:f}", "median", rates[count / 2], "min", rates[0], "max", rates[count - 1]);
}

static json_t *hops_json(struct gateway_bench *b) {
    if (b->hops == 0) return json_null();
    qsort(b->hop_us, b->hops, sizeof *b->hop_us, compare_u32);
    return json_pack("{s:i, s:i}", "median", (int)b->hop_us[b->hops / 2], "p99", (int)b->hop_us_p99);
}

/* Of the last request that ended. */
static json_t *token_json(const struct wire_token_costs *t) {
    if (t->compute + t->serialise + t->others + t->wire == 0) return json_null();
    return json_pack("{s:i, s:i, s:i, s:i}", "compute", (int)t->compute, "serialise", (int)t->serialise, "others",
                     (int)t->others, "wire", (int)t->wire);
}

static json_t *find_stages(struct gateway_job *leader) {
    json_t *instances = view_instances(leader->daemon->node), *found = NULL, *item;
    char id[VIEW_ID_BYTES];
    size_t i;
    view_id(leader->target.instance, id);
    json_array_foreach(instances, i, item) if (strcmp(json_string_value(json_object_get(item, "id")), id) == 0) found =
        json_incref(json_object_get(item, "stages"));
    json_decref(instances);
    return found ? found : json_array();
}

static void reply_result(struct gateway_bench *b) {
    struct gateway_job *leader = b->leader;
    json_t *result = json_pack(
        "{s:s, s:i, s:I, s:{s:n}, s:n, s:o, s:o, s:n, s:n, s:o, s:o, s:o, s:o}", "isa",
        kern_isa_name(leader->daemon->isa), "threads", (int)leader->daemon->threads, "weights_bytes",
        (json_int_t)(model_layers_bytes(&leader->card->model, 0, leader->card->model.params.layers) +
                     model_ends_bytes(&leader->card->model)),
        "read_bandwidth", "median", "matmul_peak", "prefill_tokens_per_s", rates_json(b->prefill, b->round),
        "decode_tokens_per_s", rates_json(b->decode, b->round), "decode_bandwidth_fraction", "prefill_matmul_fraction",
        "hop_us", hops_json(b), "raw_hop_us",
        leader->end.raw_hop_us ? json_integer(leader->end.raw_hop_us) : json_null(), "token_us",
        token_json(&leader->end.token), "stages", find_stages(leader));
    web_reply(leader->x, 200, result);
    leader->x = NULL;
    release(b);
}

static void deliver_round(struct letter *letter) { start_round((struct gateway_bench *)letter); }

static void end_round(struct gateway_bench *b) {
    double prefill_s = (double)b->slowest_prefill_us / 1e6;
    b->prefill[b->round++] = prefill_s > 0 ? (double)b->prompt * b->requests / prefill_s : 0;
    if (b->round < b->repeat && !b->leader->gone)
        mailbox_post(&b->leader->daemon->mailbox, &b->next_round);
    else
        reply_result(b);
}

static void finish_one(struct gateway_job *j) {
    struct gateway_bench *b = j->bench;
    const struct wire_job_end *end = &j->end;
    if (end->decode_us > 0) b->decode[b->round] += (j->answer.completion_tokens - 1) / ((double)end->decode_us / 1e6);
    if (end->prefill_us > b->slowest_prefill_us) b->slowest_prefill_us = end->prefill_us;
    if (end->hop_us_median > 0) b->hop_us[b->hops++] = end->hop_us_median;
    if (end->hop_us_p99 > b->hop_us_p99) b->hop_us_p99 = end->hop_us_p99;
    b->leader->end.raw_hop_us = end->raw_hop_us;
    b->leader->end.token = end->token;
    j->bench = NULL;
    if (--b->pending == 0 && !b->failed)
        end_round(b);
    else if (b->pending == 0)
        release(b);
}

/* One failure ends it all; the others run out. */
static void fail_one(struct gateway_job *j, const struct api_error *error) {
    struct gateway_bench *b = j->bench;
    j->bench = NULL;
    if (b == NULL || j == b->leader) {
        dialect_rows.fail(j, error);
        if (b) release(b);
        return;
    }
    if (!b->failed) dialect_rows.fail(b->leader, error);
    b->failed = true;
    if (--b->pending == 0) release(b);
}

static const struct gateway_dialect dialect_one = {.finish = finish_one, .fail = fail_one};

static struct gateway_job *add_one(struct gateway_bench *b) {
    const struct gateway_job *leader = b->leader;
    struct gateway_job *j = gateway__add(leader->daemon, &dialect_one);
    j->bench = b;
    j->ignore_stops = true;
    j->target = leader->target;
    j->card = card_hold(leader->card);
    j->api.tokens_max = leader->api.tokens_max;
    j->api.top_p = j->api.repetition_penalty = 1;
    for (uint32_t i = 0; i < leader->ids.count; i++) token_list_add(&j->ids, leader->ids.ids[i]);
    return j;
}

/* Every job begins with tokens of its own, so that none rides on another's cache, of an earlier benchmark neither. */
static void begin_anew(struct token_list *ids) {
    static uint64_t drawn;
    uint64_t value = clock_us() + ++drawn;
    for (uint32_t i = 0; i < OWN_TOKENS && i < ids->count; i++, value /= 251) ids->ids[i] = (uint32_t)(value % 251);
}

static void start_round(struct gateway_bench *b) {
    struct gateway_job *jobs[REQUESTS_MAX];
    b->pending = b->requests;
    b->slowest_prefill_us = 0;
    for (uint32_t i = 0; i < b->requests; i++) {
        jobs[i] = add_one(b);
        begin_anew(&jobs[i]->ids);
    }
    for (uint32_t i = 0, count = b->requests; i < count; i++) gateway__submit(jobs[i]);
}

static void start_bench(struct gateway_job *leader) {
    leader->bench->next_round.deliver = deliver_round;
    start_round(leader->bench);
}

const struct gateway_dialect dialect_bench = {
    .read = read_bench, .start = start_bench, .finish = finish_one, .fail = fail_one};

void gateway_bench(struct daemon *d, struct http_exchange *x) { gateway__start(d, x, &dialect_bench, NULL); }
