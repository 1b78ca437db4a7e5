/* The coordinator's book of the KV pages: who uses which page, and what the others still hold.
 *
 * A page that was filed holds known tokens behind the pages before it: filed pages are a tree, and a path from its root
 * is the beginning of a prompt. Whoever runs holds the pages of its path, and so everything before them; what nobody
 * holds stays for prompts that begin alike until its page is taken for something else, the oldest end of a path first.
 * Where layers have a window, a page has a slot besides for what they keep of it. Whoever runs holds the slots of what
 * its window shows, and lets go of those that it has passed; a page whose slot was taken for another is known, but no
 * prompt can go on from where its window would show it. Where layers have states, slots keep those by the last token of
 * their pages: a prompt goes on only behind all tokens of a page, and one that was left within its last page is another
 * page than one that went on.
 * The book counts and names pages; their bytes are struct pages, in each stage. One thread, the runner's. */
#pragma once
#include <stdint.h>

#include "engine/pages.h"

enum { CACHE_NONE = UINT32_MAX };

struct cache_page {
    uint32_t holders;
    uint32_t count;                  /* tokens it holds; 0: not filed */
    uint32_t parent, child, sibling; /* CACHE_NONE: none; child: the first one */
    uint32_t slot;                   /* CACHE_NONE: it has none (any more) */
    uint64_t left;                   /* when its last holder left it; 0: it holds nothing */
    uint32_t tokens[KERN_PAGE];
};

struct cache_slot {
    uint32_t holders;
    uint32_t page; /* whose it is; CACHE_NONE: nobody's */
    uint64_t left; /* when its last holder let go of it; 0: it holds nothing */
};

struct cache {
    struct cache_page *pages;
    struct cache_slot *slots;
    uint32_t count, slot_count; /* slot_count 0: no layer has a window */
    uint32_t window;
    bool states;
    uint32_t held_pages, held_slots; /* that somebody holds */
    uint32_t first; /* child of the root */
    uint64_t clock;
};

/* window 0: no layer has one; else there are pages_slots() slots for each session. states: slots tell what layers have
 * become by the last token of their pages. ERR_NOMEM. */
int cache_init(struct cache *c, uint32_t pages, uint32_t window, uint32_t slots, bool states);
void cache_deinit(struct cache *c);
/* Nothing is known of any page any more, and nobody holds one. */
void cache_forget(struct cache *c);

/* How many cache_take() could give. */
static inline uint32_t cache_free_pages(const struct cache *c) { return c->count - c->held_pages; }
static inline uint32_t cache_free_slots(const struct cache *c) { return c->slot_count - c->held_slots; }

/* The longest known beginning of the tokens, in positions, at most `most`. Its whole pages come into pages[] (room for
 * `pages_max`); where it ends within a page, *part is a page whose first positions are the rest, else CACHE_NONE. The
 * caller holds them all, and the slots of those that a row behind them sees through the window. */
uint32_t cache_match(struct cache *c, const uint32_t *tokens, uint32_t most, uint32_t pages_max, uint32_t *pages,
                     uint32_t *part);
/* A page for something new, and a slot for it, which the caller holds: the oldest that nobody holds, of which there
 * must be some. */
uint32_t cache_take(struct cache *c);
/* The caller's page behind `parent` (CACHE_NONE: the first of a path) holds these tokens. If another page there holds
 * them too, the caller holds that one instead. Returns the page it holds. */
uint32_t cache_file(struct cache *c, uint32_t parent, uint32_t page, const uint32_t *tokens, uint32_t count);
/* The window of the caller has passed the page: let go of its slot, before the page itself. Nothing without windows. */
void cache_pass(struct cache *c, uint32_t page);
void cache_release(struct cache *c, uint32_t page);
