/* Frames of data links: the hidden states of one step on their way round the ring.
 *
 * The layout is fixed so that a stage writes a frame straight from its arrays and reads it straight into them: no
 * intermediate copy, no allocation. Rows and pages have the fields of the engine's; node/ hands over the arrays. Views
 * returned by decoding point into the frame. Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "wire/types.h"

enum { WIRE_ROWS_MAX = 4096, WIRE_PAGES_MAX = 4096, WIRE_WIDTH_MAX = 65536, WIRE_ROW_WANTS_LOGITS = 1 };

struct wire_row {
    uint32_t session, position, token, flags;
};
struct wire_page {
    uint32_t session, index, page, from, slot, slot_from;
};

/* WIRE_STEP: rows, new pages and hidden[row_count][width]. WIRE_STEP_RESULT: row_count hidden rows (those that wanted
 * logits, in order) and neither rows nor pages. */
struct wire_step {
    uint16_t type; /* WIRE_STEP or WIRE_STEP_RESULT */
    uint64_t instance;
    struct wire_epoch epoch;
    uint64_t number;     /* of the step, 1, 2, 3, ... within the epoch */
    uint64_t origin_us;  /* clock of stage 0 when the step left it */
    uint64_t compute_us; /* spent computing so far, all stages */
    uint32_t row_count, page_count, width;
    const uint8_t *rows, *pages, *hidden; /* decoded: views into the frame */
};

/* Bytes of the whole frame, 8-byte header included. Counts within the limits above. */
size_t wire_step_bytes(const struct wire_step *s);
/* Write header and fixed part into `frame` (capacity >= wire_step_bytes) and return where the three arrays belong, so
 * that the caller fills them in place: rows with wire_step_put_row, hidden by memcpy (little-endian f32). */
void wire_step_encode(const struct wire_step *s, uint8_t *frame, size_t capacity, uint8_t **rows, uint8_t **pages,
                      uint8_t **hidden);
void wire_step_put_row(uint8_t *rows, uint32_t i, const struct wire_row *row);
void wire_step_put_page(uint8_t *pages, uint32_t i, const struct wire_page *page);
/* Read a whole frame of type WIRE_STEP or WIRE_STEP_RESULT. ERR_INVALID says what is wrong with it. */
int wire_step_decode(struct wire_step *s, const uint8_t *frame, size_t len, struct error *error);
struct wire_row wire_step_row(const struct wire_step *s, uint32_t i);
struct wire_page wire_step_page(const struct wire_step *s, uint32_t i);

/* What members of a stage exchange while they compute a step. WIRE_COLUMNS: the columns of some rows that the member
 * has made. WIRE_HEAD: hidden rows whose logits are wanted, f32. WIRE_LOGITS: rows of the member's part of the
 * vocabulary, f32. */
struct wire_exchange {
    uint16_t type;
    uint64_t number; /* of its type on this link: 1, 2, 3, ... */
    const uint8_t *bytes;
    size_t len; /* at most WIRE_EXCHANGE_BYTES_MAX */
};
enum { WIRE_EXCHANGE_HEAD_BYTES = 16, WIRE_EXCHANGE_BYTES_MAX = WIRE_DATA_BYTES_MAX - 8 };
/* What stands before the bytes. */
void wire_exchange_encode(const struct wire_exchange *e, uint8_t head[WIRE_EXCHANGE_HEAD_BYTES]);
int wire_exchange_decode(struct wire_exchange *e, const uint8_t *frame, size_t len, struct error *error);

/* WIRE_STEP_FAILED: a stage could not run a step; the text goes to the coordinator. */
struct wire_step_failed {
    uint64_t instance;
    struct wire_epoch epoch;
    uint64_t number;
    int32_t code;
    char text[WIRE_REASON_BYTES];
};
enum { WIRE_STEP_FAILED_BYTES_MAX = 8 + 48 + WIRE_REASON_BYTES };
size_t wire_step_failed_encode(const struct wire_step_failed *f, uint8_t *frame, size_t capacity);
int wire_step_failed_decode(struct wire_step_failed *f, const uint8_t *frame, size_t len, struct error *error);
