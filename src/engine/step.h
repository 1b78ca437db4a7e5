/* What one pass through the model works on: a micro-batch of rows.
 *
 * A row is one position of one session. The coordinator composes steps; every stage of a ring sees the same step, once:
 * KV is written by absolute position, but states go on. Plain data, the composer's memory. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    STEP_ROWS_MAX = 512,
    STEP_ROWS_WHOLE_MAX = 2048, /* of an encoder, whose texts are never parted */
    STEP_PAGES_MAX = 4096,
};

/* Rows that a step of a model may have, where sessions have `context` positions. */
static inline uint32_t step_rows_max(bool encodes, uint32_t context) {
    if (!encodes || context <= STEP_ROWS_MAX) return STEP_ROWS_MAX;
    return context < STEP_ROWS_WHOLE_MAX ? context : STEP_ROWS_WHOLE_MAX;
}

struct step_row {
    uint32_t session;   /* slot in the coordinator's page table */
    uint32_t position;  /* absolute; its K and V go there */
    uint32_t token;     /* input of the embedding; unused after stage 0 */
    bool want_logits;   /* the last stage returns this row's hidden state */
};

/* From this step on, page `index` of the session (positions [index * KERN_PAGE, ...)) is page `page` in every layer,
 * and slot `slot` (PAGES_UNMAPPED: none, nobody looks there) in those with a window. They begin as copies of page
 * `from` and slot `slot_from`, unless those are themselves. In order, before any row is computed. */
struct step_page {
    uint32_t session, index, page, from, slot, slot_from;
};

struct step {
    uint64_t number;    /* 1, 2, 3, ... within an epoch */
    uint32_t row_count, page_count;
    struct step_row rows[STEP_ROWS_WHOLE_MAX];
    struct step_page pages[STEP_PAGES_MAX];
};
