#include "wire/store.h"

#include <assert.h>
#include <string.h>

#include "wire/fields.h"

static void walk_model(struct codec *c, struct wire_store *m) {
    codec_bytes(c, m->fingerprint, sizeof m->fingerprint);
    codec_text(c, m->name, sizeof m->name);
}

/* What is being fetched by a plan says by which. */
static void walk_answer(struct codec *c, struct wire_store *m) {
    codec_choice(c, &m->state, WIRE_STORE_COMING);
    codec_choice(c, &m->planned, 1);
    if (m->planned) fields_plan(c, &m->plan);
}

static void walk_place(struct codec *c, struct wire_store *m) {
    codec_bytes(c, m->fingerprint, sizeof m->fingerprint);
    codec_u32(c, &m->file);
}

static void walk_hold(struct codec *c, struct wire_store *m) {
    codec_bytes(c, m->fingerprint, sizeof m->fingerprint);
    fields_plan(c, &m->plan);
}

static void walk_progress(struct codec *c, struct wire_store *m) {
    codec_bytes(c, m->fingerprint, sizeof m->fingerprint);
    codec_choice(c, &m->state, WIRE_STORE_COMING);
    codec_u64(c, &m->bytes_done);
    codec_u64(c, &m->bytes_total);
    codec_i32(c, &m->code);
    codec_text(c, m->text, sizeof m->text);
}

static void walk_chunk(struct codec *c, struct wire_store *m) {
    walk_place(c, m);
    codec_u32(c, &m->chunk);
    codec_choice(c, &m->state, WIRE_STORE_COMING);
}

static void walk_wrong(struct codec *c, struct wire_store *m) {
    walk_place(c, m);
    codec_u32(c, &m->chunk);
}

static void walk_chain(struct codec *c, struct wire_store *m) {
    walk_place(c, m);
    codec_u32(c, &m->chunk);
    codec_bytes(c, m->hash, sizeof m->hash);
}

static void walk(struct codec *c, struct wire_store *m) {
    codec_u64(c, &m->request);
    switch (m->type) {
    case WIRE_STORE_MODEL_GET: walk_model(c, m); break;
    case WIRE_STORE_MODEL: walk_answer(c, m); break;
    case WIRE_STORE_MAP_GET:
    case WIRE_STORE_MAP: walk_place(c, m); break;
    case WIRE_STORE_CHUNK_GET:
    case WIRE_STORE_CHUNK: walk_chunk(c, m); break;
    case WIRE_STORE_HOLD: walk_hold(c, m); break;
    case WIRE_STORE_PROGRESS: walk_progress(c, m); break;
    case WIRE_STORE_CHAIN: walk_chain(c, m); break;
    case WIRE_STORE_VERIFIED:
        walk_place(c, m);
        codec_choice(c, &m->state, WIRE_STORE_HERE);
        break;
    case WIRE_STORE_SHARE_GET:
        walk_model(c, m);
        codec_choice(c, &m->state, 1);
        break;
    case WIRE_STORE_SHARE: walk_progress(c, m); break;
    case WIRE_STORE_WRONG: walk_wrong(c, m); break;
    default: c->failed = true; break;
    }
}

/* Bytes that may stand behind the fixed part. */
static uint32_t bytes_max(enum wire_store_type type) {
    switch (type) {
    case WIRE_STORE_MODEL: return WIRE_STORE_MANIFEST_BYTES_MAX;
    case WIRE_STORE_MAP: return WIRE_STORE_MAP_BYTES_MAX;
    case WIRE_STORE_CHUNK: return WIRE_STORE_CHUNK_BYTES_MAX;
    default: return 0;
    }
}

size_t wire_store_encode(struct wire_store *m, uint8_t *head, size_t capacity) {
    struct codec measure = {.mode = CODEC_MEASURE};
    walk(&measure, m);
    assert(!codec_failed(&measure) && m->len <= bytes_max(m->type));
    struct codec c = {.mode = CODEC_WRITE, .writer = bytes_writer(head, capacity)};
    bytes_put_u32(&c.writer, (uint32_t)measure.measured + m->len);
    bytes_put_u16(&c.writer, (uint16_t)m->type);
    bytes_put_u16(&c.writer, 0);
    walk(&c, m);
    assert(!codec_failed(&c));
    return c.writer.len;
}

int wire_store_decode(struct wire_store *m, const uint8_t *frame, size_t len, struct error *error) {
    memset(m, 0, sizeof *m);
    struct codec c = {.mode = CODEC_READ, .reader = bytes_reader(frame, len)};
    uint32_t length = bytes_u32(&c.reader);
    m->type = bytes_u16(&c.reader);
    uint16_t flags = bytes_u16(&c.reader);
    walk(&c, m);
    bool whole = !codec_failed(&c) && flags == 0 && length == len - WIRE_HEADER_BYTES;
    if (!whole || c.reader.left > bytes_max(m->type))
        return error_set(error, ERR_INVALID, "malformed frame of type %u (%zu bytes) on a store link",
                         (unsigned)m->type, len);
    m->len = (uint32_t)c.reader.left;
    m->bytes = c.reader.at;
    return 0;
}
