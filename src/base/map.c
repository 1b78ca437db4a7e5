#include "base/map.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

void map_deinit(struct map *m) {
    free(m->slots);
    *m = (struct map){.seed = m->seed};
}

static uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    return x;
}

static uint64_t hash(uint64_t seed, const char *key, size_t len) {
    uint64_t h = seed ^ (len * 0x9e3779b97f4a7c15u);
    for (; len >= 8; key += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, key, 8);
        h = mix(h ^ word) + 0x9e3779b97f4a7c15u;
    }
    uint64_t tail = 0;
    if (len > 0) memcpy(&tail, key, len);
    return mix(h ^ tail ^ ((uint64_t)len << 56));
}

/* The slot of the key, or the free slot where it would go. There is always a free one. */
static struct map_slot *find(const struct map *m, const char *key, size_t len) {
    size_t i = hash(m->seed, key, len) & (m->capacity - 1);
    for (;; i = (i + 1) & (m->capacity - 1)) {
        struct map_slot *s = &m->slots[i];
        if (s->key == NULL || (s->len == len && memcmp(s->key, key, len) == 0)) return s;
    }
}

static int grow(struct map *m) {
    struct map bigger = {.capacity = m->capacity ? m->capacity * 2 : 16, .count = m->count, .seed = m->seed};
    bigger.slots = calloc(bigger.capacity, sizeof *bigger.slots);
    if (bigger.slots == NULL) return ERR_NOMEM;
    for (size_t i = 0; i < m->capacity; i++)
        if (m->slots[i].key) *find(&bigger, m->slots[i].key, m->slots[i].len) = m->slots[i];
    free(m->slots);
    *m = bigger;
    return 0;
}

int map_set(struct map *m, const char *key, size_t len, uint64_t value) {
    if ((m->count + 1) * 4 > m->capacity * 3) {
        int rc = grow(m);
        if (rc) return rc;
    }
    struct map_slot *s = find(m, key, len);
    if (s->key == NULL) m->count++;
    *s = (struct map_slot){.key = key ? key : "", .len = len, .value = value};
    return 0;
}

bool map_get(const struct map *m, const char *key, size_t len, uint64_t *value) {
    if (m->count == 0) return false;
    const struct map_slot *s = find(m, key ? key : "", len);
    if (s->key == NULL) return false;
    if (value) *value = s->value;
    return true;
}
