/* A transfer whose hub, disk, hasher and other nodes are played: which bytes are fetched, which are hashed and how
 * often, and what is found wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <nettle/sha2.h>

#include "store/transfer.h"

enum { CHUNKS = 37, BYTES = CHUNKS * CHUNKS_BYTES_MIN - 1000, PIECE = 50000, MAP_BYTES = 64 + 40 * CHUNKS };

/* One file on its way to a disk. */
struct place {
    uint8_t right[BYTES], disk[BYTES], map[MAP_BYTES];
    struct transfer transfer;
    struct transfer_effects effects;
    struct transfer_effect streams[TRANSFER_STREAMS_MAX], checks[16 * CHUNKS];
    size_t check_count;
    struct sha256_ctx chain;
    uint64_t fetched, hashed;
    unsigned wrong, flips; /* chunks that a giver is blamed for; pieces of the hub that come with a wrong byte */
    uint32_t wrong_chunk;
};

static struct chunks *chunks_of(struct place *p) { return &p->transfer.files[0].chunks; }

static void arrive(struct place *p) {
    struct manifest m = {0};
    struct listing_file file = {.path = "m.gguf", .bytes = BYTES, .hashed = true};
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, BYTES, p->right);
    sha256_digest(&sha, sizeof file.sha256, file.sha256);
    m.files = &file;
    m.file_count = 1;
    assert_int_equal(transfer_init(&p->transfer, &m, 1, NULL), 0);
}

static struct place *new_place(void) {
    struct place *p = calloc(1, sizeof *p);
    for (size_t i = 0; i < BYTES; i++) p->right[i] = (uint8_t)(i * 2654435761u >> 13);
    arrive(p);
    return p;
}

static void free_place(struct place *p) {
    transfer_deinit(&p->transfer);
    transfer_effects_deinit(&p->effects);
    free(p);
}

/* ---- what the driver does ---- */

static void keep_record(struct place *p, const struct transfer_effect *e) {
    chunks_write_header(chunks_of(p), p->map);
    for (uint32_t i = e->chunk; i < e->chunk + e->count; i++)
        chunks_write_record(chunks_of(p), i, p->map + chunks_record_offset(i));
}

static void carry_out(struct place *p) {
    for (size_t i = 0; i < p->effects.count; i++) {
        struct transfer_effect e = p->effects.items[i];
        if (e.type == TRANSFER_RECORD) keep_record(p, &e);
        if (e.type == TRANSFER_FETCH) p->streams[e.stream] = e;
        if (e.type == TRANSFER_STOP) p->streams[e.stream].len = 0;
        if (e.type == TRANSFER_CHECK) p->checks[p->check_count++] = e;
        p->wrong += e.type == TRANSFER_WRONG;
        if (e.type == TRANSFER_WRONG) p->wrong_chunk = e.chunk;
    }
    p->effects.count = 0;
}

static void set_state(struct sha256_ctx *sha, const uint8_t *state, uint64_t offset) {
    sha256_init(sha);
    sha->count = offset / SHA256_BLOCK_SIZE;
    for (size_t i = 0; state && i < 32; i++) sha->state[i / 4] = sha->state[i / 4] << 8 | state[i];
}

static void get_state(struct sha256_ctx *sha, bool last, uint8_t out[32]) {
    if (last) sha256_digest(sha, 32, out);
    for (size_t i = 0; !last && i < 32; i++) out[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
}

static void hash_chunk(struct place *p) {
    struct transfer_effect e = p->checks[0];
    struct sha256_ctx own, alone, *file = e.chain ? &p->chain : &alone;
    uint8_t hash[32] = {0}, state[32] = {0};
    uint64_t offset = (uint64_t)e.chunk * CHUNKS_BYTES_MIN;
    uint32_t len = chunks_size(chunks_of(p), e.chunk);
    memmove(p->checks, p->checks + 1, --p->check_count * sizeof e);
    sha256_init(&own);
    if (!e.chain || e.chunk == 0) set_state(file, e.chain ? NULL : chunks_state_before(chunks_of(p), e.chunk), offset);
    sha256_update(&own, len, p->disk + offset);
    sha256_update(file, len, p->disk + offset);
    p->hashed += e.hash ? len : 0;
    p->hashed += e.chain || e.state ? len : 0;
    if (e.hash) sha256_digest(&own, 32, hash);
    if (e.chain || e.state) get_state(file, e.chunk + 1 == CHUNKS, state);
    transfer_checked(&p->transfer, &e, 0, hash, state, 0, &p->effects);
}

static void feed(struct place *p, unsigned number) {
    struct transfer_effect *s = &p->streams[number];
    uint64_t len = s->len < PIECE ? s->len : PIECE;
    memcpy(p->disk + s->offset, p->right + s->offset, len);
    if (p->flips > 0) p->disk[s->offset + len / 2] ^= 1;
    p->flips -= p->flips > 0;
    p->fetched += len;
    s->offset += len;
    s->len -= len;
    transfer_bytes(&p->transfer, number, len, 0, &p->effects);
    if (s->len == 0) transfer_ended(&p->transfer, number, &(struct transfer_outcome){.status = 206}, 0, &p->effects);
}

/* Streams bring pieces in turns, the later ones first; false: nothing is left to do. */
static bool step(struct place *p) {
    carry_out(p);
    if (p->check_count > 0) {
        hash_chunk(p);
        return true;
    }
    bool any = false;
    for (unsigned i = TRANSFER_STREAMS_MAX; i-- > 0;) {
        if (!p->transfer.streams[i].active || p->streams[i].len == 0) continue;
        feed(p, i);
        carry_out(p);
        any = true;
    }
    transfer_tick(&p->transfer, 0, &p->effects);
    carry_out(p);
    return any || p->check_count > 0;
}

static void run_until_idle(struct place *p) {
    while (step(p)) continue;
}

static void begin(struct place *p, bool whole) {
    if (whole) transfer_want_all(&p->transfer);
    transfer_start(&p->transfer, 0, &p->effects);
}

/* What a program that was killed finds again. */
static void restart(struct place *p) {
    transfer_deinit(&p->transfer);
    p->effects.count = p->check_count = 0;
    p->fetched = p->hashed = 0;
    memset(p->streams, 0, sizeof p->streams);
    arrive(p);
    assert_int_equal(chunks_read(chunks_of(p), p->map, sizeof p->map, NULL), 0);
}

static void assert_right(struct place *p) {
    assert_true(transfer_done(&p->transfer));
    assert_memory_equal(p->disk, p->right, BYTES);
}

static struct place *pulled(void) {
    struct place *p = new_place();
    begin(p, true);
    run_until_idle(p);
    return p;
}

/* ---- the cases ---- */

static void each_byte_is_hashed_once(void **state) {
    struct place *p = pulled();
    assert_right(p);
    assert_int_equal(p->fetched, BYTES);
    assert_int_equal(p->hashed, BYTES);
    for (uint32_t i = 0; i < CHUNKS; i++) assert_int_equal(chunks_of(p)->items[i].state, CHUNK_VERIFIED);
    free_place(p);
}

/* What came before anybody said that all is wanted has a hash of its own. */
static void a_header_that_was_hashed_joins_the_chain(void **state) {
    struct place *p = new_place();
    transfer_want(&p->transfer, 0, 0, 3 * CHUNKS_BYTES_MIN);
    begin(p, false);
    run_until_idle(p);
    transfer_want_all(&p->transfer);
    run_until_idle(p);
    assert_right(p);
    assert_int_equal(p->hashed, BYTES + 3 * CHUNKS_BYTES_MIN);
    assert_true(chunks_of(p)->items[0].chained && chunks_of(p)->items[CHUNKS - 1].chained);
    free_place(p);
}

static void what_the_disk_changed_before_the_end_is_found_alone(void **state) {
    struct place *p = new_place();
    begin(p, true);
    while (p->fetched < BYTES / 2) step(p);
    uint64_t here = chunks_have_bytes(chunks_of(p));
    restart(p);
    p->disk[3 * CHUNKS_BYTES_MIN + 5] ^= 1;
    p->disk[5 * CHUNKS_BYTES_MIN + 5] ^= 1;
    begin(p, true);
    run_until_idle(p);
    assert_right(p);
    assert_int_equal(p->fetched, BYTES - here + 2 * CHUNKS_BYTES_MIN);
    assert_int_equal(p->transfer.mended, 2);
    free_place(p);
}

static void what_the_disk_changed_later_is_found_alone(void **state) {
    struct place *p = pulled();
    restart(p);
    p->disk[7 * CHUNKS_BYTES_MIN + 5] ^= 1;
    p->disk[BYTES - 1] ^= 1;
    begin(p, true);
    transfer_recheck(&p->transfer, 0, &p->effects);
    run_until_idle(p);
    assert_right(p);
    assert_int_equal(p->transfer.mended, 2);
    assert_int_equal(p->fetched, CHUNKS_BYTES_MIN + chunks_size(chunks_of(p), CHUNKS - 1));
    free_place(p);
}

static void a_wrong_byte_of_the_hub_is_noticed(void **state) {
    struct place *p = new_place();
    begin(p, true);
    p->flips = 1;
    run_until_idle(p);
    assert_right(p);
    assert_int_equal(p->fetched, 2 * (uint64_t)BYTES);
    free_place(p);
}

/* Another byte each time: the states that followed from the first one are no measure. */
static void a_chunk_that_stays_another_leaves_the_judgement_to_the_whole(void **state) {
    struct place *p = new_place();
    begin(p, true);
    while (p->fetched < BYTES / 2) step(p);
    restart(p);
    begin(p, true);
    for (unsigned i = 0; i < 5; i++) {
        while (!chunks_full(chunks_of(p), 4)) step(p);
        p->disk[4 * CHUNKS_BYTES_MIN + 5] = (uint8_t)~(p->right[4 * CHUNKS_BYTES_MIN + 5] + i);
        carry_out(p);
        while (p->check_count > 0) hash_chunk(p);
    }
    run_until_idle(p);
    assert_right(p);
    free_place(p);
}

static void a_map_without_a_beginning_is_no_measure(void **state) {
    struct place *p = pulled();
    memset(p->map + chunks_record_offset(2), 0, CHUNKS_RECORD_BYTES);
    restart(p);
    assert_int_equal(chunks_of(p)->items[1].state, CHUNK_VERIFIED);
    assert_int_equal(chunks_of(p)->items[3].state, CHUNK_OPEN);
    begin(p, true);
    run_until_idle(p);
    assert_right(p);
    assert_int_equal(p->fetched, CHUNKS_BYTES_MIN);
    free_place(p);
}

/* ---- from another node ---- */

static void give(struct place *p, uint32_t chunk, bool right) {
    uint64_t offset = (uint64_t)chunk * CHUNKS_BYTES_MIN;
    memcpy(p->disk + offset, p->right + offset, chunks_size(chunks_of(p), chunk));
    p->disk[offset + 9] ^= !right;
    transfer_given(&p->transfer, 0, chunk, 1, 0, &p->effects);
    run_until_idle(p);
}

static struct place *new_joiner(struct place *holder, bool whole) {
    struct place *p = new_place();
    for (uint32_t i = 0; i < CHUNKS; i++) chunks_set_reserved(chunks_of(p), i, true);
    begin(p, whole);
    transfer_learn(&p->transfer, 0, chunks_of(holder), &p->effects);
    carry_out(p);
    return p;
}

static void what_another_node_gives_is_hashed_once_and_believed(void **state) {
    struct place *holder = pulled(), *p = new_joiner(holder, true);
    for (uint32_t i = CHUNKS; i-- > 0;) give(p, i, true);
    assert_right(p);
    assert_int_equal(p->hashed, BYTES);
    assert_int_equal(p->fetched, 0);
    free_place(p);
    free_place(holder);
}

static void a_wrong_chunk_of_another_node_is_found_alone(void **state) {
    struct place *holder = pulled(), *p = new_joiner(holder, false);
    transfer_want(&p->transfer, 0, 9 * CHUNKS_BYTES_MIN, CHUNKS_BYTES_MIN);
    give(p, 9, false);
    assert_int_equal(p->wrong, 1);
    assert_int_equal(p->wrong_chunk, 9);
    assert_false(chunks_full(chunks_of(p), 9));
    give(p, 9, true);
    assert_int_equal(chunks_of(p)->items[9].state, CHUNK_VERIFIED);
    free_place(p);
    free_place(holder);
}

/* Who holds a part keeps, and tells, what it learned of the rest. */
static void a_part_stays_proven_and_proves_to_others(void **state) {
    struct place *holder = pulled(), *part = new_joiner(holder, false);
    transfer_want(&part->transfer, 0, 9 * CHUNKS_BYTES_MIN, CHUNKS_BYTES_MIN);
    give(part, 9, true);
    restart(part);
    assert_int_equal(chunks_of(part)->items[9].state, CHUNK_VERIFIED);
    struct place *p = new_joiner(part, false);
    give(p, 9, false);
    assert_int_equal(p->wrong, 1);
    free_place(p);
    free_place(part);
    free_place(holder);
}

/* A header that came from the hub before it was known what others have. */
static void what_is_here_is_compared_with_what_others_know(void **state) {
    struct place *holder = pulled(), *p = new_place();
    transfer_want(&p->transfer, 0, 0, 2 * CHUNKS_BYTES_MIN);
    begin(p, false);
    run_until_idle(p);
    assert_int_equal(chunks_of(p)->items[1].state, CHUNK_HASHED);
    p->disk[CHUNKS_BYTES_MIN + 1] ^= 1;
    transfer_learn(&p->transfer, 0, chunks_of(holder), &p->effects);
    run_until_idle(p);
    assert_int_equal(p->transfer.mended, 1);
    assert_int_equal(chunks_of(p)->items[0].state, CHUNK_VERIFIED);
    assert_int_equal(chunks_of(p)->items[1].state, CHUNK_VERIFIED);
    free_place(p);
    free_place(holder);
}

/* ---- other cuts ---- */

static void files_are_cut_as_small_as_the_model_allows(void **state) {
    static const struct {
        uint64_t bytes;
        uint32_t chunk;
    } cases[] = {{1, 64 << 10}, {8ull << 30, 64 << 10}, {(8ull << 30) + (64 << 10), 128 << 10},
                 {42ull << 30, 512 << 10}, {400ull << 30, 4 << 20}, {1ull << 44, 4 << 20}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(chunks_bytes_for(cases[i].bytes), cases[i].chunk);
    struct listing_file files[] = {{.path = "a.gguf", .bytes = 1000}, {.path = "b.gguf", .bytes = 42ull << 30}};
    struct manifest m = {.files = files, .file_count = 2};
    struct transfer t;
    assert_int_equal(transfer_init(&t, &m, 1, NULL), 0);
    assert_int_equal(t.files[0].chunks.chunk_bytes, 512 << 10);
    transfer_deinit(&t);
    files[0].bytes = files[1].bytes = UINT64_MAX;
    assert_int_equal(transfer_init(&t, &m, 1, NULL), ERR_LIMIT);
}

/* What was here under an earlier cut is here, unless it is in the middle of a larger chunk. */
static void a_map_of_another_cut_keeps_what_is_here(void **state) {
    const uint32_t small = CHUNKS_BYTES_MIN, large = 4 * CHUNKS_BYTES_MIN;
    struct chunks from, to;
    uint8_t map[64 + 40 * 64];
    for (int finer = 0; finer < 2; finer++) {
        assert_int_equal(chunks_init(&from, 33 * small + 5, finer ? large : small), 0);
        assert_int_equal(chunks_init(&to, 33 * small + 5, finer ? small : large), 0);
        chunks_fill(&from, 0, 6 * small);
        chunks_fill(&from, 32 * small, small + 5);
        if (!finer) chunks_fill(&from, 14 * small, small); /* in the middle of one */
        chunks_write_header(&from, map);
        for (uint32_t i = 0; i < from.count; i++) chunks_write_record(&from, i, map + chunks_record_offset(i));
        assert_true(chunks_map_bytes(&from) <= sizeof map);
        assert_int_equal(chunks_read(&to, map, chunks_map_bytes(&from), NULL), ERR_INVALID);
        assert_true(chunks_adopt(&to, map, chunks_map_bytes(&from)));
        assert_int_equal(chunks_have_bytes(&to), 7 * small + 5);
        assert_int_equal(chunks_prefix(&to), 6 * small);
        assert_false(chunks_adopt(&to, map, chunks_map_bytes(&from) - 1));
        map[16] ^= 1;
        assert_false(chunks_adopt(&to, map, chunks_map_bytes(&from)));
        chunks_deinit(&from);
        chunks_deinit(&to);
    }
}

/* ---- many chunks ---- */

/* Seconds of this thread to bring a file of so many chunks, half of them by another node; asked at each one how far it
 * is, as a driver does. */
static double seconds_for(uint32_t count, uint32_t chunk_bytes) {
    struct listing_file file = {.path = "m.gguf", .bytes = (uint64_t)count * chunk_bytes};
    struct manifest m = {.files = &file, .file_count = 1};
    struct transfer t;
    struct transfer_effects e = {0};
    const struct transfer_outcome good = {.status = 206};
    const uint8_t hash[CHUNKS_HASH_BYTES] = {0};
    clock_t begin = clock();
    assert_int_equal(transfer_init(&t, &m, 1, NULL), 0);
    struct chunks *c = &t.files[0].chunks;
    assert_int_equal(c->count, count);
    for (uint32_t i = 1; i < count; i += 2) chunks_set_reserved(c, i, true);
    transfer_want_all(&t);
    transfer_start(&t, 0, &e);
    for (uint32_t given = 0; !transfer_done(&t);) {
        for (size_t i = 0; i < e.count; i++) {
            struct transfer_effect now = e.items[i];
            if (now.type == TRANSFER_CHECK) transfer_checked(&t, &now, 0, hash, hash, 0, &e);
            if (now.type != TRANSFER_FETCH) continue;
            transfer_bytes(&t, now.stream, now.len, 0, &e);
            transfer_ended(&t, now.stream, &good, 0, &e);
        }
        e.count = 0;
        if (chunks_next_given(c, &given)) transfer_given(&t, 0, given, 1, 0, &e);
        assert_int_equal(transfer_deadline(&t) == UINT64_MAX, transfer_done(&t));
    }
    assert_int_equal(t.fetched_bytes, (uint64_t)count / 2 * chunk_bytes);
    assert_int_equal(transfer_missing_bytes(&t), 0);
    transfer_deinit(&t);
    transfer_effects_deinit(&e);
    return (double)(clock() - begin) / CLOCKS_PER_SEC;
}

/* 431 GB, as a model of 405 billion parameters has in eight bits, are 102,758 chunks. */
static void so_many_chunks_take_no_longer_each(void **state) {
    double few = seconds_for(12844, CHUNKS_BYTES_MIN), many = seconds_for(102758, CHUNKS_BYTES_MAX);
    print_message("12,844 chunks: %.3f s, 102,758: %.3f s\n", few, many);
    assert_true(many < 30 * few + 0.1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_is_hashed_once),
        cmocka_unit_test(a_header_that_was_hashed_joins_the_chain),
        cmocka_unit_test(what_the_disk_changed_before_the_end_is_found_alone),
        cmocka_unit_test(what_the_disk_changed_later_is_found_alone),
        cmocka_unit_test(a_wrong_byte_of_the_hub_is_noticed),
        cmocka_unit_test(a_chunk_that_stays_another_leaves_the_judgement_to_the_whole),
        cmocka_unit_test(a_map_without_a_beginning_is_no_measure),
        cmocka_unit_test(what_another_node_gives_is_hashed_once_and_believed),
        cmocka_unit_test(a_wrong_chunk_of_another_node_is_found_alone),
        cmocka_unit_test(a_part_stays_proven_and_proves_to_others),
        cmocka_unit_test(what_is_here_is_compared_with_what_others_know),
        cmocka_unit_test(files_are_cut_as_small_as_the_model_allows),
        cmocka_unit_test(a_map_of_another_cut_keeps_what_is_here),
        cmocka_unit_test(so_many_chunks_take_no_longer_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
