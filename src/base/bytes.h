/* Typed cursors over byte buffers, little-endian: every parser and every message goes through these.
 *
 * A cursor that runs out, or is asked for too much, is failed: from then on reads give zeroes and writes do
 * nothing, so callers check once at the end. Nothing is ever read through a cast pointer. Pure, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes_reader {
    const uint8_t *at;  /* next byte; the buffer is the caller's */
    size_t left;        /* bytes still to read */
    bool failed;        /* a read went past the end */
};

struct bytes_writer {
    uint8_t *data;   /* the caller's buffer */
    size_t len;      /* bytes written */
    size_t capacity; /* bytes available */
    bool failed;     /* a write did not fit */
};

struct bytes_reader bytes_reader(const void *data, size_t len);
uint8_t bytes_u8(struct bytes_reader *r);
uint16_t bytes_u16(struct bytes_reader *r);
uint32_t bytes_u32(struct bytes_reader *r);
uint64_t bytes_u64(struct bytes_reader *r);
float bytes_f32(struct bytes_reader *r);
double bytes_f64(struct bytes_reader *r);
/* A view of the next `len` bytes in the caller's buffer, or NULL when there are fewer. */
const uint8_t *bytes_take(struct bytes_reader *r, size_t len);
/* Copy the next `len` bytes to `out`, zeroes when there are fewer. */
void bytes_copy(struct bytes_reader *r, void *out, size_t len);
/* Nothing failed and nothing is left: how every complete message must end. */
bool bytes_done(const struct bytes_reader *r);

struct bytes_writer bytes_writer(void *data, size_t capacity);
void bytes_put_u8(struct bytes_writer *w, uint8_t value);
void bytes_put_u16(struct bytes_writer *w, uint16_t value);
void bytes_put_u32(struct bytes_writer *w, uint32_t value);
void bytes_put_u64(struct bytes_writer *w, uint64_t value);
void bytes_put_f32(struct bytes_writer *w, float value);
void bytes_put(struct bytes_writer *w, const void *data, size_t len);
