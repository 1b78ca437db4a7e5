#include "node/metrics.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"

static const double bounds_s[METRICS_BUCKETS] = {0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
                                                 0.5,   0.75,   1,     2.5,    5,    10,    30,   60,    300, 600};
static const double bounds_tokens[METRICS_BUCKETS] = {1,   2,   5,   10,  20,  50,  100, 200, 500, 1e3,
                                                      2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6};

static void observe(struct metrics_histogram *h, const double *bounds, double value) {
    size_t i = 0;
    while (i < METRICS_BUCKETS && value > bounds[i]) i++;
    h->counts[i]++;
    h->sum += value;
}

static void observe_us(struct metrics_histogram *h, uint64_t us) { observe(h, bounds_s, (double)us / 1e6); }

struct metrics_model *metrics_of(struct metrics *m, const char *model) {
    for (uint32_t i = 0; i < m->count; i++)
        if (strncmp(m->models[i].name, model, METRICS_NAME_BYTES - 1) == 0) return &m->models[i];
    if (m->count == METRICS_MODELS_MAX) return &m->models[METRICS_MODELS_MAX - 1];
    struct metrics_model *added = &m->models[m->count++];
    snprintf(added->name, sizeof added->name, "%s", model);
    return added;
}

void metrics_end(struct metrics_model *m, const struct api_answer *a, uint64_t whole_us, bool begun) {
    if (begun)
        m->running--;
    else
        m->waiting--;
    m->ended[a->finish]++;
    m->prompt_tokens += a->prompt_tokens;
    m->cached_tokens += a->cached_tokens;
    observe_us(&m->whole, whole_us);
    observe(&m->prompt_sizes, bounds_tokens, a->prompt_tokens);
    observe(&m->answer_sizes, bounds_tokens, a->completion_tokens);
    if (!begun) return;
    observe_us(&m->first_token, a->first_token_us);
    observe_us(&m->decode, a->decode_us);
    if (a->completion_tokens > 1) observe_us(&m->mean_between, a->decode_us / (a->completion_tokens - 1));
}

void metrics_token(struct metrics_model *m, uint64_t gap_us) { observe_us(&m->between_tokens, gap_us); }

static uint64_t count_of(const struct metrics_histogram *h) {
    uint64_t count = 0;
    for (size_t i = 0; i <= METRICS_BUCKETS; i++) count += h->counts[i];
    return count;
}

double metrics_mean_s(const struct metrics *m) {
    double sum = 0;
    uint64_t count = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        sum += m->models[i].whole.sum;
        count += count_of(&m->models[i].whole);
    }
    return count > 0 ? sum / (double)count : 0;
}

/* ---- writing ---- */

static void add_head(struct text *out, const char *name, const char *type, const char *help) {
    text_printf(out, "# HELP caravan:%s %s\n# TYPE caravan:%s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline are escaped. */
static void add_model(struct text *out, const char *name) {
    text_add_str(out, "model_name=\"");
    for (; *name; name++) {
        if (*name == '\\' || *name == '"') text_add_char(out, '\\');
        text_add_str(out, *name == '\n' ? "\\n" : (char[]){*name, '\0'});
    }
    text_add_char(out, '"');
}

static void add_sample(struct text *out, const char *name, const char *model, double value) {
    text_printf(out, "caravan:%s{", name);
    add_model(out, model);
    text_printf(out, "} %.17g\n", value);
}

static double waiting(const struct metrics_model *m) { return m->waiting; }
static double running(const struct metrics_model *m) { return m->running; }
static double prompt_tokens(const struct metrics_model *m) { return (double)m->prompt_tokens; }
static double cached_tokens(const struct metrics_model *m) { return (double)m->cached_tokens; }
static double generated_tokens(const struct metrics_model *m) { return (double)m->generated_tokens; }

static const struct {
    const char *name, *type, *help;
    double (*value)(const struct metrics_model *m);
} scalars[] = {
    {"num_requests_waiting", "gauge", "Requests whose first token is not there yet.", waiting},
    {"num_requests_running", "gauge", "Requests that generate.", running},
    {"prompt_tokens_total", "counter", "Tokens of prompts.", prompt_tokens},
    {"generation_tokens_total", "counter", "Tokens generated.", generated_tokens},
    {"prefix_cache_queries_total", "counter", "Tokens of prompts that were looked for in the cache.", prompt_tokens},
    {"prefix_cache_hits_total", "counter", "Tokens of prompts that were in the cache.", cached_tokens},
};

#define OF(member) offsetof(struct metrics_model, member)

static const struct {
    const char *name, *help;
    size_t offset;
    const double *bounds;
} histograms[] = {
    {"time_to_first_token_seconds", "From the prompt's being ready to its first token.", OF(first_token), bounds_s},
    {"inter_token_latency_seconds", "From a token to the next.", OF(between_tokens), bounds_s},
    {"request_time_per_output_token_seconds", "Mean time between the tokens of a request.", OF(mean_between), bounds_s},
    {"request_decode_time_seconds", "From the first token to the last.", OF(decode), bounds_s},
    {"e2e_request_latency_seconds", "From the prompt's being ready to the end.", OF(whole), bounds_s},
    {"request_prompt_tokens", "Tokens of the prompt.", OF(prompt_sizes), bounds_tokens},
    {"request_generation_tokens", "Tokens generated.", OF(answer_sizes), bounds_tokens},
};

static void add_histogram(struct text *out, const char *name, const struct metrics_model *m,
                          const struct metrics_histogram *h, const double *bounds) {
    uint64_t count = 0;
    for (size_t i = 0; i <= METRICS_BUCKETS; i++) {
        char bound[32] = "+Inf";
        if (i < METRICS_BUCKETS) snprintf(bound, sizeof bound, "%g", bounds[i]);
        count += h->counts[i];
        text_printf(out, "caravan:%s_bucket{", name);
        add_model(out, m->name);
        text_printf(out, ",le=\"%s\"} %llu\n", bound, (unsigned long long)count);
    }
    char part[64];
    snprintf(part, sizeof part, "%s_sum", name);
    add_sample(out, part, m->name, h->sum);
    snprintf(part, sizeof part, "%s_count", name);
    add_sample(out, part, m->name, (double)count);
}

static void add_ends(const struct metrics *m, struct text *out) {
    static const char *const reasons[] = {
        [API_STOP] = "stop", [API_LENGTH] = "length", [API_CANCELLED] = "abort", [API_FAILED] = "error"};
    add_head(out, "request_success_total", "counter", "Requests that have ended, by how.");
    for (uint32_t i = 0; i < m->count; i++)
        for (size_t r = 0; r < ARRAY_LEN(reasons); r++) {
            text_add_str(out, "caravan:request_success_total{");
            add_model(out, m->models[i].name);
            text_printf(out, ",finished_reason=\"%s\"} %llu\n", reasons[r], (unsigned long long)m->models[i].ended[r]);
        }
}

static void add_caches(const struct metrics_cache *caches, size_t count, struct text *out) {
    add_head(out, "kv_cache_usage_perc", "gauge", "Part of the KV cache that running requests hold; 1 is all of it.");
    for (size_t i = 0; i < count; i++) add_sample(out, "kv_cache_usage_perc", caches[i].model, caches[i].used);
    add_head(out, "num_preemptions_total", "counter", "Requests that gave way to others and went on later.");
    for (size_t i = 0; i < count; i++)
        add_sample(out, "num_preemptions_total", caches[i].model, (double)caches[i].put_back);
}

void metrics_write(const struct metrics *m, const struct metrics_cache *caches, size_t cache_count, struct text *out) {
    for (size_t s = 0; s < ARRAY_LEN(scalars); s++) {
        add_head(out, scalars[s].name, scalars[s].type, scalars[s].help);
        for (uint32_t i = 0; i < m->count; i++)
            add_sample(out, scalars[s].name, m->models[i].name, scalars[s].value(&m->models[i]));
    }
    add_ends(m, out);
    add_caches(caches, cache_count, out);
    for (size_t h = 0; h < ARRAY_LEN(histograms); h++) {
        add_head(out, histograms[h].name, "histogram", histograms[h].help);
        for (uint32_t i = 0; i < m->count; i++) {
            const char *base = (const char *)&m->models[i];
            add_histogram(out, histograms[h].name, &m->models[i],
                          (const struct metrics_histogram *)(const void *)(base + histograms[h].offset),
                          histograms[h].bounds);
        }
    }
}
