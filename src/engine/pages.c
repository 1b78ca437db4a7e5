#include "engine/pages.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

static uint32_t parallel(const struct pages_shape *s) { return s->parallel ? s->parallel : s->sessions; }

static uint64_t page_count(const struct pages_shape *s) {
    return s->pages ? s->pages : (uint64_t)parallel(s) * pages_of(s->context);
}

static uint64_t slot_count(const struct pages_shape *s) {
    return (uint64_t)parallel(s) * pages_slots(s->window, s->context);
}

static bool has_window(const struct pages_shape *s, uint32_t layer) { return s->of_model && s->of_model[layer].window; }

static struct model_heads heads_of(const struct pages_shape *s, uint32_t layer) {
    if (s->of_model && s->of_model[layer].headless) return (struct model_heads){0};
    if (s->local.kv_heads > 0 && has_window(s, layer)) return s->local;
    return (struct model_heads){.kv_heads = s->kv_heads, .dim_k = s->head_dim_k, .dim_v = s->head_dim_v};
}

/* Bytes of K, and of K and V, of a head in a page. */
static size_t k_bytes(const struct pages_shape *s, struct model_heads h) { return kern_kv_page_bytes(s->kv, h.dim_k); }

static size_t head_bytes(const struct pages_shape *s, struct model_heads h) {
    return k_bytes(s, h) + kern_kv_page_bytes(s->kv, h.dim_v);
}

/* Bytes of a page of one layer, all its heads. */
static uint64_t page_bytes(const struct pages_shape *s, uint32_t layer) {
    struct model_heads h = heads_of(s, layer);
    if (s->of_model && (s->of_model[layer].convolves || s->of_model[layer].recurs)) return s->kept * sizeof(float);
    return h.kv_heads * head_bytes(s, h);
}

/* UINT64_MAX when it is no number of bytes. */
static uint64_t layer_bytes(const struct pages_shape *s, uint32_t layer) {
    uint64_t bytes;
    uint64_t count = has_window(s, layer) ? slot_count(s) : page_count(s);
    return size_mul(count, page_bytes(s, layer), &bytes) ? bytes : UINT64_MAX;
}

uint64_t pages_bytes(const struct pages_shape *s) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->layers; i++)
        if (!size_add(sum, layer_bytes(s, i), &sum)) return UINT64_MAX;
    return sum;
}

static int reserve(struct pages *p) {
    const struct pages_shape *shape = &p->shape;
    size_t entries = (size_t)shape->sessions * p->per_session;
    if (page_count(shape) >= PAGES_UNMAPPED) return ERR_NOMEM;
    p->table = malloc(entries * sizeof *p->table + 1);
    p->slots = malloc(entries * sizeof *p->slots + 1);
    p->layers = malloc(shape->layers * sizeof *p->layers + 1);
    if (!p->table || !p->slots || !p->layers || memory_reserve(&p->memory, pages_bytes(shape), true) < 0)
        return ERR_NOMEM;
    for (size_t i = 0; i < entries; i++) p->table[i] = p->slots[i] = PAGES_UNMAPPED;
    uint8_t *at = p->memory.data;
    for (uint32_t i = 0; i < shape->layers; at += layer_bytes(shape, i++)) p->layers[i] = at;
    return 0;
}

int pages_init(struct pages *p, const struct pages_shape *shape, struct error *error) {
    *p = (struct pages){.shape = *shape, .per_session = pages_of(shape->context)};
    if (reserve(p) < 0) {
        pages_deinit(p);
        return error_set(error, ERR_NOMEM, "cannot reserve %llu MiB for the KV cache",
                         (unsigned long long)(pages_bytes(shape) >> 20));
    }
    p->shape.pages = (uint32_t)page_count(shape);
    p->slot_count = (uint32_t)slot_count(shape);
    return 0;
}

void pages_deinit(struct pages *p) {
    memory_release(&p->memory);
    free(p->table);
    free(p->slots);
    free(p->layers);
    *p = (struct pages){0};
}

static void copy_page(struct pages *p, const struct step_page *entry) {
    for (uint32_t i = 0; i < p->shape.layers; i++) {
        uint64_t bytes = page_bytes(&p->shape, i);
        bool window = has_window(&p->shape, i);
        uint32_t to = window ? entry->slot : entry->page, from = window ? entry->slot_from : entry->from;
        if (to != from && to != PAGES_UNMAPPED && from != PAGES_UNMAPPED)
            memcpy(p->layers[i] + to * bytes, p->layers[i] + from * bytes, bytes);
    }
}

static bool is_slot(const struct pages *p, uint32_t slot) { return slot == PAGES_UNMAPPED || slot < p->slot_count; }

static bool in_range(const struct pages *p, const struct step_page *entry) {
    return entry->session < p->shape.sessions && entry->index < p->per_session && entry->page < p->shape.pages &&
           entry->from < p->shape.pages && is_slot(p, entry->slot) && is_slot(p, entry->slot_from);
}

int pages_map(struct pages *p, const struct step *step, struct error *error) {
    for (uint32_t i = 0; i < step->page_count; i++) {
        const struct step_page *entry = &step->pages[i];
        if (!in_range(p, entry))
            return error_set(error, ERR_INVALID, "page %u as number %u of session %u is out of range", entry->page,
                             entry->index, entry->session);
        size_t at = (size_t)entry->session * p->per_session + entry->index;
        p->table[at] = entry->page;
        p->slots[at] = entry->slot;
        copy_page(p, entry);
    }
    return 0;
}

int pages_check(const struct pages *p, uint32_t session, uint32_t position, struct error *error) {
    if (session >= p->shape.sessions || position >= p->shape.context)
        return error_set(error, ERR_INVALID, "position %u of session %u is out of range", position, session);
    size_t at = (size_t)session * p->per_session;
    uint32_t seen = p->slot_count ? pages_first_seen(p->shape.window, position) : UINT32_MAX;
    for (uint32_t index = 0; index <= position / KERN_PAGE; index++)
        if (p->table[at + index] == PAGES_UNMAPPED || (index >= seen && p->slots[at + index] == PAGES_UNMAPPED))
            return error_set(error, ERR_INVALID, "position %u of session %u has no page %u", position, session, index);
    return 0;
}

float *pages_kept(const struct pages *p, uint32_t layer, uint32_t session, uint32_t index) {
    size_t slot = p->slots[(size_t)session * p->per_session + index];
    return (float *)(void *)(p->layers[layer] + slot * page_bytes(&p->shape, layer));
}

void *pages_k(const struct pages *p, uint32_t layer, uint32_t head, uint32_t session, uint32_t index) {
    size_t at = (size_t)session * p->per_session + index;
    size_t page = has_window(&p->shape, layer) ? p->slots[at] : p->table[at];
    struct model_heads h = heads_of(&p->shape, layer);
    return p->layers[layer] + (page * h.kv_heads + head) * head_bytes(&p->shape, h);
}

void *pages_v(const struct pages *p, uint32_t layer, uint32_t head, uint32_t session, uint32_t index) {
    return (uint8_t *)pages_k(p, layer, head, session, index) + k_bytes(&p->shape, heads_of(&p->shape, layer));
}
