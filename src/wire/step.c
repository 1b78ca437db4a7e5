#include "wire/step.h"

#include <assert.h>
#include <string.h>

#include "wire/fields.h"
#include "wire/wire.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "hidden states are copied as they lie in memory");

enum { ROW_BYTES = 16, PAGE_BYTES = 24, FIXED_BYTES = 64 };

static uint64_t row_bytes(const struct wire_step *s) {
    return s->type == WIRE_STEP ? (uint64_t)s->row_count * ROW_BYTES : 0;
}

static uint64_t hidden_bytes(const struct wire_step *s) { return (uint64_t)s->row_count * s->width * sizeof(float); }

static uint64_t payload_bytes(const struct wire_step *s) {
    return FIXED_BYTES + row_bytes(s) + (uint64_t)s->page_count * PAGE_BYTES + hidden_bytes(s);
}

static void walk_step(struct codec *c, struct wire_step *s) {
    uint32_t reserved = 0;
    codec_u64(c, &s->instance);
    fields_epoch(c, &s->epoch);
    codec_u64(c, &s->number);
    codec_u64(c, &s->origin_us);
    codec_u64(c, &s->compute_us);
    codec_count(c, &s->row_count, WIRE_ROWS_MAX);
    codec_count(c, &s->page_count, s->type == WIRE_STEP ? WIRE_PAGES_MAX : 0);
    codec_count(c, &s->width, WIRE_WIDTH_MAX);
    codec_u32(c, &reserved);
}

static void put_header(struct bytes_writer *w, uint64_t payload, uint16_t type) {
    bytes_put_u32(w, (uint32_t)payload);
    bytes_put_u16(w, type);
    bytes_put_u16(w, 0);
}

size_t wire_step_bytes(const struct wire_step *s) {
    assert(payload_bytes(s) <= WIRE_DATA_BYTES_MAX);
    return WIRE_HEADER_BYTES + (size_t)payload_bytes(s);
}

void wire_step_encode(const struct wire_step *s, uint8_t *frame, size_t capacity, uint8_t **rows, uint8_t **pages,
                      uint8_t **hidden) {
    assert(wire_step_bytes(s) <= capacity);
    struct codec c = {.mode = CODEC_WRITE, .writer = bytes_writer(frame, capacity)};
    struct wire_step copy = *s;
    put_header(&c.writer, payload_bytes(s), s->type);
    walk_step(&c, &copy);
    assert(!codec_failed(&c) && c.writer.len == WIRE_HEADER_BYTES + FIXED_BYTES);
    *rows = frame + c.writer.len;
    *pages = *rows + row_bytes(s);
    *hidden = *pages + (size_t)s->page_count * PAGE_BYTES;
}

void wire_step_put_row(uint8_t *rows, uint32_t i, const struct wire_row *row) {
    struct bytes_writer w = bytes_writer(rows + (size_t)i * ROW_BYTES, ROW_BYTES);
    bytes_put_u32(&w, row->session);
    bytes_put_u32(&w, row->position);
    bytes_put_u32(&w, row->token);
    bytes_put_u32(&w, row->flags);
}

void wire_step_put_page(uint8_t *pages, uint32_t i, const struct wire_page *page) {
    struct bytes_writer w = bytes_writer(pages + (size_t)i * PAGE_BYTES, PAGE_BYTES);
    bytes_put_u32(&w, page->session);
    bytes_put_u32(&w, page->index);
    bytes_put_u32(&w, page->page);
    bytes_put_u32(&w, page->from);
    bytes_put_u32(&w, page->slot);
    bytes_put_u32(&w, page->slot_from);
}

/* Header of a data frame that is complete: its length is what arrived. */
static int read_header(struct wire_header *h, const uint8_t *frame, size_t len, struct error *error) {
    if (len < WIRE_HEADER_BYTES) return error_set(error, ERR_INVALID, "a frame of %zu bytes has no header", len);
    int status = wire_header_decode(h, frame, WIRE_DATA, error);
    if (status == 0 && h->length != len - WIRE_HEADER_BYTES)
        return error_set(error, ERR_INVALID, "a frame says %u bytes and has %zu", h->length, len - WIRE_HEADER_BYTES);
    return status;
}

int wire_step_decode(struct wire_step *s, const uint8_t *frame, size_t len, struct error *error) {
    struct wire_header h;
    memset(s, 0, sizeof *s);
    int status = read_header(&h, frame, len, error);
    if (status != 0) return status;
    if (h.type != WIRE_STEP && h.type != WIRE_STEP_RESULT)
        return error_set(error, ERR_INVALID, "a frame of type %u is no step", h.type);
    struct codec c = {.mode = CODEC_READ, .reader = bytes_reader(frame + WIRE_HEADER_BYTES, h.length)};
    s->type = h.type;
    walk_step(&c, s);
    if (codec_failed(&c) || payload_bytes(s) != h.length)
        return error_set(error, ERR_INVALID, "malformed step of %u bytes", h.length);
    s->rows = bytes_take(&c.reader, (size_t)row_bytes(s));
    s->pages = bytes_take(&c.reader, (size_t)s->page_count * PAGE_BYTES);
    s->hidden = bytes_take(&c.reader, (size_t)hidden_bytes(s));
    return 0;
}

struct wire_row wire_step_row(const struct wire_step *s, uint32_t i) {
    assert(s->type == WIRE_STEP && i < s->row_count);
    struct bytes_reader r = bytes_reader(s->rows + (size_t)i * ROW_BYTES, ROW_BYTES);
    struct wire_row row;
    row.session = bytes_u32(&r);
    row.position = bytes_u32(&r);
    row.token = bytes_u32(&r);
    row.flags = bytes_u32(&r);
    return row;
}

struct wire_page wire_step_page(const struct wire_step *s, uint32_t i) {
    assert(i < s->page_count);
    struct bytes_reader r = bytes_reader(s->pages + (size_t)i * PAGE_BYTES, PAGE_BYTES);
    struct wire_page page;
    page.session = bytes_u32(&r);
    page.index = bytes_u32(&r);
    page.page = bytes_u32(&r);
    page.from = bytes_u32(&r);
    page.slot = bytes_u32(&r);
    page.slot_from = bytes_u32(&r);
    return page;
}

static void walk_step_failed(struct codec *c, struct wire_step_failed *f) {
    codec_u64(c, &f->instance);
    fields_epoch(c, &f->epoch);
    codec_u64(c, &f->number);
    codec_i32(c, &f->code);
    codec_text(c, f->text, sizeof f->text);
}

size_t wire_step_failed_encode(const struct wire_step_failed *f, uint8_t *frame, size_t capacity) {
    struct wire_step_failed copy = *f;
    struct codec measure = {.mode = CODEC_MEASURE};
    struct codec c = {.mode = CODEC_WRITE, .writer = bytes_writer(frame, capacity)};
    walk_step_failed(&measure, &copy);
    put_header(&c.writer, measure.measured, WIRE_STEP_FAILED);
    walk_step_failed(&c, &copy);
    assert(!codec_failed(&c));
    return c.writer.len;
}

int wire_step_failed_decode(struct wire_step_failed *f, const uint8_t *frame, size_t len, struct error *error) {
    struct wire_header h;
    memset(f, 0, sizeof *f);
    int status = read_header(&h, frame, len, error);
    if (status != 0) return status;
    struct codec c = {.mode = CODEC_READ, .reader = bytes_reader(frame + WIRE_HEADER_BYTES, h.length)};
    walk_step_failed(&c, f);
    if (h.type != WIRE_STEP_FAILED || codec_failed(&c) || c.reader.left > 0)
        return error_set(error, ERR_INVALID, "malformed failure of a step (%u bytes)", h.length);
    return 0;
}

void wire_exchange_encode(const struct wire_exchange *e, uint8_t head[WIRE_EXCHANGE_HEAD_BYTES]) {
    assert(e->len <= WIRE_EXCHANGE_BYTES_MAX);
    struct bytes_writer w = bytes_writer(head, WIRE_EXCHANGE_HEAD_BYTES);
    put_header(&w, WIRE_EXCHANGE_HEAD_BYTES - WIRE_HEADER_BYTES + e->len, e->type);
    bytes_put_u64(&w, e->number);
}

int wire_exchange_decode(struct wire_exchange *e, const uint8_t *frame, size_t len, struct error *error) {
    struct wire_header h;
    memset(e, 0, sizeof *e);
    int status = read_header(&h, frame, len, error);
    if (status != 0) return status;
    if (h.type < WIRE_COLUMNS || h.type > WIRE_LOGITS || len < WIRE_EXCHANGE_HEAD_BYTES)
        return error_set(error, ERR_INVALID, "a frame of type %u and %zu bytes is no exchange", h.type, len);
    struct bytes_reader r = bytes_reader(frame + WIRE_HEADER_BYTES, len - WIRE_HEADER_BYTES);
    e->type = h.type;
    e->number = bytes_u64(&r);
    e->len = r.left;
    e->bytes = bytes_take(&r, e->len);
    return 0;
}
