/* Messages and frames: what is written is what is read, and nothing malformed gets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "base/size.h"
#include "wire/step.h"
#include "wire/wire.h"

static const enum wire_type control_types[] = {
    WIRE_HELLO,           WIRE_HEARTBEAT,    WIRE_FACTS,      WIRE_PEERS,       WIRE_GOODBYE,       WIRE_NEW_SECRET,
    WIRE_MODEL_QUERY,     WIRE_MODEL_ANSWER, WIRE_HEADER_GET, WIRE_HEADER_DATA, WIRE_RESERVE,       WIRE_RESERVE_OK,
    WIRE_RESERVE_REFUSED, WIRE_RELEASE,      WIRE_COMMIT,     WIRE_LOAD,        WIRE_LOAD_PROGRESS, WIRE_LOADED,
    WIRE_LOAD_FAILED,     WIRE_UNLOAD,       WIRE_STOP,       WIRE_INSTANCE,    WIRE_JOB_SUBMIT,    WIRE_JOB_TOKENS,
    WIRE_MEASURE,         WIRE_JOB_END,      WIRE_JOB_CANCEL, WIRE_JOB_ROWS,
};

static struct wire_plan a_plan(uint32_t stages) {
    struct wire_plan plan = {
        .context = 4096, .parallel = 4, .replicas = 2, .layer_count = stages * 3, .stage_count = stages,
        .member_count = stages};
    memcpy(plan.model, "smollm2:135m", 13);
    for (uint32_t i = 0; i < stages; i++) {
        plan.stages[i] = (struct wire_stage){i * 3, i * 3 + 3, i, 1};
        plan.members[i] = (struct wire_member){.node = 10 + i, .share = WIRE_SHARE_ONE, .weights_bytes = 1000 + i};
    }
    return plan;
}

/* A message of the type with every array in use. */
static void fill(struct wire_message *m, enum wire_type type) {
    static uint32_t tokens[] = {1, 2, 0xffffffff};
    static uint8_t chunk[] = {9, 8, 7};
    static struct wire_bias biases[] = {{7, -100.0f}, {9, 1.5f}};
    static struct wire_peer peers[] = {{.id = 1, .boot = 2, .address = {.port = 3}}, {.id = 4, .boot = 5}};
    memset(m, 0, sizeof *m);
    m->type = type;
    if (type == WIRE_HELLO) m->hello = (struct wire_hello){.id = 7, .boot = 8, .name = "caf\xc3\xa9", .member_to = 3};
    if (type == WIRE_HEARTBEAT) m->heartbeat.readings = (struct wire_readings){47000, 35500};
    if (type == WIRE_FACTS)
        m->facts = (struct wire_facts){.memory_total = 1ull << 40, .device_count = 2, .link_count = 3};
    if (type == WIRE_MEASURE) m->measure = (struct wire_measure){7, 2, {10, 11}};
    if (type == WIRE_PEERS) m->peers = (struct wire_peers){2, peers};
    if (type == WIRE_HEADER_DATA) m->header_data = (struct wire_header_data){1, 2, 3, sizeof chunk, chunk};
    if (type == WIRE_RESERVE) m->reserve.plan = a_plan(64);
    if (type == WIRE_INSTANCE) m->instance.plan = a_plan(2);
    if (type == WIRE_LOAD) m->subject = (struct wire_subject){1, {2, 3}, 4};
    if (type == WIRE_JOB_SUBMIT)
        m->job_submit = (struct wire_job_submit){.job = 1,
                                                 .sampling = {.temperature = 0.5f},
                                                 .prompt_count = 3,
                                                 .stop_count = 2,
                                                 .prompt = tokens,
                                                 .stops = tokens,
                                                 .row_count = 2,
                                                 .generated = 1,
                                                 .grammar = {WIRE_GRAMMAR_SCHEMA, sizeof chunk, chunk},
                                                 .kind = WIRE_JOB_LOGITS,
                                                 .logprobs = 3,
                                                 .bias_count = 2,
                                                 .biases = biases,
                                                 .client = 77,
                                                 .keep_alive_s = 300};
    if (type == WIRE_JOB_ROWS) m->job_rows = (struct wire_job_rows){1, 1, 7, 4, sizeof chunk, chunk};
    if (type == WIRE_JOB_TOKENS) m->job_tokens = (struct wire_job_tokens){1, 1, 0, 3, tokens};
    if (type == WIRE_JOB_END) m->job_end = (struct wire_job_end){.code = -14, .text = "node b2 was lost"};
}

static void test_messages_come_back(void **state) {
    for (size_t i = 0; i < ARRAY_LEN(control_types); i++) {
        struct wire_message m, back;
        struct arena arena = {0};
        fill(&m, control_types[i]);
        size_t len = wire_size(&m);
        uint8_t *frame = malloc(len), *again = malloc(len);
        assert_int_equal(wire_encode(&m, frame, len), len);
        assert_int_equal(wire_decode(&back, frame, len, &arena, NULL), 0);
        assert_int_equal(wire_size(&back), len);
        wire_encode(&back, again, len);
        assert_memory_equal(frame, again, len);
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(wire_decode(&back, frame, cut, &arena, NULL), ERR_INVALID);
        arena_deinit(&arena);
        free(frame);
        free(again);
    }
}

static void test_trailing_bytes(void **state) {
    struct wire_message m, back;
    struct arena arena = {0};
    uint8_t frame[1024] = {0};
    fill(&m, WIRE_HEARTBEAT);
    size_t len = wire_encode(&m, frame, sizeof frame);
    frame[0]++;
    assert_int_equal(wire_decode(&back, frame, len + 1, &arena, NULL), ERR_INVALID);
    fill(&m, WIRE_HELLO); /* a later version may say more */
    len = wire_encode(&m, frame, sizeof frame);
    frame[0]++;
    assert_int_equal(wire_decode(&back, frame, len + 1, &arena, NULL), 0);
    assert_string_equal(back.hello.name, "caf\xc3\xa9");
    arena_deinit(&arena);
}

static void test_text_is_made_printable(void **state) {
    struct wire_message m, back;
    struct arena arena = {0};
    uint8_t frame[1024];
    fill(&m, WIRE_GOODBYE);
    snprintf(m.goodbye.text, sizeof m.goodbye.text, "%s",
             "a\x1b[2Jb\xff"
             "c\xe2\x82");
    size_t len = wire_encode(&m, frame, sizeof frame);
    assert_int_equal(wire_decode(&back, frame, len, &arena, NULL), 0);
    assert_string_equal(back.goodbye.text, "a?[2Jb?c??");
    arena_deinit(&arena);
}

static void test_header_rules(void **state) {
    struct wire_header h;
    uint8_t step[] = {0, 0, 0, 1, 128, 0, 0, 0}, flags[] = {0, 0, 0, 0, 2, 0, 1, 0}, big[] = {1, 0, 16, 0, 2, 0, 0, 0};
    assert_int_equal(wire_header_decode(&h, step, WIRE_DATA, NULL), 0);
    assert_int_equal(h.length, 1 << 24);
    assert_int_equal(wire_header_decode(&h, step, WIRE_CONTROL, NULL), ERR_INVALID);
    assert_int_equal(wire_header_decode(&h, flags, WIRE_CONTROL, NULL), ERR_INVALID);
    assert_int_equal(wire_header_decode(&h, big, WIRE_CONTROL, NULL), ERR_INVALID);
}

static void test_plan_rules(void **state) {
    struct wire_plan good = a_plan(3);
    assert_true(wire_plan_valid(&good));
    struct wire_plan gap = good, share = good, order = good, huge = good;
    gap.stages[1].layer_begin++;
    share.members[2].share--;
    order.stages[2].member_begin = 1;
    huge.members[0].kv_bytes = UINT64_MAX;
    assert_false(wire_plan_valid(&gap));
    assert_false(wire_plan_valid(&share));
    assert_false(wire_plan_valid(&order));
    assert_false(wire_plan_valid(&huge));
    assert_int_equal(wire_plan_member(&good, 12), 2);
    assert_int_equal(wire_plan_member(&good, 99), -1);
    assert_int_equal(wire_plan_stage(&good, 2), 2);
    struct wire_plan other = good;
    assert_true(wire_plan_hash(&good) == wire_plan_hash(&other));
    other.members[1].weights_bytes++;
    assert_true(wire_plan_hash(&good) != wire_plan_hash(&other));
}

static void test_step_comes_back(void **state) {
    struct wire_step s = {
        .type = WIRE_STEP, .instance = 5, .epoch = {6, 7}, .number = 8, .row_count = 2, .page_count = 1, .width = 3};
    float hidden[6] = {1, 2, 3, 4, 5, -0.0f};
    uint8_t frame[1024], *rows, *pages, *payload;
    size_t len = wire_step_bytes(&s);
    wire_step_encode(&s, frame, sizeof frame, &rows, &pages, &payload);
    wire_step_put_row(rows, 0, &(struct wire_row){1, 2, 3, WIRE_ROW_WANTS_LOGITS});
    wire_step_put_row(rows, 1, &(struct wire_row){4, 5, 6, 0});
    wire_step_put_page(pages, 0, &(struct wire_page){7, 8, 9, 10, 11, 12});
    memcpy(payload, hidden, sizeof hidden);
    struct wire_step back;
    assert_int_equal(wire_step_decode(&back, frame, len, NULL), 0);
    assert_int_equal(wire_step_row(&back, 1).token, 6);
    assert_int_equal(wire_step_page(&back, 0).page, 9);
    assert_int_equal(wire_step_page(&back, 0).from, 10);
    assert_int_equal(wire_step_page(&back, 0).slot_from, 12);
    assert_memory_equal(back.hidden, hidden, sizeof hidden);
    assert_int_equal(back.epoch.node, 7);
    for (size_t cut = 0; cut < len; cut++) assert_int_equal(wire_step_decode(&back, frame, cut, NULL), ERR_INVALID);
    frame[8 + 48] = 3; /* one more row than there is */
    assert_int_equal(wire_step_decode(&back, frame, len, NULL), ERR_INVALID);
}

static void test_step_failed_comes_back(void **state) {
    struct wire_step_failed f = {
        .instance = 1, .epoch = {2, 3}, .number = 4, .code = -6, .text = "position 9 is not mapped"};
    struct wire_step_failed back;
    uint8_t frame[WIRE_STEP_FAILED_BYTES_MAX];
    size_t len = wire_step_failed_encode(&f, frame, sizeof frame);
    assert_int_equal(wire_step_failed_decode(&back, frame, len, NULL), 0);
    assert_memory_equal(&f, &back, sizeof f);
    assert_int_equal(wire_step_failed_decode(&back, frame, len - 1, NULL), ERR_INVALID);
}

static void test_exchange_comes_back(void **state) {
    uint8_t frame[WIRE_EXCHANGE_HEAD_BYTES + 5] = {0};
    struct wire_exchange e = {.type = WIRE_COLUMNS, .number = 7, .len = 5}, back;
    wire_exchange_encode(&e, frame);
    memcpy(frame + WIRE_EXCHANGE_HEAD_BYTES, "hello", 5);
    assert_int_equal(wire_exchange_decode(&back, frame, sizeof frame, NULL), 0);
    assert_true(back.type == WIRE_COLUMNS && back.number == 7 && back.len == 5 && memcmp(back.bytes, "hello", 5) == 0);
    for (size_t cut = 0; cut < sizeof frame; cut++)
        assert_int_equal(wire_exchange_decode(&back, frame, cut, NULL), ERR_INVALID);
    struct wire_step step = {.type = WIRE_STEP_RESULT};
    uint8_t other[256], *rows, *pages, *hidden;
    wire_step_encode(&step, other, sizeof other, &rows, &pages, &hidden);
    assert_int_equal(wire_exchange_decode(&back, other, wire_step_bytes(&step), NULL), ERR_INVALID);
}

static void test_beacon_comes_back(void **state) {
    struct wire_beacon b = {1, 1, 2, 3, 4, 5}, back;
    uint8_t bytes[WIRE_BEACON_BYTES_MAX];
    size_t len = wire_beacon_encode(&b, bytes, sizeof bytes);
    assert_int_equal(wire_beacon_decode(&back, bytes, len, NULL), 0);
    assert_int_equal(back.port, 5);
    assert_int_equal(wire_beacon_decode(&back, bytes, len - 1, NULL), ERR_INVALID);
}

/* Damaged frames are refused or read as something that can be written again; never a crash. */
static void test_damaged_frames(void **state) {
    uint64_t random = 1;
    for (int round = 0; round < 20000; round++) {
        struct wire_message m, back;
        struct arena arena = {.used_max = 8 << 20};
        uint8_t frame[8192], again[8192];
        fill(&m, control_types[prng_below(&random, ARRAY_LEN(control_types))]);
        size_t len = wire_encode(&m, frame, sizeof frame);
        for (int hits = 0; hits < 3; hits++) frame[prng_below(&random, len)] = (uint8_t)prng_next(&random);
        if (wire_decode(&back, frame, len, &arena, NULL) == 0) assert_true(wire_encode(&back, again, sizeof again) > 0);
        arena_deinit(&arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_come_back),
        cmocka_unit_test(test_trailing_bytes),
        cmocka_unit_test(test_text_is_made_printable),
        cmocka_unit_test(test_header_rules),
        cmocka_unit_test(test_plan_rules),
        cmocka_unit_test(test_step_comes_back),
        cmocka_unit_test(test_step_failed_comes_back),
        cmocka_unit_test(test_exchange_comes_back),
        cmocka_unit_test(test_beacon_comes_back),
        cmocka_unit_test(test_damaged_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
