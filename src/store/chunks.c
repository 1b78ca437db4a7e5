#include "store/chunks.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { CHUNKS_AIM = 131072, STATE_MAX = CHUNK_VERIFIED, CHAINED_BIT = 4 };

static const char magic[8] = "CRVNMAP1";

uint32_t chunks_bytes_for(uint64_t model_bytes) {
    uint32_t size = CHUNKS_BYTES_MIN;
    while (size < CHUNKS_BYTES_MAX && model_bytes / size > CHUNKS_AIM) size *= 2;
    return size;
}

int chunks_init(struct chunks *c, uint64_t bytes, uint32_t chunk_bytes) {
    *c = (struct chunks){.bytes = bytes, .chunk_bytes = chunk_bytes};
    if (bytes > CHUNKS_FILE_BYTES_MAX) return ERR_LIMIT;
    c->count = (uint32_t)((bytes + c->chunk_bytes - 1) / c->chunk_bytes);
    c->items = calloc(c->count + 1, sizeof *c->items);
    c->sums.unproven = c->count;
    return c->items ? 0 : ERR_NOMEM;
}

void chunks_deinit(struct chunks *c) {
    free(c->items);
    *c = (struct chunks){0};
}

uint32_t chunks_size(const struct chunks *c, uint32_t index) {
    uint64_t left = c->bytes - (uint64_t)index * c->chunk_bytes;
    return left < c->chunk_bytes ? (uint32_t)left : c->chunk_bytes;
}

/* ---- what changes ---- */

static bool is_missing(const struct chunks *c, uint32_t index, bool reserved) {
    const struct chunk *k = &c->items[index];
    return k->wanted && !k->busy && k->reserved == reserved && !chunks_full(c, index);
}

/* Out of the sums (times -1, in the arithmetic of unsigned numbers), or into them. */
static void weigh(struct chunks *c, uint32_t index, uint32_t sign) {
    const struct chunk *k = &c->items[index];
    struct chunks_sums *s = &c->sums;
    uint64_t times = sign == 1 ? 1 : UINT64_MAX;
    uint32_t size = chunks_size(c, index);
    s->have_bytes += times * k->have;
    s->unproven += sign * (k->state != CHUNK_VERIFIED && !k->expected);
    if (!k->wanted) return;
    s->wanted_bytes += times * size;
    s->missing_bytes += times * (size - k->have);
    s->open += sign * (k->state == CHUNK_OPEN);
    s->unverified += sign * (k->state != CHUNK_VERIFIED);
}

static struct chunk *take_out(struct chunks *c, uint32_t index) {
    weigh(c, index, UINT32_MAX);
    return &c->items[index];
}

static void put_back(struct chunks *c, uint32_t index) {
    weigh(c, index, 1);
    if (index < c->next && is_missing(c, index, false)) c->next = index;
    if (index < c->next_given && is_missing(c, index, true)) c->next_given = index;
}

void chunks_set_have(struct chunks *c, uint32_t index, uint32_t bytes) {
    take_out(c, index)->have = bytes;
    put_back(c, index);
}

void chunks_set_state(struct chunks *c, uint32_t index, enum chunk_state state) {
    take_out(c, index)->state = (uint8_t)state;
    put_back(c, index);
}

void chunks_set_expected(struct chunks *c, uint32_t index, bool expected) {
    take_out(c, index)->expected = expected;
    put_back(c, index);
}

void chunks_set_wanted(struct chunks *c, uint32_t index) {
    take_out(c, index)->wanted = true;
    put_back(c, index);
}

void chunks_set_busy(struct chunks *c, uint32_t index, bool busy) {
    take_out(c, index)->busy = busy;
    put_back(c, index);
}

void chunks_set_reserved(struct chunks *c, uint32_t index, bool reserved) {
    take_out(c, index)->reserved = reserved;
    put_back(c, index);
}

static void count_all(struct chunks *c) {
    c->sums = (struct chunks_sums){0};
    c->next = c->next_given = 0;
    for (uint32_t i = 0; i < c->count; i++) weigh(c, i, 1);
}

/* ---- on disk ---- */

size_t chunks_record_offset(uint32_t index) { return CHUNKS_HEADER_BYTES + (size_t)index * CHUNKS_RECORD_BYTES; }

size_t chunks_map_bytes(const struct chunks *c) { return chunks_record_offset(c->count); }

void chunks_write_header(const struct chunks *c, uint8_t out[CHUNKS_HEADER_BYTES]) {
    memset(out, 0, CHUNKS_HEADER_BYTES);
    struct bytes_writer w = bytes_writer(out, CHUNKS_HEADER_BYTES);
    bytes_put(&w, magic, sizeof magic);
    bytes_put_u64(&w, c->bytes);
    bytes_put_u32(&w, c->chunk_bytes);
    bytes_put_u32(&w, c->count);
}

void chunks_write_record(const struct chunks *c, uint32_t index, uint8_t out[CHUNKS_RECORD_BYTES]) {
    const struct chunk *k = &c->items[index];
    struct bytes_writer w = bytes_writer(out, CHUNKS_RECORD_BYTES);
    bytes_put_u32(&w, k->have);
    bytes_put_u32(&w, k->state | (k->chained ? CHAINED_BIT : 0));
    bytes_put(&w, k->hash, sizeof k->hash);
}

static bool read_record(struct bytes_reader *r, uint32_t size, struct chunk *out) {
    uint32_t have = bytes_u32(r), state = bytes_u32(r);
    bytes_copy(r, out->hash, sizeof out->hash);
    out->chained = state & CHAINED_BIT;
    state &= ~(uint32_t)CHAINED_BIT;
    if (have > size || state > STATE_MAX || (state > CHUNK_OPEN && have != size)) return false;
    out->have = have;
    out->state = (uint8_t)state;
    out->expected = out->chained && state == CHUNK_OPEN; /* what is kept of a chunk that is not here */
    return true;
}

/* Without the state before them, the states behind chunks say nothing. */
static void forget_loose_states(struct chunks *c) {
    for (uint32_t i = 1; i < c->count; i++) {
        struct chunk *k = &c->items[i];
        if (!k->chained || c->items[i - 1].chained) continue;
        k->chained = k->expected = false;
        k->state = CHUNK_OPEN;
    }
}

int chunks_read(struct chunks *c, const uint8_t *map, size_t len, struct error *error) {
    struct bytes_reader r = bytes_reader(map, len);
    const uint8_t *front = bytes_take(&r, sizeof magic);
    bool good = front && memcmp(front, magic, sizeof magic) == 0 && len == chunks_map_bytes(c);
    good = good && bytes_u64(&r) == c->bytes && bytes_u32(&r) == c->chunk_bytes && bytes_u32(&r) == c->count;
    bytes_take(&r, CHUNKS_HEADER_BYTES - 24);
    for (uint32_t i = 0; good && i < c->count; i++) good = read_record(&r, chunks_size(c, i), &c->items[i]);
    if (good) forget_loose_states(c);
    if (!good) memset(c->items, 0, c->count * sizeof *c->items);
    count_all(c);
    if (good) return 0;
    return error_set(error, ERR_INVALID, "the map of the file's chunks is damaged or belongs to another file");
}

bool chunks_adopt(struct chunks *c, const uint8_t *map, size_t len) {
    struct bytes_reader r = bytes_reader(map, len);
    struct chunks before;
    bytes_take(&r, sizeof magic + sizeof before.bytes);
    uint32_t size = bytes_u32(&r);
    bool power = size >= CHUNKS_BYTES_MIN && size <= CHUNKS_BYTES_MAX && (size & (size - 1)) == 0;
    if (len < CHUNKS_HEADER_BYTES || !power || chunks_init(&before, c->bytes, size) < 0) return false;
    bool good = chunks_read(&before, map, len, NULL) == 0;
    for (uint32_t i = 0; good && i < before.count; i++) chunks_fill(c, (uint64_t)i * size, before.items[i].have);
    chunks_deinit(&before);
    return good;
}

/* ---- what is here ---- */

bool chunks_full(const struct chunks *c, uint32_t index) { return c->items[index].have == chunks_size(c, index); }

uint64_t chunks_have_bytes(const struct chunks *c) { return c->sums.have_bytes; }

const uint8_t *chunks_state_before(const struct chunks *c, uint32_t index) {
    return index > 0 ? c->items[index - 1].hash : NULL;
}

uint64_t chunks_prefix(const struct chunks *c) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        sum += c->items[i].have;
        if (!chunks_full(c, i)) break;
    }
    return sum;
}

void chunks_fill(struct chunks *c, uint64_t offset, uint64_t len) {
    while (len > 0 && offset < c->bytes) {
        uint32_t index = (uint32_t)(offset / c->chunk_bytes), within = (uint32_t)(offset % c->chunk_bytes);
        uint64_t room = chunks_size(c, index) - within, step = len < room ? len : room;
        if (within == c->items[index].have) chunks_set_have(c, index, within + (uint32_t)step);
        offset += step;
        len -= step;
    }
}

void chunks_drop(struct chunks *c, uint32_t index) {
    c->items[index].drops++;
    chunks_set_have(c, index, 0);
    chunks_set_state(c, index, CHUNK_OPEN);
}

/* ---- what is wanted ---- */

void chunks_want(struct chunks *c, uint64_t offset, uint64_t len) {
    if (len == 0 || offset >= c->bytes) return;
    if (len > c->bytes - offset) len = c->bytes - offset;
    for (uint64_t i = offset / c->chunk_bytes; i <= (offset + len - 1) / c->chunk_bytes; i++)
        chunks_set_wanted(c, (uint32_t)i);
}

uint64_t chunks_wanted_bytes(const struct chunks *c) { return c->sums.wanted_bytes; }
uint64_t chunks_missing_bytes(const struct chunks *c) { return c->sums.missing_bytes; }
bool chunks_satisfied(const struct chunks *c) { return c->sums.open == 0; }
bool chunks_verified(const struct chunks *c) { return c->sums.unverified == 0; }

bool chunks_next_run(struct chunks *c, uint64_t bytes_max, uint64_t *offset, uint64_t *len) {
    while (c->next < c->count && !is_missing(c, c->next, false)) c->next++;
    uint32_t end = c->next;
    if (end == c->count) return false;
    *offset = (uint64_t)end * c->chunk_bytes + c->items[end].have;
    *len = 0;
    do {
        *len += chunks_size(c, end) - c->items[end].have;
        chunks_set_busy(c, end, true);
        end++; /* a run ends before a chunk that is begun: its bytes would come twice */
    } while (end < c->count && *len < bytes_max && is_missing(c, end, false) && c->items[end].have == 0);
    c->next = end;
    return true;
}

bool chunks_next_given(struct chunks *c, uint32_t *index) {
    while (c->next_given < c->count && !is_missing(c, c->next_given, true)) c->next_given++;
    if (*index < c->next_given) *index = c->next_given;
    while (*index < c->count && !is_missing(c, *index, true)) ++*index;
    return *index < c->count;
}

void chunks_release(struct chunks *c, uint64_t offset, uint64_t len) {
    if (len == 0) return;
    for (uint64_t i = offset / c->chunk_bytes; i <= (offset + len - 1) / c->chunk_bytes && i < c->count; i++)
        chunks_set_busy(c, (uint32_t)i, false);
}
