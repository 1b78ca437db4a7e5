#include "model/tokenizer/charsmap.h"

#include <stdbool.h>
#include <string.h>

#include "base/error.h"

/* A unit: where its children are (22 bits, or those times 256), the byte that leads to it, whether a string ends here.
 */
static uint32_t unit_at(const struct charsmap *m, uint32_t i) {
    const uint8_t *u = m->units + 4 * (size_t)i;
    return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static uint32_t children_of(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }
static uint32_t label_of(uint32_t unit) { return unit & (1u << 31 | 0xff); }
static bool ends_here(uint32_t unit) { return unit >> 8 & 1; }
static uint32_t value_of(uint32_t unit) { return unit & ((1u << 31) - 1); }

int charsmap_init(struct charsmap *m, const uint8_t *bytes, size_t len) {
    *m = (struct charsmap){0};
    if (len == 0) return 0;
    struct charsmap front = {.units = bytes};
    uint32_t trie_bytes = len >= 4 ? unit_at(&front, 0) : 0;
    if (trie_bytes < 4 || trie_bytes % 4 != 0 || trie_bytes >= len - 4 || bytes[len - 1] != 0) return ERR_INVALID;
    m->units = bytes + 4;
    m->unit_count = trie_bytes / 4;
    m->replacements = (const char *)bytes + 4 + trie_bytes;
    m->replacements_len = len - 4 - trie_bytes;
    return 0;
}

size_t charsmap_find(const struct charsmap *m, const char *text, size_t len, const char **out, size_t *out_len) {
    if (!m->units) return 0;
    size_t longest = 0;
    uint32_t node = children_of(unit_at(m, 0));
    for (size_t i = 0; i < len && text[i] != 0; i++) {
        unsigned char c = (unsigned char)text[i];
        node ^= c;
        if (node >= m->unit_count) break;
        uint32_t unit = unit_at(m, node);
        if (label_of(unit) != c) break;
        node ^= children_of(unit);
        if (!ends_here(unit) || node >= m->unit_count) continue;
        uint32_t place = value_of(unit_at(m, node));
        if (place >= m->replacements_len) break;
        longest = i + 1;
        *out = m->replacements + place;
    }
    if (longest > 0) *out_len = strlen(*out);
    return longest;
}
