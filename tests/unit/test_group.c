/* Stages of several members in one process: real workers, joined by real links over loopback. Whatever the stages, the
 * members and their shares, the logits are the bits of one slice alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/size.h"
#include "engine/logits.h"
#include "net/link.h"
#include "node/worker.h"
#include "tcp_pair.h"
#include "tiny_file.h"

enum { MEMBERS_MAX = 6, CONTEXT = 256 };

/* Everything that a case runs, and what came back. */
struct group {
    uv_loop_t loop;
    struct mailbox mailbox;
    struct card *card;
    struct wire_plan plan;
    struct worker *workers[MEMBERS_MAX];
    uint32_t loaded;
    float *rows;
    uint32_t row_count, vocab;
    bool ended;
    char why[ERROR_TEXT_BYTES];
};

/* ---- links ---- */

static void link_pair(struct link *links[2]) {
    struct secret s;
    struct secret_keyring keys = {0};
    struct error error = {0};
    int fds[2];
    memset(s.bytes, 7, sizeof s.bytes);
    secret_keyring_rotate(&keys, &s);
    tcp_pair(fds);
    for (int i = 0; i < 2; i++)
        assert_int_equal(link_new(&links[i], fds[i], i ? LINK_SERVER : LINK_CLIENT, &keys,
                                  WIRE_DATA_BYTES_MAX + WIRE_HEADER_BYTES, &error),
                         0);
    while (link_state(links[0]) != LINK_OPEN || link_state(links[1]) != LINK_OPEN) {
        link_pump(links[0]);
        link_pump(links[1]);
    }
}

static uint32_t within(const struct wire_plan *p, uint32_t member) {
    return member - p->stages[wire_plan_stage(p, member)].member_begin;
}

static void join_members(struct group *g, uint32_t from, uint32_t to) {
    struct link *links[2];
    if (!wire_plan_linked(&g->plan, from, to)) return;
    link_pair(links);
    if (wire_plan_stage(&g->plan, from) == wire_plan_stage(&g->plan, to)) {
        worker_set_peer(g->workers[from], within(&g->plan, to), links[0]);
        worker_set_peer(g->workers[to], within(&g->plan, from), links[1]);
    } else {
        worker_set_target(g->workers[from], links[0]);
        worker_set_source(g->workers[to], links[1]);
    }
}

/* ---- what workers tell ---- */

static void on_loaded(void *context, int code, const char *why) {
    struct group *g = context;
    if (code) fail_msg("%s", why);
    g->loaded++;
}

static void on_tokens(void *context, uint64_t job, const uint32_t *ids, uint32_t count) {}

static void on_row(void *context, uint64_t job, uint32_t position, const void *row, uint32_t bytes) {
    struct group *g = context;
    assert_int_equal(bytes, g->vocab * sizeof *g->rows);
    memcpy(g->rows + (size_t)position * g->vocab, row, bytes);
    g->row_count++;
}

static void on_finished(void *context, uint64_t job, enum runner_finish reason, const char *why,
                        const struct worker_stats *stats) {
    struct group *g = context;
    g->ended = true;
    snprintf(g->why, sizeof g->why, "%s", why);
}

static void on_broken(void *context, const char *why) {}

/* ---- a group ---- */

/* shares[stage][member], ended by 0; stages end where there is no member. */
static void make_plan(struct wire_plan *p, const struct model *m, const uint32_t shares[][MEMBERS_MAX],
                      uint32_t stages) {
    *p = (struct wire_plan){
        .context = CONTEXT, .parallel = 1, .replicas = 1, .layer_count = m->params.layers, .stage_count = stages};
    for (uint32_t s = 0; s < stages; s++) {
        uint32_t sum = 0, given = 0, begin = p->member_count;
        for (uint32_t i = 0; i < MEMBERS_MAX && shares[s][i]; i++) sum += shares[s][i];
        for (uint32_t i = 0; i < MEMBERS_MAX && shares[s][i]; i++) {
            uint32_t share = shares[s][i] * WIRE_SHARE_ONE / sum;
            if (i + 1 == MEMBERS_MAX || shares[s][i + 1] == 0) share = WIRE_SHARE_ONE - given;
            p->members[p->member_count++] = (struct wire_member){.node = 1 + p->member_count, .share = share};
            given += share;
        }
        p->stages[s] = (struct wire_stage){m->params.layers * s / stages, m->params.layers * (s + 1) / stages, begin,
                                           p->member_count - begin};
    }
    assert_true(wire_plan_valid(p));
}

static void start_member(struct group *g, uint32_t member) {
    uint32_t stage = wire_plan_stage(&g->plan, member);
    const struct wire_stage *s = &g->plan.stages[stage];
    struct worker_plan plan = {.instance = 5,
                               .epoch = {1, 1},
                               .stage = stage,
                               .stages = g->plan.stage_count,
                               .member = member - s->member_begin,
                               .members = s->member_count,
                               .layer_begin = s->layer_begin,
                               .layer_end = s->layer_end,
                               .context = CONTEXT,
                               .parallel = 1,
                               .threads = 1 + member % 2,
                               .isa = kern_isa_best(),
                               .memory_max = UINT64_MAX};
    struct worker_listener listener = {g, on_loaded, on_tokens, on_row, on_finished, on_broken};
    struct error error = {0};
    for (uint32_t i = 0; i < s->member_count; i++) plan.shares[i] = g->plan.members[s->member_begin + i].share;
    assert_int_equal(worker_new(&g->workers[member], g->card, &plan, &g->mailbox, &listener, &error), 0);
}

static void start_group(struct group *g, const char *path, const uint32_t shares[][MEMBERS_MAX], uint32_t stages) {
    struct error error = {0};
    *g = (struct group){0};
    assert_int_equal(uv_loop_init(&g->loop), 0);
    assert_int_equal(mailbox_init(&g->mailbox, &g->loop), 0);
    if (card_open(&g->card, path, &error) != 0) fail_msg("%s", error.text);
    make_plan(&g->plan, &g->card->model, shares, stages);
    for (uint32_t i = 0; i < g->plan.member_count; i++) start_member(g, i);
    for (uint32_t from = 0; from < g->plan.member_count; from++)
        for (uint32_t to = 0; to < g->plan.member_count; to++) join_members(g, from, to);
    while (g->loaded < g->plan.member_count) uv_run(&g->loop, UV_RUN_ONCE);
}

static void end_group(struct group *g) {
    for (uint32_t i = 0; i < g->plan.member_count; i++)
        if (g->workers[i]) worker_stop(g->workers[i]);
    for (uint32_t i = 0; i < g->plan.member_count; i++) worker_free(g->workers[i]);
    mailbox_close(&g->mailbox);
    uv_run(&g->loop, UV_RUN_DEFAULT);
    mailbox_deinit(&g->mailbox);
    assert_int_equal(uv_loop_close(&g->loop), 0);
    card_release(g->card);
}

/* The logits after every token. */
static void ask_group(struct group *g, const uint32_t *tokens, uint32_t count, float *rows) {
    struct worker_job job = {
        .id = 1, .prompt = tokens, .prompt_count = count, .tokens_max = 0, .kind = WORKER_LOGITS, .row_count = count};
    struct error error = {0};
    g->rows = rows;
    g->vocab = g->card->model.params.vocab;
    g->row_count = 0;
    g->ended = false;
    assert_int_equal(worker_submit(g->workers[0], &job, &error), 0);
    while (!g->ended) uv_run(&g->loop, UV_RUN_ONCE);
}

/* ---- cases ---- */

struct rows {
    float *at;
};

static int keep(void *context, const float *logits, size_t vocab) {
    struct rows *rows = context;
    memcpy(rows->at, logits, vocab * sizeof *logits);
    rows->at += vocab;
    return 0;
}

static void check(const struct tiny *t, const uint32_t shares[][MEMBERS_MAX], uint32_t stages) {
    struct model m;
    static struct group g;
    uint32_t tokens[100];
    struct error error = {0};
    float *want = calloc(ARRAY_LEN(tokens) * t->vocab, sizeof *want),
          *got = calloc(ARRAY_LEN(tokens) * t->vocab, sizeof *got);
    tiny_open(&m, t);
    for (uint32_t i = 0; i < ARRAY_LEN(tokens); i++) tokens[i] = (i * 7 + 3) % 50;
    struct rows rows = {want};
    struct logits_options options = {
        .tokens = tokens, .count = ARRAY_LEN(tokens), .threads = 1, .isa = kern_isa_best(), .kv = KERN_KV_F16};
    assert_int_equal(logits_run(&m, &options, keep, &rows, &error), 0);
    start_group(&g, m.path, shares, stages);
    for (uint32_t count = 1; count <= ARRAY_LEN(tokens); count += 33) { /* one row, one part, several */
        memset(got, 0, ARRAY_LEN(tokens) * t->vocab * sizeof *got);
        ask_group(&g, tokens, count, got);
        if (g.row_count != count) fail_msg("%u rows of %u: %s", g.row_count, count, g.why);
        assert_memory_equal(want, got, (size_t)count * t->vocab * sizeof *want);
    }
    end_group(&g);
    tiny_close(&m);
    free(want), free(got);
}

static void equal_shares(void **state) {
    struct tiny f32 = tiny_default, q8 = tiny_default;
    q8.type = TENSOR_Q8_0;
    check(&f32, (const uint32_t[][MEMBERS_MAX]){{1, 1}}, 1);
    check(&q8, (const uint32_t[][MEMBERS_MAX]){{1, 1}}, 1);
}

static void unequal_shares(void **state) {
    struct tiny t = {2, 128, 256, 8, 8, 50, CONTEXT, TENSOR_Q8_0};
    check(&t, (const uint32_t[][MEMBERS_MAX]){{2, 1, 1}}, 1);
    check(&t, (const uint32_t[][MEMBERS_MAX]){{1, 5}}, 1);
}

/* Heads of a group on two members, heads smaller than a block, a width that no part divides. */
static void awkward_shapes(void **state) {
    struct tiny few_kv = {2, 192, 160, 6, 1, 50, CONTEXT, TENSOR_Q8_0};
    struct tiny small = {2, 64, 96, 8, 2, 50, CONTEXT, TENSOR_Q8_0};
    struct tiny odd = {2, 72, 100, 9, 3, 51, CONTEXT, TENSOR_F32};
    check(&few_kv, (const uint32_t[][MEMBERS_MAX]){{1, 1, 1}}, 1);
    check(&small, (const uint32_t[][MEMBERS_MAX]){{2, 3, 1}}, 1);
    check(&odd, (const uint32_t[][MEMBERS_MAX]){{1, 1, 1}}, 1);
}

static void rings_of_groups(void **state) {
    struct tiny t = {4, 64, 128, 4, 2, 50, CONTEXT, TENSOR_Q8_0};
    check(&t, (const uint32_t[][MEMBERS_MAX]){{1, 1}, {1, 1}}, 2);
    check(&t, (const uint32_t[][MEMBERS_MAX]){{1}, {1, 2}, {1}}, 3);
}

/* A member that ends takes the step with it: the job ends, with the reason. */
static void a_lost_member_ends_the_job(void **state) {
    struct model m;
    static struct group g;
    const uint32_t tokens[] = {1, 2, 3};
    float rows[3 * 50];
    tiny_open(&m, &tiny_default);
    start_group(&g, m.path, (const uint32_t[][MEMBERS_MAX]){{1, 1}}, 1);
    worker_stop(g.workers[1]);
    worker_free(g.workers[1]);
    g.workers[1] = NULL;
    ask_group(&g, tokens, 3, rows);
    assert_non_null(strstr(g.why, "member 1 of stage 0"));
    end_group(&g);
    tiny_close(&m);
}

static void too_many_members_are_refused(void **state) {
    struct model m;
    struct slice *s = NULL;
    struct error error = {0};
    struct exchange nobody = {0};
    uint32_t shares[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    tiny_open(&m, &tiny_default);
    struct slice_options o = {.layer_end = 2,
                              .ends = true,
                              .members = 8,
                              .shares = shares,
                              .exchange = &nobody,
                              .threads = 1,
                              .sessions = 1,
                              .context = 64};
    assert_int_equal(slice_open(&s, &m, &o, &error), ERR_LIMIT);
    assert_non_null(strstr(error.text, "8 members"));
    tiny_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_shares),
        cmocka_unit_test(unequal_shares),
        cmocka_unit_test(awkward_shapes),
        cmocka_unit_test(rings_of_groups),
        cmocka_unit_test(a_lost_member_ends_the_job),
        cmocka_unit_test(too_many_members_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
