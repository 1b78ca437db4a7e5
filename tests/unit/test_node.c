/* A node among peers that the test plays: what the simulator found once, in as few events as it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "cluster/node.h"

enum { MS = 1000, SECOND = 1000 * MS, MIB = 1 << 20, SELF = 100, OLD_BOOT = 1, NEW_BOOT = 2 };
static const uint64_t gib = 1ull << 30;

/* The node, its effects since the last look, and what the test plays. */
struct stage {
    struct node *node;
    struct node_effects effects;
    uint64_t now_us;
    const struct node_effect *served; /* the last one that was answered */
    struct placement_model model;
};

static struct stage stage;

static void answer_effects(void);

static void step(struct node_event event) {
    event.now_us = stage.now_us;
    node_step(stage.node, &event, &stage.effects);
    answer_effects();
}

/* The node has the model's file. */
static void answer(const struct node_effect *e) {
    if (e->type == NODE_LOOKUP_MODEL)
        step((struct node_event){.type = NODE_MODEL_ANSWER, .peer = e->peer, .request = e->request, .found = true});
    else if (e->type == NODE_MEASURE_MODEL)
        step((struct node_event){.type = NODE_MODEL_MEASURED, .request = e->request, .model = &stage.model});
}

static void answer_effects(void) {
    for (;;) {
        const struct node_effect *e = stage.served ? stage.served->next : stage.effects.first;
        if (!e) return;
        stage.served = e;
        answer(e);
    }
}

static void pass(uint64_t us) {
    uint64_t end_us = stage.now_us + us;
    while (node_deadline(stage.node) <= end_us) {
        if (node_deadline(stage.node) > stage.now_us) stage.now_us = node_deadline(stage.node);
        step((struct node_event){.type = NODE_TICK});
    }
    stage.now_us = end_us;
    step((struct node_event){.type = NODE_TICK});
}

static void forget(void) {
    node_effects_clear(&stage.effects);
    stage.served = NULL;
}

static const struct node_effect *done(enum node_effect_type type, uint64_t link) {
    for (const struct node_effect *e = stage.effects.first; e; e = e->next)
        if (e->type == type && e->link == link) return e;
    return NULL;
}

/* The last message of this type that went out on the link; type 0: none. */
static struct wire_message sent(uint64_t link, enum wire_type type) {
    struct wire_message last = {0}, m;
    for (const struct node_effect *e = stage.effects.first; e; e = e->next) {
        struct error error;
        if (e->type != NODE_SEND || e->link != link) continue;
        assert_int_equal(wire_decode(&m, e->bytes, e->len, &stage.effects.arena, &error), 0);
        if (m.type == type) last = m;
    }
    return last;
}

static void tell(uint64_t link, struct wire_message m) {
    uint8_t frame[1 << 16];
    size_t len = wire_encode(&m, frame, sizeof frame);
    step((struct node_event){.type = NODE_MESSAGE, .link = link, .bytes = frame, .len = (uint32_t)len});
}

static struct wire_hello hello_of(uint64_t id, uint64_t boot) {
    return (struct wire_hello){.protocol_min = WIRE_PROTOCOL_MIN,
                               .protocol_max = WIRE_PROTOCOL_MAX,
                               .id = id,
                               .boot = boot,
                               .uptime_us = 3600ull * SECOND,
                               .port = 1000};
}

static void link_up(uint64_t link, uint64_t dial, struct wire_hello hello) {
    step((struct node_event){
        .type = NODE_LINK_UP, .link = link, .dial = dial, .address = {.port = 1000}, .hello = &hello});
}

static void beacon(uint64_t id, uint64_t boot, uint16_t protocol) {
    struct wire_beacon b = {
        .protocol_min = protocol, .protocol_max = protocol, .id = id, .boot = boot, .port = 1000};
    step((struct node_event){.type = NODE_BEACON_SEEN, .beacon = &b, .address = {.port = 1000}});
}

static struct wire_facts facts(void) {
    return (struct wire_facts){
        .memory_total = 8 * gib, .memory_free = 8 * gib, .read_bandwidth = gib, .matmul_rate = gib, .threads = 1};
}

/* A peer that is here, with its facts, on a link of its own number; it dialled. */
static void come(uint64_t id) {
    link_up(id, 0, hello_of(id, OLD_BOOT));
    tell(id, (struct wire_message){.type = WIRE_FACTS, .facts = facts()});
}

static const char *state_of(uint64_t id) {
    static const char *const words[] = {"up", "lost", "incompatible"};
    struct node_peer_view views[8];
    size_t count = node_peers(stage.node, views, ARRAY_LEN(views));
    for (size_t i = 0; i < count; i++)
        if (views[i].id == id) return words[views[i].state];
    return "unknown";
}

static int start_node(void **state) {
    const struct node_options options = {.id = SELF, .boot = 5, .seed = 1, .name = "self", .port = 1000};
    struct wire_facts own = facts();
    stage = (struct stage){.node = node_new(&options), .now_us = SECOND};
    stage.model = (struct placement_model){
        .name = "sample", .layer_count = 4, .context = 4096, .ends_bytes = MIB, .kv_bytes = 1024, .hidden_bytes = 8192};
    for (uint32_t i = 0; i < 4; i++) stage.model.layer_bytes[i] = 100 * MIB;
    step((struct node_event){.type = NODE_START});
    step((struct node_event){.type = NODE_FACTS_CHANGED, .facts = &own});
    return 0;
}

static int end_node(void **state) {
    node_effects_clear(&stage.effects);
    node_free(stage.node);
    return 0;
}

/* ---- names ---- */

/* The hello of a dial that was under way told the old id: the other side would know this node by it for good. */
static void a_dial_under_the_old_id_is_closed(void **state) {
    beacon(200, OLD_BOOT, WIRE_PROTOCOL_MAX);
    pass(SECOND / 2);
    const struct node_effect *dial = done(NODE_DIAL, 0);
    assert_non_null(dial);
    uint64_t number = dial->dial;
    link_up(1, 0, hello_of(SELF, OLD_BOOT)); /* the elder of this name */
    assert_true(node_id(stage.node) != SELF);
    link_up(2, number, hello_of(200, OLD_BOOT));
    assert_non_null(done(NODE_CLOSE, 2));
    forget();
    pass(2 * SECOND);
    dial = done(NODE_DIAL, 0); /* and once more, in its new name */
    assert_non_null(dial);
    link_up(3, dial->dial, hello_of(200, OLD_BOOT));
    assert_null(done(NODE_CLOSE, 3));
    assert_string_equal(state_of(200), "up");
}

/* ---- protocols ---- */

/* It was updated, and need not wait until it is tried again. */
static void an_updated_node_is_dialled_at_once(void **state) {
    beacon(200, OLD_BOOT, 99);
    assert_string_equal(state_of(200), "incompatible");
    pass(3 * SECOND);
    assert_null(done(NODE_DIAL, 0));
    beacon(200, NEW_BOOT, WIRE_PROTOCOL_MAX);
    pass(SECOND / 2);
    assert_non_null(done(NODE_DIAL, 0));
}

static enum wire_state instance_state(void) {
    struct node_instance_view views[4];
    assert_int_equal(node_instances(stage.node, views, ARRAY_LEN(views)), 1);
    return views[0].state;
}

static void run_model_on(uint64_t id) {
    struct wire_message m = {.type = WIRE_INSTANCE,
                             .instance = {.version = 1, .instance = 9, .epoch = {1, id}, .state = WIRE_READY}};
    m.instance.plan = (struct wire_plan){.model = "sample",
                                         .context = 4096,
                                         .parallel = 1,
                                         .replicas = 1,
                                         .layer_count = 4,
                                         .stage_count = 1,
                                         .member_count = 1,
                                         .stages = {{0, 4, 0, 1}},
                                         .members = {{.node = id, .share = WIRE_SHARE_ONE}}};
    assert_true(wire_plan_valid(&m.instance.plan));
    tell(id, m);
}

/* What it ran was lost with it, and is for others to bring back. */
static void who_comes_back_with_another_protocol_was_lost(void **state) {
    come(200);
    run_model_on(200);
    assert_int_equal(instance_state(), WIRE_READY);
    step((struct node_event){.type = NODE_LINK_DOWN, .link = 200, .text = "closed"});
    beacon(200, NEW_BOOT, 99);
    assert_string_equal(state_of(200), "incompatible");
    assert_int_equal(instance_state(), WIRE_RECOVERING);
}

/* Somebody copied a disk to a machine with another version: that is nothing to the one that is here. */
static void a_stranger_in_the_name_of_a_peer_is_refused_alone(void **state) {
    come(200);
    struct wire_hello stranger = hello_of(200, NEW_BOOT);
    stranger.protocol_min = stranger.protocol_max = 99;
    link_up(1, 0, stranger);
    assert_non_null(done(NODE_CLOSE, 1));
    assert_null(done(NODE_CLOSE, 200));
    assert_string_equal(state_of(200), "up");
}

/* ---- replicas ---- */

/* Say of the file what was asked last. */
static void say_of_file(uint64_t peer, bool found) {
    struct wire_message query = sent(peer, WIRE_MODEL_QUERY);
    assert_int_equal(query.type, WIRE_MODEL_QUERY);
    tell(peer, (struct wire_message){.type = WIRE_MODEL_ANSWER, .model_answer = {query.model_query.request, found}});
}

/* Load for throughput while these peers are here, all of whom have the file; the first replica comes to be on this
 * node, which then asks them all again for the next. */
static void load_for_throughput(const uint64_t *peers, uint32_t count) {
    step((struct node_event){.type = NODE_REQUEST_LOAD,
                             .request = 1,
                             .model = &stage.model,
                             .options = {.parallel = 2, .aim = WIRE_FOR_THROUGHPUT}});
    for (uint32_t i = 0; i < count; i++) say_of_file(peers[i], true);
    const struct node_effect *load = NULL;
    for (const struct node_effect *e = stage.effects.first; e; e = e->next)
        if (e->type == NODE_SLICE_LOAD) load = e;
    assert_non_null(load);
    assert_int_equal(load->plan->replicas, 2);
    step((struct node_event){.type = NODE_SLICE_READY, .instance = load->instance, .epoch = load->epoch});
    forget();
    pass(SECOND / 5);
}

/* A link does not live without a sign of life. */
static void pass_with_heartbeats(const uint64_t *peers, uint32_t count, uint64_t us) {
    struct wire_message beat = {.type = WIRE_HEARTBEAT, .heartbeat = {.interval_us = SECOND}};
    for (uint64_t end_us = stage.now_us + us; stage.now_us < end_us; pass(SECOND / 2))
        for (uint32_t i = 0; i < count; i++) tell(peers[i], beat);
}

/* A disk that sleeps wakes up within seconds. */
static void a_replica_waits_for_a_slow_answer(void **state) {
    const uint64_t peers[] = {200};
    come(200);
    load_for_throughput(peers, 1);
    pass_with_heartbeats(peers, 1, 5 * SECOND);
    assert_int_equal(sent(200, WIRE_RESERVE).type, 0);
    say_of_file(200, true);
    assert_int_equal(sent(200, WIRE_RESERVE).type, WIRE_RESERVE);
}

/* Somebody comes while the others are still asked, and none of those has the file any more. */
static void who_comes_while_a_replica_is_planned_is_not_missed(void **state) {
    const uint64_t peers[] = {200, 300};
    come(200);
    load_for_throughput(peers, 1);
    come(300);
    pass_with_heartbeats(peers, 2, SECOND);
    assert_int_equal(sent(300, WIRE_MODEL_QUERY).type, 0);
    say_of_file(200, false);
    pass(SECOND / 5);
    say_of_file(300, true);
    say_of_file(200, false);
    assert_int_equal(sent(300, WIRE_RESERVE).type, WIRE_RESERVE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start_node, end_node)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_dial_under_the_old_id_is_closed),
        TEST(an_updated_node_is_dialled_at_once),
        TEST(who_comes_back_with_another_protocol_was_lost),
        TEST(a_stranger_in_the_name_of_a_peer_is_refused_alone),
        TEST(a_replica_waits_for_a_slow_answer),
        TEST(who_comes_while_a_replica_is_planned_is_not_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
