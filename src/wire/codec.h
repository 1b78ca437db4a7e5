/* One description of a message for both directions: walk its fields in the order of the wire, and they are measured,
 * written or read. So what one side writes is what the other side reads.
 *
 * A walk that runs out of bytes, or meets a count over its cap, is failed: from then on it gives zeroes. Private to
 * this room. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"

enum codec_mode { CODEC_MEASURE, CODEC_WRITE, CODEC_READ };

struct codec {
    enum codec_mode mode;
    size_t measured;            /* CODEC_MEASURE: bytes so far */
    struct bytes_writer writer; /* CODEC_WRITE */
    struct bytes_reader reader; /* CODEC_READ */
    struct arena *arena;        /* CODEC_READ: where arrays go */
    bool failed;                /* a rule other than the length was broken */
};

bool codec_reading(const struct codec *c);
bool codec_failed(const struct codec *c);

void codec_u16(struct codec *c, uint16_t *value);
void codec_u32(struct codec *c, uint32_t *value);
void codec_u64(struct codec *c, uint64_t *value);
void codec_i32(struct codec *c, int32_t *value);
/* A float that must be finite. */
void codec_f32(struct codec *c, float *value);
/* A u8 or u32 that must not pass `max`. */
void codec_choice(struct codec *c, uint8_t *value, uint8_t max);
void codec_count(struct codec *c, uint32_t *value, uint32_t max);
void codec_bytes(struct codec *c, void *data, size_t len);
/* u16 length and bytes of a NUL-terminated text in an array of `capacity`. Reading replaces what is not printable UTF-8
 * by '?', since people will see it. */
void codec_text(struct codec *c, char *text, size_t capacity);
/* Reading: `count` zeroed items of `size` bytes in the arena, if at least count * wire_size bytes are left. */
void *codec_array(struct codec *c, uint32_t count, size_t size, size_t wire_size);
void codec_u32_array(struct codec *c, uint32_t **values, uint32_t count);
