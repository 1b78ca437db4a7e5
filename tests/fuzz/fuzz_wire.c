/* Frames and beacons of a hostile peer: refused, or read as something that is written and read the same way again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/step.h"
#include "wire/store.h"
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_message(const uint8_t *data, size_t len) {
    struct arena arena = {.used_max = 64 << 20};
    struct wire_message first, second;
    if (wire_decode(&first, data, len, &arena, NULL) == 0) {
        size_t size = wire_size(&first);
        uint8_t *a = malloc(size), *b = malloc(size);
        wire_encode(&first, a, size);
        assert(wire_decode(&second, a, size, &arena, NULL) == 0 && wire_size(&second) == size);
        wire_encode(&second, b, size);
        assert(memcmp(a, b, size) == 0);
        free(a);
        free(b);
    }
    arena_deinit(&arena);
}

static void fuzz_step(const uint8_t *data, size_t len) {
    struct wire_step s;
    struct wire_step_failed failed;
    struct wire_exchange exchange;
    volatile uint32_t sum = 0; /* so that the reads are not left out */
    (void)sum;
    wire_step_failed_decode(&failed, data, len, NULL);
    if (wire_exchange_decode(&exchange, data, len, NULL) == 0)
        for (size_t i = 0; i < exchange.len; i++) sum += exchange.bytes[i];
    if (wire_step_decode(&s, data, len, NULL) != 0) return;
    assert(wire_step_bytes(&s) == len);
    for (uint32_t i = 0; s.type == WIRE_STEP && i < s.row_count; i++) sum += wire_step_row(&s, i).token;
    for (uint32_t i = 0; i < s.page_count; i++) sum += wire_step_page(&s, i).page;
}

static void fuzz_store(const uint8_t *data, size_t len) {
    struct wire_store first, second;
    uint8_t head[WIRE_STORE_HEAD_BYTES_MAX];
    if (wire_store_decode(&first, data, len, NULL) != 0) return;
    size_t head_len = wire_store_encode(&first, head, sizeof head), whole = head_len + first.len;
    uint8_t *frame = malloc(whole);
    memcpy(frame, head, head_len);
    if (first.len > 0) memcpy(frame + head_len, first.bytes, first.len);
    assert(wire_store_decode(&second, frame, whole, NULL) == 0 && second.len == first.len);
    assert(wire_store_encode(&second, head, sizeof head) == head_len && memcmp(head, frame, head_len) == 0);
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct wire_beacon beacon;
    fuzz_message(data, len);
    fuzz_step(data, len);
    fuzz_store(data, len);
    wire_beacon_decode(&beacon, data, len, NULL);
    return 0;
}
