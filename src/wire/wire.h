/* Messages between nodes: bytes <-> structs.
 *
 * A frame is an 8-byte header and a payload, little-endian. Control frames carry one of the messages below; data frames
 * (step.h) carry hidden states. One description per message serves both directions, every count and length is capped,
 * and a payload must end exactly where its message does (only hello and beacon may be longer: later versions append).
 * docs/protocol.md has the layout byte by byte. Pure; arrays come from the caller's arena. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "wire/message.h"

/* Header of a frame that arrives on a link of this kind. ERR_INVALID: type, flags or length that has no place there. */
int wire_header_decode(struct wire_header *h, const uint8_t bytes[WIRE_HEADER_BYTES], enum wire_link_kind kind,
                       struct error *error);
/* Bytes of the whole frame of a control message, header included. The message is not changed. */
size_t wire_size(struct wire_message *m);
/* Write the whole frame; `capacity` >= wire_size. Returns its bytes. */
size_t wire_encode(struct wire_message *m, uint8_t *frame, size_t capacity);
/* Read a whole control frame. Arrays are allocated in `arena`. ERR_INVALID says what is wrong with it. */
int wire_decode(struct wire_message *m, const uint8_t *frame, size_t len, struct arena *arena, struct error *error);
/* A beacon's bytes before the MAC. Returns their number; capacity >= WIRE_BEACON_BYTES_MAX. */
size_t wire_beacon_encode(struct wire_beacon *b, uint8_t *bytes, size_t capacity);
int wire_beacon_decode(struct wire_beacon *b, const uint8_t *bytes, size_t len, struct error *error);
