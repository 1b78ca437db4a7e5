#include "engine/sampler.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/prng.h"
#include "engine/exact.h"

struct candidate {
    float score; /* logit / temperature */
    uint32_t id;
};
static_assert(sizeof(struct candidate) == SAMPLER_SCRATCH_BYTES, "the scratch holds one per token");

static const float score_range = 16.0f; /* candidates further below the best are dropped when a filter is on */

struct sampler_options sampler_defaults(void) {
    return (struct sampler_options){.temperature = 0.7f, .top_p = 0.95f, .repetition_penalty = 1.0f};
}

static bool penalizes(const struct sampler_options *o) {
    return o->repetition_penalty != 1.0f || o->presence_penalty != 0.0f || o->frequency_penalty != 0.0f;
}

static void penalize(const struct sampler_options *o, float *logits, size_t vocab, const uint32_t *history,
                     size_t history_count, uint32_t *counts) {
    memset(counts, 0, vocab * sizeof *counts);
    for (size_t i = 0; i < history_count; i++)
        if (history[i] < vocab) counts[history[i]]++;
    for (size_t id = 0; id < vocab; id++) {
        if (counts[id] == 0) continue;
        float logit = logits[id];
        logit = logit > 0.0f ? logit / o->repetition_penalty : logit * o->repetition_penalty;
        logits[id] = logit - o->presence_penalty - o->frequency_penalty * (float)counts[id];
    }
}

static void add_biases(const struct sampler_options *o, float *logits, size_t vocab) {
    for (uint32_t i = 0; i < o->bias_count; i++)
        if (o->biases[i].token < vocab) logits[o->biases[i].token] += o->biases[i].bias;
}

static uint32_t argmax(const float *logits, size_t vocab) {
    size_t best = 0;
    for (size_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best]) best = i;
    return (uint32_t)best;
}

static bool better(struct candidate a, struct candidate b) {
    return a.score > b.score || (a.score == b.score && a.id < b.id);
}

static void sift_down(struct candidate *heap, size_t count, size_t at) {
    struct candidate moved = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && better(heap[child + 1], heap[child])) child++;
        if (!better(heap[child], moved)) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void heapify(struct candidate *heap, size_t count) {
    for (size_t i = count / 2; i-- > 0;) sift_down(heap, count, i);
}

/* Move the best of the heap behind its end: the popped ones gather at the array's end, best last. */
static struct candidate pop(struct candidate *heap, size_t count) {
    struct candidate best = heap[0];
    heap[0] = heap[count - 1];
    heap[count - 1] = best;
    sift_down(heap, count - 1, 0);
    return best;
}

static size_t keep_popped(struct candidate *all, size_t count, size_t popped) {
    memmove(all, all + count - popped, popped * sizeof *all);
    return popped;
}

static size_t keep_top_k(struct candidate *all, size_t count, size_t k) {
    heapify(all, count);
    size_t popped = 0;
    while (popped < k && popped < count) pop(all, count - popped++);
    return keep_popped(all, count, popped);
}

/* The smallest set of best candidates whose probability reaches p; never empty. */
static size_t keep_top_p(struct candidate *all, size_t count, double p, float score_max) {
    double sum = 0.0, reached = 0.0;
    for (size_t i = 0; i < count; i++) sum += exact_exp((double)all[i].score - score_max);
    heapify(all, count);
    size_t popped = 0;
    do {
        reached += exact_exp((double)pop(all, count - popped++).score - score_max);
    } while (popped < count && reached < p * sum);
    return keep_popped(all, count, popped);
}

static size_t gather(const struct sampler_options *o, const float *logits, size_t vocab, float score_max,
                     struct candidate *out) {
    float score_min = score_max - score_range;
    if (o->min_p > 0.0f) score_min = fmaxf(score_min, score_max + (float)exact_log(fminf(o->min_p, 1.0f)));
    size_t count = 0;
    for (size_t i = 0; i < vocab; i++) {
        float score = logits[i] / o->temperature;
        if (score >= score_min) out[count++] = (struct candidate){score, (uint32_t)i};
    }
    return count;
}

/* Noise of one token. Gumbel: -log(-log(u)), u uniform in (0, 1) from the top 52 bits of a hash. */
struct noise {
    uint64_t key; /* of (seed, position) */
};

static uint64_t noise_bits(struct noise n, uint32_t id) { return prng_mix(n.key + id); }

static double noise_value(uint64_t bits) {
    double uniform = ((double)(bits >> 12) + 0.5) * 0x1p-52;
    return -exact_log(-exact_log(uniform));
}

/* Not less than noise_value, without a logarithm: -log(u) >= 1 - u >= 2^-(leading ones + 1). */
static float noise_bound(uint64_t bits) {
    int leading_ones = __builtin_clzll(~bits | 1 << 11);
    return (float)(leading_ones + 1) * 0.6932f;
}

/* The best candidate with noise; `start` should be a likely one, so that most others are refused by the cheap bound. */
struct draw {
    struct noise noise;
    double best;
    uint32_t best_id;
};

static void draw_consider(struct draw *d, float score, uint32_t id) {
    uint64_t bits = noise_bits(d->noise, id);
    if (score + noise_bound(bits) < d->best - 1e-3) return;
    double noisy = score + noise_value(bits);
    if (noisy > d->best || (noisy == d->best && id < d->best_id)) {
        d->best = noisy;
        d->best_id = id;
    }
}

static struct draw draw_begin(const struct sampler_options *o, uint32_t position, float score, uint32_t id) {
    struct draw d = {.noise = {prng_mix(o->seed ^ prng_mix(position))}, .best = -INFINITY, .best_id = id};
    draw_consider(&d, score, id);
    return d;
}

uint32_t sampler_draw(const struct sampler_options *o, float *logits, size_t vocab, const uint32_t *history,
                      size_t history_count, uint32_t position, void *scratch) {
    add_biases(o, logits, vocab);
    if (penalizes(o)) penalize(o, logits, vocab, history, history_count, scratch);
    uint32_t likeliest = argmax(logits, vocab);
    float score_max = logits[likeliest] / o->temperature;
    if (!(o->temperature > 0.0f) || !isfinite(score_max)) return likeliest;

    struct draw d = draw_begin(o, position, score_max, likeliest);
    if (o->top_k == 0 && o->top_p >= 1.0f && o->min_p <= 0.0f) {
        for (size_t i = 0; i < vocab; i++) draw_consider(&d, logits[i] / o->temperature, (uint32_t)i);
        return d.best_id;
    }
    struct candidate *candidates = scratch;
    size_t count = gather(o, logits, vocab, score_max, candidates);
    if (o->top_k > 0) count = keep_top_k(candidates, count, o->top_k);
    if (o->top_p < 1.0f) count = keep_top_p(candidates, count, o->top_p, score_max);
    for (size_t i = 0; i < count; i++) draw_consider(&d, candidates[i].score, candidates[i].id);
    return d.best_id;
}
