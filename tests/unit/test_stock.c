/* A stock among nodes that this program plays: it asks over real links, and gets what the case wants it to get. The hub
 * is a door that counts who knocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <nettle/sha2.h>

#include "engine/model_file.h"
#include "node/stock.h"
#include "os/clock.h"
#include "store/chunks.h"
#include "tcp_pair.h"
#include "tiny_file.h"
#include "wire/store.h"

enum { SELF = 1, HOLDER, FETCHER, OTHERS = 2, HEADER_CHUNKS = 4, SECOND = 1000000 };

static const struct tiny shape = {2, 256, 512, 4, 2, 600, 256, TENSOR_F32};

/* A node that is played. */
struct other {
    uint64_t node;
    struct link *link;
    uint32_t has;         /* chunks from the first on */
    bool keeps_manifest;  /* does not give it yet */
    bool keeps_map;       /* does not tell yet what it has */
    bool unsure;          /* does not know that what it has is right */
    uint64_t model_request; /* that waits for an answer */
    uint32_t lies, short_of; /* chunks that it gives with a wrong byte, without their last one */
    uint64_t map_request; /* that waits for an answer */
    unsigned asked, refused, lied;
};

struct scene {
    char home[64], hub_address[64];
    struct maker file;
    struct chunks chunks;
    struct manifest manifest;
    struct log log;
    struct stock *stock;
    struct other others[OTHERS];
    int hub;
    unsigned knocks, warnings;
};

/* ---- what others answer ---- */

static void send_answer(struct other *o, struct wire_store *m) {
    static uint8_t head[WIRE_STORE_HEAD_BYTES_MAX];
    size_t len = wire_store_encode(m, head, sizeof head);
    struct iovec parts[] = {{head, len}, {(void *)(uintptr_t)m->bytes, m->len}};
    assert_int_equal(link_send(o->link, parts, m->len > 0 ? 2 : 1), 0);
}

static void give_manifest(struct scene *s, struct other *o) {
    struct text json = {0};
    manifest_write(&s->manifest, &json);
    send_answer(o, &(struct wire_store){.type = WIRE_STORE_MODEL,
                                        .request = o->model_request,
                                        .state = WIRE_STORE_HERE,
                                        .bytes = (const uint8_t *)text_str(&json),
                                        .len = (uint32_t)json.len});
    text_deinit(&json);
    o->model_request = 0;
}

static void give_map(struct scene *s, struct other *o) {
    struct wire_store m = {.type = WIRE_STORE_MAP, .request = o->map_request};
    size_t len = chunks_map_bytes(&s->chunks);
    uint8_t *map = calloc(1, len);
    memcpy(m.fingerprint, s->manifest.fingerprint, sizeof m.fingerprint);
    chunks_write_header(&s->chunks, map);
    for (uint32_t i = 0; i < s->chunks.count; i++)
        s->chunks.items[i].state = o->unsure ? CHUNK_HASHED : CHUNK_VERIFIED;
    for (uint32_t i = 0; i < o->has; i++) chunks_write_record(&s->chunks, i, map + chunks_record_offset(i));
    m.bytes = map;
    m.len = (uint32_t)len;
    send_answer(o, &m);
    free(map);
    o->map_request = 0;
}

static void give_chunk(struct scene *s, struct other *o, const struct wire_store *m) {
    struct wire_store answer = {.type = WIRE_STORE_CHUNK, .request = m->request, .chunk = m->chunk};
    uint8_t *bytes = malloc(s->chunks.chunk_bytes);
    memcpy(answer.fingerprint, m->fingerprint, sizeof answer.fingerprint);
    o->asked++;
    if (m->chunk < o->has) {
        answer.state = WIRE_STORE_HERE;
        answer.len = chunks_size(&s->chunks, m->chunk);
        memcpy(bytes, s->file.data + (size_t)m->chunk * s->chunks.chunk_bytes, answer.len);
        bytes[7] ^= o->lies > 0;
        answer.len -= o->short_of > 0;
        o->lied += o->lies > 0 || o->short_of > 0;
        o->lies -= o->lies > 0;
        o->short_of -= o->short_of > 0;
        answer.bytes = bytes;
    }
    o->refused += answer.state == WIRE_STORE_ABSENT;
    send_answer(o, &answer);
    free(bytes);
}

static void answer(struct scene *s, struct other *o, const struct wire_store *m) {
    if (m->type == WIRE_STORE_MODEL_GET) o->model_request = m->request;
    if (m->type == WIRE_STORE_CHUNK_GET) give_chunk(s, o, m);
    if (m->type == WIRE_STORE_MAP_GET) o->map_request = m->request;
}

static void play(struct scene *s, struct other *o) {
    static struct wire_store message;
    const uint8_t *frame;
    size_t len;
    struct error error = {0};
    link_pump(o->link);
    while ((frame = link_next_frame(o->link, &len)) != NULL) {
        if (wire_store_decode(&message, frame, len, &error) < 0) fail_msg("%s", error.text);
        answer(s, o, &message);
        link_frame_done(o->link);
    }
    if (o->model_request && !o->keeps_manifest) give_manifest(s, o);
    if (o->map_request && !o->keeps_map) give_map(s, o);
    int fd = accept(s->hub, NULL, NULL);
    if (fd < 0) return;
    s->knocks++;
    close(fd);
}

/* ---- the scene ---- */

static void nothing(void *context) {}
static void no_dial(void *context, uint64_t node) {}

static int nowhere(void *context, const uint8_t *fingerprint, const char *name, char path[STOCK_PATH_BYTES]) {
    return ERR_NOT_FOUND;
}

static void count_warning(void *context, enum log_level level, const char *line) {
    struct scene *s = context;
    s->warnings += level == LOG_WARN && strstr(line, "do not have their hash") != NULL;
}

/* Its file, and what a node that has proven all of it says of it. */
static void make_model(struct scene *s) {
    struct model m;
    tiny_open(&m, &shape);
    s->file = tiny_model(&shape);
    s->manifest.origin = (struct origin){.repo = "org/repo", .revision = "main", .file = "m.gguf"};
    s->manifest.known = true;
    model_fingerprint(&m, s->manifest.fingerprint);
    manifest_add_name(&s->manifest, "org/repo");
    s->manifest.files = calloc(1, sizeof *s->manifest.files);
    s->manifest.file_count = 1;
    snprintf(s->manifest.files->path, sizeof s->manifest.files->path, "m.gguf");
    s->manifest.files->bytes = s->file.len;
    assert_int_equal(chunks_init(&s->chunks, s->file.len, chunks_bytes_for(s->file.len)), 0);
    for (uint32_t i = 0; i < s->chunks.count; i++) {
        struct chunk *k = &s->chunks.items[i];
        struct sha256_ctx sha;
        k->have = chunks_size(&s->chunks, i);
        k->state = CHUNK_VERIFIED;
        sha256_init(&sha);
        sha256_update(&sha, k->have, s->file.data + (size_t)i * s->chunks.chunk_bytes);
        sha256_digest(&sha, sizeof k->hash, k->hash);
    }
    tiny_close(&m);
}

static void open_hub(struct scene *s) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    s->hub = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(s->hub, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(s->hub, 8), 0);
    assert_int_equal(getsockname(s->hub, (struct sockaddr *)&at, &len), 0);
    snprintf(s->hub_address, sizeof s->hub_address, "http://127.0.0.1:%u", ntohs(at.sin_port));
}

static void join_other(struct scene *s, struct other *o, uint64_t node) {
    struct secret secret = {{7}};
    struct secret_keyring keys = {0};
    struct link *links[2];
    int fds[2];
    secret_keyring_rotate(&keys, &secret);
    tcp_pair(fds);
    for (int i = 0; i < 2; i++)
        assert_int_equal(link_new(&links[i], fds[i], i ? LINK_SERVER : LINK_CLIENT, &keys, WIRE_DATA_BYTES_MAX, NULL),
                         0);
    while (link_state(links[0]) != LINK_OPEN || link_state(links[1]) != LINK_OPEN) {
        link_pump(links[0]);
        link_pump(links[1]);
    }
    *o = (struct other){.node = node, .link = links[0], .has = s->chunks.count};
    stock_take_link(s->stock, node, links[1]);
}

static struct scene *set_scene(void) {
    static const uint64_t nodes[] = {SELF, HOLDER, FETCHER};
    struct scene *s = calloc(1, sizeof *s);
    snprintf(s->home, sizeof s->home, "/tmp/caravan-stock-XXXXXX");
    assert_non_null(mkdtemp(s->home));
    make_model(s);
    open_hub(s);
    s->log = (struct log){count_warning, s, LOG_INFO};
    struct stock_options options = {.home = s->home,
                                    .hub = s->hub_address,
                                    .agent = "test",
                                    .log = &s->log,
                                    .changed = nothing,
                                    .dial = no_dial,
                                    .locate = nowhere};
    assert_int_equal(stock_new(&s->stock, &options, NULL), 0);
    stock_set_peers(s->stock, nodes, 3);
    join_other(s, &s->others[0], HOLDER);
    join_other(s, &s->others[1], FETCHER);
    return s;
}

static void end_scene(struct scene *s) {
    char command[128];
    stock_free(s->stock);
    for (size_t i = 0; i < OTHERS; i++) link_free(s->others[i].link);
    snprintf(command, sizeof command, "rm -r %s", s->home);
    assert_int_equal(system(command), 0);
    close(s->hub);
    chunks_deinit(&s->chunks);
    manifest_deinit(&s->manifest);
    maker_free(&s->file);
    free(s);
}

/* The second layer is for this node, what comes before it for the one that is to fetch. */
static struct wire_plan plan_of(const struct scene *s) {
    struct wire_plan plan = {.model = "org/repo",
                             .context = 256,
                             .parallel = 1,
                             .replicas = 1,
                             .layer_count = 2,
                             .stage_count = 2,
                             .member_count = 2,
                             .stages = {{0, 1, 0, 1}, {1, 2, 1, 1}},
                             .members = {{.node = FETCHER, .share = WIRE_SHARE_ONE},
                                         {.node = SELF, .share = WIRE_SHARE_ONE}}};
    memcpy(plan.fingerprint, s->manifest.fingerprint, sizeof plan.fingerprint);
    return plan;
}

static void hold(struct scene *s) {
    struct wire_plan plan = plan_of(s);
    assert_true(wire_plan_valid(&plan));
    assert_int_equal(stock_hold(s->stock, &plan, false, NULL), 0);
}

static bool is_done(struct scene *s) {
    struct stock_view view;
    bool found = stock_find_held(s->stock, s->manifest.fingerprint, &view);
    if (found && view.state == STOCK_FAILED) fail_msg("%s", view.error.text);
    return found && view.state == STOCK_DONE;
}

static bool was_refused(struct scene *s) { return s->others[1].refused > 0; }

static void play_until(struct scene *s, bool (*condition)(struct scene *s)) {
    uint64_t end_us = clock_us() + 30ull * SECOND;
    while (!condition(s)) {
        assert_true(clock_us() < end_us);
        for (size_t i = 0; i < OTHERS; i++) play(s, &s->others[i]);
        usleep(500);
    }
}

/* All that it wants came, as it is, and none of it from the hub. */
static void assert_right(struct scene *s) {
    char path[128];
    struct file f;
    size_t begin = s->file.len / 4 * 3; /* of the second layer */
    uint8_t *bytes = malloc(s->file.len);
    snprintf(path, sizeof path, "%s/models/org--repo=m.gguf/m.gguf", s->home);
    assert_int_equal(file_open(&f, path, NULL), 0);
    assert_int_equal(f.bytes, s->file.len);
    assert_int_equal(file_read_at(&f, 0, bytes, f.bytes, NULL), 0);
    assert_memory_equal(bytes, s->file.data, (size_t)HEADER_CHUNKS * s->chunks.chunk_bytes);
    assert_memory_equal(bytes + begin, s->file.data + begin, s->file.len - begin);
    assert_int_equal(s->knocks, 0);
    file_close(&f);
    free(bytes);
}

/* ---- cases ---- */

/* It is to fetch the chunk in which its layers end and has not heard of it; who has the chunk says so late. */
static void a_member_that_does_not_know_the_plan_is_asked_again(void **state) {
    struct scene *s = set_scene();
    s->others[0].keeps_map = true;
    s->others[1].has = HEADER_CHUNKS;
    hold(s);
    play_until(s, was_refused);
    s->others[0].keeps_map = false;
    play_until(s, is_done);
    assert_right(s);
    end_scene(s);
}

/* One gives a chunk that is not right: it is told once, and asked no more. */
static void assert_mended(struct scene *s) {
    hold(s);
    play_until(s, is_done);
    assert_right(s);
    assert_int_equal(s->others[1].lied, 1);
    assert_int_equal(s->warnings, 1);
}

static void wrong_bytes_come_from_elsewhere(void **state) {
    struct scene *s = set_scene();
    s->others[1].lies = 1;
    assert_mended(s);
    end_scene(s);
}

static void bytes_that_are_missing_come_from_elsewhere(void **state) {
    struct scene *s = set_scene();
    s->others[1].short_of = 1;
    assert_mended(s);
    end_scene(s);
}

/* The hub tells the hash of the whole. */
static void tell_hash(struct scene *s) {
    struct listing_file *f = s->manifest.files;
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, s->file.len, s->file.data);
    sha256_digest(&sha, sizeof f->sha256, f->sha256);
    f->hashed = true;
}

/* It never comes round: nobody else goes on with it. */
static void what_others_know_to_be_right_waits_for_no_hash(void **state) {
    struct scene *s = set_scene();
    tell_hash(s);
    hold(s);
    play_until(s, is_done);
    assert_right(s);
    end_scene(s);
}

/* The hash of what lies before this node's layers. */
static void hand_hash(struct scene *s) {
    struct wire_store m = {.type = WIRE_STORE_CHAIN};
    struct sha256_ctx sha;
    m.chunk = (uint32_t)(s->file.len / 4 * 3 / s->chunks.chunk_bytes) + 1;
    memcpy(m.fingerprint, s->manifest.fingerprint, sizeof m.fingerprint);
    sha256_init(&sha);
    sha256_update(&sha, (size_t)m.chunk * s->chunks.chunk_bytes, s->file.data);
    for (size_t i = 0; i < sizeof m.hash; i++) m.hash[i] = (uint8_t)(sha.state[i / 4] >> (24 - 8 * (i % 4)));
    send_answer(&s->others[1], &m);
}

static bool is_asked_for_the_manifest(struct scene *s) { return s->others[0].model_request != 0; }

static struct scene *set_scene_of_unsure_others(void) {
    struct scene *s = set_scene();
    tell_hash(s);
    for (size_t i = 0; i < OTHERS; i++) s->others[i].keeps_manifest = s->others[i].unsure = true;
    return s;
}

/* Whoever has the bytes before this node's does not wait until it is ready to go on with their hash. */
static void a_hash_that_is_handed_before_the_manifest_is_here_is_kept(void **state) {
    struct scene *s = set_scene_of_unsure_others();
    hold(s);
    play_until(s, is_asked_for_the_manifest);
    hand_hash(s);
    for (int i = 0; i < 100; i++) {
        play(s, &s->others[1]);
        usleep(1000);
    }
    for (size_t i = 0; i < OTHERS; i++) s->others[i].keeps_manifest = false;
    play_until(s, is_done);
    assert_right(s);
    end_scene(s);
}

static void a_hash_that_is_handed_before_the_plan_is_known_is_kept(void **state) {
    struct scene *s = set_scene_of_unsure_others();
    hand_hash(s);
    for (int i = 0; i < 100; i++) {
        play(s, &s->others[1]);
        usleep(1000);
    }
    for (size_t i = 0; i < OTHERS; i++) s->others[i].keeps_manifest = false;
    hold(s);
    play_until(s, is_done);
    assert_right(s);
    end_scene(s);
}

/* Whoever is asked by a name and answers with another model. */
static void another_models_manifest_is_not_taken(void **state) {
    struct scene *s = set_scene();
    snprintf(s->manifest.origin.repo, sizeof s->manifest.origin.repo, "evil/repo");
    assert_int_equal(stock_pull(s->stock, "org/repo", true, NULL), 0);
    while (s->knocks == 0)
        for (size_t i = 0; i < OTHERS; i++) play(s, &s->others[i]);
    struct stock_view view;
    assert_true(stock_find(s->stock, "org/repo", &view));
    assert_int_equal(view.state, STOCK_LISTING); /* by the hub */
    end_scene(s);
}

static void a_plan_with_more_layers_than_the_model_is_refused(void **state) {
    struct scene *s = set_scene();
    struct stock_view view = {0};
    struct wire_plan plan = plan_of(s);
    plan.layer_count = plan.stages[1].layer_end = 40;
    assert_true(wire_plan_valid(&plan));
    assert_int_equal(stock_hold(s->stock, &plan, false, NULL), 0);
    while (view.state != STOCK_FAILED) {
        for (size_t i = 0; i < OTHERS; i++) play(s, &s->others[i]);
        assert_true(stock_find_held(s->stock, s->manifest.fingerprint, &view));
    }
    end_scene(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_that_does_not_know_the_plan_is_asked_again),
        cmocka_unit_test(wrong_bytes_come_from_elsewhere),
        cmocka_unit_test(bytes_that_are_missing_come_from_elsewhere),
        cmocka_unit_test(what_others_know_to_be_right_waits_for_no_hash),
        cmocka_unit_test(a_hash_that_is_handed_before_the_manifest_is_here_is_kept),
        cmocka_unit_test(a_hash_that_is_handed_before_the_plan_is_known_is_kept),
        cmocka_unit_test(another_models_manifest_is_not_taken),
        cmocka_unit_test(a_plan_with_more_layers_than_the_model_is_refused),
    };
    return cmocka_run_group_tests_name("stock", tests, NULL, NULL);
}
