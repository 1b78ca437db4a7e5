/* The KV cache of a slice: a pool of pages and the table that says which page holds which positions of a session.
 *
 * A page is KERN_PAGE positions of one session, in every KV head of the slice and every layer that sees everything.
 * Layers with a window have a pool of their own, of slots: no more than their windows need. Ids of pages and slots come
 * from the coordinator and mean the same in every stage. One thread, the slice's. */
#pragma once
#include <stdint.h>

#include "base/error.h"
#include "engine/step.h"
#include "kern/kern.h"
#include "model/model.h"
#include "os/memory.h"

enum { PAGES_UNMAPPED = UINT32_MAX };

struct pages_shape {
    enum kern_kv kv;
    uint32_t layers, kv_heads, head_dim_k, head_dim_v;
    uint32_t sessions, context; /* positions a session may have */
    uint32_t parallel;          /* of them, for whose whole contexts there are pages; 0: all */
    uint32_t pages;             /* in the pool; 0: as many as that takes */
    struct model_heads local;   /* of layers with a window, where theirs are others; kv_heads 0: the same */
    uint32_t window;            /* positions that some layers see; 0: none has a window */
    uint64_t kept;              /* values of a slot, as f32, in layers that convolve or have a state */
    const struct model_layer *of_model; /* [layers]: which ones have it; NULL: none. Must outlive the pages. */
};

struct pages {
    struct pages_shape shape; /* pages filled in */
    struct memory memory;
    uint8_t **layers;        /* [layers]: where its pages or slots begin */
    uint32_t *table, *slots; /* [sessions][per_session]: id or PAGES_UNMAPPED */
    uint32_t per_session, slot_count;
};

/* Pages that so many positions of a session take. */
static inline uint32_t pages_of(uint32_t positions) { return positions / KERN_PAGE + (positions % KERN_PAGE != 0); }

/* Slots that a session needs at most: pages that the rows of one step see through a window. */
static inline uint32_t pages_slots(uint32_t window, uint32_t context) {
    uint64_t seen = ((uint64_t)window + STEP_ROWS_MAX - 3) / KERN_PAGE + 2;
    return window == 0 ? 0 : seen < pages_of(context) ? (uint32_t)seen : pages_of(context);
}

/* The first page that a row at this position sees through a window. */
static inline uint32_t pages_first_seen(uint32_t window, uint32_t position) {
    return window > 0 && position >= window ? (position - window + 1) / KERN_PAGE : 0;
}

/* The slot of a page where each session has its own ones and uses them in turn. */
static inline uint32_t pages_own_slot(uint32_t window, uint32_t context, uint32_t session, uint32_t index) {
    uint32_t count = pages_slots(window, context);
    return count ? session * count + index % count : PAGES_UNMAPPED;
}

/* Values that layers which do not attend keep in a slot: of a convolution, what comes into its sums, [KERN_PAGE][embd];
 * of a recurrence, what it has become by the last position that was computed of the page. */
static inline uint64_t pages_values_kept(const struct model_params *p) {
    return p->convolution > 0 ? (uint64_t)KERN_PAGE * p->embd : model_recurrence_values(&p->recurrence);
}

/* Bytes of one position in a layer with a window, at `value_bytes` a value; of a slot of others, spread over its
 * positions. */
static inline uint64_t pages_window_bytes(const struct model *m, unsigned value_bytes) {
    uint64_t kept = pages_values_kept(&m->params) * sizeof(float);
    return kept > 0 ? (kept + KERN_PAGE - 1) / KERN_PAGE : model_window_bytes(m, value_bytes);
}

uint64_t pages_bytes(const struct pages_shape *shape);
/* ERR_NOMEM. Nothing needs freeing on failure. */
int pages_init(struct pages *p, const struct pages_shape *shape, struct error *error);
void pages_deinit(struct pages *p);

/* Take the step's new pages. ERR_INVALID for a session, index, page or slot out of range; earlier ones stay. */
int pages_map(struct pages *p, const struct step *step, struct error *error);
/* ERR_INVALID unless the pages of all positions up to `position` of the session are there, and the slots of those that
 * a window shows. */
int pages_check(const struct pages *p, uint32_t session, uint32_t position, struct error *error);

/* K and V of a head in page `index` of a session, which must be mapped and, in a layer with a window, be seen. */
void *pages_k(const struct pages *p, uint32_t layer, uint32_t head, uint32_t session, uint32_t index);
void *pages_v(const struct pages *p, uint32_t layer, uint32_t head, uint32_t session, uint32_t index);
/* What a layer that does not attend keeps in the slot of the page. */
float *pages_kept(const struct pages *p, uint32_t layer, uint32_t session, uint32_t index);
