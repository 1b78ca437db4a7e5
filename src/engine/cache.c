#include "engine/cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static const struct cache_page empty_page = {
    .parent = CACHE_NONE, .child = CACHE_NONE, .sibling = CACHE_NONE, .slot = CACHE_NONE};
static const struct cache_slot empty_slot = {.page = CACHE_NONE};

int cache_init(struct cache *c, uint32_t pages, uint32_t window, uint32_t slots, bool states) {
    *c = (struct cache){.pages = calloc((size_t)pages + 1, sizeof *c->pages),
                        .slots = calloc((size_t)slots + 1, sizeof *c->slots),
                        .count = pages,
                        .slot_count = slots,
                        .window = window,
                        .states = states};
    if (!c->pages || !c->slots) return ERR_NOMEM;
    cache_forget(c);
    return 0;
}

void cache_deinit(struct cache *c) {
    free(c->pages);
    free(c->slots);
}

void cache_forget(struct cache *c) {
    c->first = CACHE_NONE;
    c->held_pages = c->held_slots = 0;
    for (uint32_t i = 0; i < c->count; i++) c->pages[i] = empty_page;
    for (uint32_t i = 0; i < c->slot_count; i++) c->slots[i] = empty_slot;
}

/* ---- slots ---- */

static void hold_slot(struct cache *c, uint32_t page) {
    if (c->slot_count > 0 && c->slots[c->pages[page].slot].holders++ == 0) c->held_slots++;
}

void cache_pass(struct cache *c, uint32_t page) {
    if (c->slot_count == 0) return;
    struct cache_slot *s = &c->slots[c->pages[page].slot];
    assert(s->holders > 0);
    if (--s->holders > 0) return;
    s->left = ++c->clock;
    c->held_slots--;
}

/* The page has no slot any more; the slot holds nothing. */
static void part_from_slot(struct cache *c, uint32_t page) {
    uint32_t slot = c->pages[page].slot;
    if (slot == CACHE_NONE) return;
    assert(c->slots[slot].holders == 0);
    c->slots[slot] = empty_slot;
    c->pages[page].slot = CACHE_NONE;
}

static void take_slot(struct cache *c, uint32_t page) {
    uint32_t oldest = CACHE_NONE;
    for (uint32_t i = 0; i < c->slot_count; i++)
        if (c->slots[i].holders == 0 && (oldest == CACHE_NONE || c->slots[i].left < c->slots[oldest].left)) oldest = i;
    assert(oldest != CACHE_NONE);
    if (c->slots[oldest].page != CACHE_NONE) c->pages[c->slots[oldest].page].slot = CACHE_NONE;
    c->slots[oldest] = (struct cache_slot){.holders = 1, .page = page};
    c->held_slots++;
    c->pages[page].slot = oldest;
}

/* A page that is given up for its twin: the caller holds the twin's slot, which is this one where it had none. */
static void hand_slot_over(struct cache *c, uint32_t page, uint32_t twin) {
    if (c->slot_count == 0) return;
    uint32_t slot = c->pages[page].slot;
    if (c->pages[twin].slot == CACHE_NONE) {
        c->slots[slot].page = twin;
        c->pages[twin].slot = slot;
        c->pages[page].slot = CACHE_NONE;
        return;
    }
    cache_pass(c, page);
    hold_slot(c, twin);
}

/* ---- the tree ---- */

static uint32_t *first_child(struct cache *c, uint32_t parent) {
    return parent == CACHE_NONE ? &c->first : &c->pages[parent].child;
}

static void unfile(struct cache *c, uint32_t page) {
    struct cache_page *p = &c->pages[page];
    assert(p->child == CACHE_NONE && p->holders == 0);
    if (p->count == 0) return;
    uint32_t *at = first_child(c, p->parent);
    while (*at != page) at = &c->pages[*at].sibling;
    *at = p->sibling;
    part_from_slot(c, page);
    *p = empty_page;
}

/* Tokens that the page and the list have in common from their beginnings on. */
static uint32_t common(const struct cache_page *p, const uint32_t *tokens, uint32_t most) {
    uint32_t count = 0;
    if (most > p->count) most = p->count;
    while (count < most && p->tokens[count] == tokens[count]) count++;
    return count;
}

/* The child that has most in common with the tokens, and how much; of states, one that has become so by them alone. */
static uint32_t best_child(struct cache *c, uint32_t parent, const uint32_t *tokens, uint32_t most, uint32_t *count) {
    uint32_t best = CACHE_NONE;
    *count = 0;
    for (uint32_t child = *first_child(c, parent); child != CACHE_NONE; child = c->pages[child].sibling) {
        uint32_t found = common(&c->pages[child], tokens, most);
        if (found <= *count || (c->states && found < c->pages[child].count)) continue;
        *count = found;
        best = child;
    }
    return best;
}

/* ---- holding ---- */

static uint32_t hold(struct cache *c, uint32_t page) {
    if (c->pages[page].holders++ == 0) c->held_pages++;
    return page;
}

void cache_release(struct cache *c, uint32_t page) {
    struct cache_page *p = &c->pages[page];
    assert(p->holders > 0);
    if (--p->holders > 0) return;
    c->held_pages--;
    if (p->count == 0) part_from_slot(c, page);
    p->left = p->count ? ++c->clock : 0;
}

uint32_t cache_take(struct cache *c) {
    uint32_t oldest = CACHE_NONE;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct cache_page *p = &c->pages[i];
        if (p->holders > 0 || p->child != CACHE_NONE) continue;
        if (oldest == CACHE_NONE || p->left < c->pages[oldest].left) oldest = i;
    }
    assert(oldest != CACHE_NONE);
    unfile(c, oldest);
    if (c->slot_count > 0) take_slot(c, oldest);
    return hold(c, oldest);
}

/* As cache_match, but nothing is held yet and slots may be missing. */
static uint32_t find(struct cache *c, const uint32_t *tokens, uint32_t most, uint32_t pages_max, uint32_t *pages,
                     uint32_t *part) {
    uint32_t parent = CACHE_NONE, at = 0, count;
    *part = CACHE_NONE;
    for (uint32_t i = 0; i < pages_max && at < most; i++) {
        uint32_t page = best_child(c, parent, tokens + at, most - at, &count);
        if (page == CACHE_NONE) break;
        at += count;
        if (count < KERN_PAGE) {
            *part = page;
            break;
        }
        pages[i] = parent = page;
    }
    return at;
}

/* Where a prompt can go on, at `at` or before: where the window shows pages that have their slots. */
static uint32_t go_back(const struct cache *c, const uint32_t *pages, uint32_t *part, uint32_t at) {
    for (uint32_t index = pages_of(at); c->slot_count > 0 && index > pages_first_seen(c->window, at); index--) {
        uint32_t page = index > at / KERN_PAGE ? *part : pages[index - 1];
        if (c->pages[page].slot != CACHE_NONE) continue;
        at = (index - 1) * KERN_PAGE;
        *part = CACHE_NONE;
    }
    return at;
}

uint32_t cache_match(struct cache *c, const uint32_t *tokens, uint32_t most, uint32_t pages_max, uint32_t *pages,
                     uint32_t *part) {
    uint32_t at = go_back(c, pages, part, find(c, tokens, most, pages_max, pages, part));
    for (uint32_t i = 0; i < pages_of(at); i++) {
        uint32_t page = hold(c, i < at / KERN_PAGE ? pages[i] : *part);
        if (i >= pages_first_seen(c->window, at)) hold_slot(c, page);
    }
    return at;
}

uint32_t cache_file(struct cache *c, uint32_t parent, uint32_t page, const uint32_t *tokens, uint32_t count) {
    assert(count > 0 && count <= KERN_PAGE && c->pages[page].count == 0);
    for (uint32_t other = *first_child(c, parent), next; other != CACHE_NONE; other = next) {
        struct cache_page *o = &c->pages[other];
        next = o->sibling;
        uint32_t same = common(o, tokens, count);
        if (c->states && o->count != count) continue; /* another state */
        if (same == count) { /* all of it is there already */
            hand_slot_over(c, page, other);
            cache_release(c, page);
            return hold(c, other);
        }
        if (same == o->count && o->holders == 0) unfile(c, other); /* there is more of it now */
    }
    struct cache_page *p = &c->pages[page];
    p->count = count;
    p->parent = parent;
    p->sibling = *first_child(c, parent);
    *first_child(c, parent) = page;
    memcpy(p->tokens, tokens, count * sizeof *tokens);
    return page;
}
