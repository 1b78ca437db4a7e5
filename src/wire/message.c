#include "wire/wire.h"

#include <assert.h>
#include <string.h>

#include "wire/fields.h"

static void walk_hello(struct codec *c, struct wire_hello *m) {
    codec_u16(c, &m->protocol_min);
    codec_u16(c, &m->protocol_max);
    codec_u64(c, &m->id);
    codec_u64(c, &m->boot);
    codec_u64(c, &m->uptime_us);
    codec_u16(c, &m->port);
    codec_choice(c, &m->kind, WIRE_STORE);
    codec_text(c, m->name, sizeof m->name);
    codec_text(c, m->version, sizeof m->version);
    codec_u32(c, &m->arithmetic);
    codec_text(c, m->isa, sizeof m->isa);
    codec_u32(c, &m->device_kinds);
    codec_u64(c, &m->instance);
    fields_epoch(c, &m->epoch);
    codec_u32(c, &m->member_from);
    codec_u32(c, &m->member_to);
}

static void walk_heartbeat(struct codec *c, struct wire_heartbeat *m) {
    codec_u64(c, &m->sent_us);
    codec_u64(c, &m->echo_us);
    codec_u64(c, &m->held_us);
    codec_u32(c, &m->interval_us);
    fields_readings(c, &m->readings);
}

static void walk_peers(struct codec *c, struct wire_peers *m) {
    codec_count(c, &m->count, WIRE_PEERS_MAX);
    if (codec_reading(c)) m->peers = codec_array(c, m->count, sizeof *m->peers, 34);
    for (uint32_t i = 0; i < m->count && !codec_failed(c); i++) {
        codec_u64(c, &m->peers[i].id);
        codec_u64(c, &m->peers[i].boot);
        fields_address(c, &m->peers[i].address);
    }
}

static void walk_goodbye(struct codec *c, struct wire_goodbye *m) {
    codec_choice(c, &m->reason, WIRE_DRAINING);
    codec_text(c, m->text, sizeof m->text);
}

static void walk_measure(struct codec *c, struct wire_measure *m) {
    codec_u64(c, &m->number);
    codec_count(c, &m->count, WIRE_LINKS_MAX);
    for (uint32_t i = 0; i < m->count; i++) codec_u64(c, &m->nodes[i]);
}

static void walk_model_query(struct codec *c, struct wire_model_query *m) {
    codec_u64(c, &m->request);
    codec_bytes(c, m->fingerprint, sizeof m->fingerprint);
    codec_text(c, m->name, sizeof m->name);
}

static void walk_model_answer(struct codec *c, struct wire_model_answer *m) {
    codec_u64(c, &m->request);
    codec_choice(c, &m->found, 1);
}

static void walk_header_get(struct codec *c, struct wire_header_get *m) {
    codec_u64(c, &m->request);
    codec_bytes(c, m->fingerprint, sizeof m->fingerprint);
    codec_u64(c, &m->offset);
}

static void walk_header_data(struct codec *c, struct wire_header_data *m) {
    codec_u64(c, &m->request);
    codec_u64(c, &m->total);
    codec_u64(c, &m->offset);
    codec_count(c, &m->len, WIRE_CHUNK_BYTES_MAX);
    if (codec_reading(c)) m->bytes = codec_array(c, m->len, 1, 1);
    if (!codec_failed(c)) codec_bytes(c, m->bytes, m->len);
}

static void walk_reserve(struct codec *c, struct wire_reserve *m) {
    codec_u64(c, &m->request);
    codec_u64(c, &m->instance);
    fields_epoch(c, &m->epoch);
    codec_u64(c, &m->hash);
    fields_plan(c, &m->plan);
}

static void walk_reserve_ok(struct codec *c, struct wire_reserve_ok *m) {
    codec_u64(c, &m->request);
    codec_u64(c, &m->hash);
}

static void walk_reserve_refused(struct codec *c, struct wire_reserve_refused *m) {
    codec_u64(c, &m->request);
    codec_choice(c, &m->retry, 1);
    codec_text(c, m->text, sizeof m->text);
}

static void walk_commit(struct codec *c, struct wire_commit *m) {
    codec_u64(c, &m->request);
    codec_u64(c, &m->hash);
}

static void walk_subject(struct codec *c, struct wire_subject *m) {
    codec_u64(c, &m->instance);
    fields_epoch(c, &m->epoch);
    codec_u64(c, &m->hash);
}

static void walk_load_progress(struct codec *c, struct wire_load_progress *m) {
    walk_subject(c, &m->subject);
    codec_u64(c, &m->bytes_done);
    codec_u64(c, &m->bytes_total);
}

static void walk_load_failed(struct codec *c, struct wire_load_failed *m) {
    walk_subject(c, &m->subject);
    codec_text(c, m->text, sizeof m->text);
}

static void walk_instance(struct codec *c, struct wire_instance *m) {
    codec_u64(c, &m->version);
    codec_u64(c, &m->instance);
    fields_epoch(c, &m->epoch);
    codec_choice(c, &m->state, WIRE_GONE);
    codec_u64(c, &m->bytes_done);
    codec_u64(c, &m->bytes_total);
    codec_text(c, m->text, sizeof m->text);
    fields_plan(c, &m->plan);
}

static void walk_instances(struct codec *c, struct wire_instances *m) {
    codec_u64(c, &m->version);
    codec_count(c, &m->count, WIRE_INSTANCES_MAX);
    for (uint32_t i = 0; i < m->count; i++) codec_u64(c, &m->ids[i]);
}

static void walk_grammar(struct codec *c, struct wire_grammar *g) {
    codec_choice(c, &g->kind, WIRE_GRAMMAR_TAGS);
    codec_count(c, &g->len, WIRE_GRAMMAR_BYTES_MAX);
    if (codec_reading(c)) g->text = codec_array(c, g->len, 1, 1);
    if (!codec_failed(c)) codec_bytes(c, g->text, g->len);
}

static void walk_biases(struct codec *c, struct wire_job_submit *m) {
    codec_count(c, &m->bias_count, WIRE_BIASES_MAX);
    if (codec_reading(c)) m->biases = codec_array(c, m->bias_count, sizeof *m->biases, 8);
    for (uint32_t i = 0; i < m->bias_count && !codec_failed(c); i++) {
        codec_u32(c, &m->biases[i].token);
        codec_f32(c, &m->biases[i].bias);
    }
}

static void walk_job_submit(struct codec *c, struct wire_job_submit *m) {
    codec_u64(c, &m->job);
    codec_u32(c, &m->attempt);
    codec_u64(c, &m->instance);
    fields_sampling(c, &m->sampling);
    codec_u32(c, &m->tokens_max);
    codec_count(c, &m->prompt_count, WIRE_TOKENS_MAX);
    codec_u32_array(c, &m->prompt, m->prompt_count);
    codec_count(c, &m->stop_count, WIRE_STOPS_MAX);
    codec_u32_array(c, &m->stops, m->stop_count);
    codec_choice(c, &m->kind, WIRE_JOB_EMBEDDING);
    codec_u32(c, &m->row_count);
    codec_u32(c, &m->generated);
    walk_grammar(c, &m->grammar);
    codec_count(c, &m->logprobs, WIRE_LOGPROBS_MAX);
    walk_biases(c, m);
    codec_u64(c, &m->client);
    codec_u32(c, &m->keep_alive_s);
}

static void walk_job_tokens(struct codec *c, struct wire_job_tokens *m) {
    codec_u64(c, &m->job);
    codec_u32(c, &m->attempt);
    codec_u32(c, &m->first);
    codec_count(c, &m->count, WIRE_TOKENS_MAX);
    codec_u32_array(c, &m->tokens, m->count);
}

static void walk_job_end(struct codec *c, struct wire_job_end *m) {
    codec_u64(c, &m->job);
    codec_u32(c, &m->attempt);
    codec_choice(c, &m->reason, WIRE_JOB_FAILED);
    codec_i32(c, &m->code);
    codec_u32(c, &m->prompt_tokens);
    codec_u32(c, &m->cached_tokens);
    codec_u32(c, &m->tokens);
    codec_u64(c, &m->prefill_us);
    codec_u64(c, &m->decode_us);
    codec_u32(c, &m->hop_us_median);
    codec_u32(c, &m->hop_us_p99);
    codec_u32(c, &m->raw_hop_us);
    codec_u32(c, &m->token.compute);
    codec_u32(c, &m->token.serialise);
    codec_u32(c, &m->token.others);
    codec_u32(c, &m->token.wire);
    codec_text(c, m->text, sizeof m->text);
}

static void walk_job_cancel(struct codec *c, struct wire_job_cancel *m) {
    codec_u64(c, &m->job);
    codec_u32(c, &m->attempt);
}

static void walk_job_rows(struct codec *c, struct wire_job_rows *m) {
    codec_u64(c, &m->job);
    codec_u32(c, &m->attempt);
    codec_u32(c, &m->position);
    codec_u32(c, &m->offset);
    codec_count(c, &m->len, WIRE_JOB_ROWS_BYTES_MAX);
    if (codec_reading(c)) m->bytes = codec_array(c, m->len, 1, 1);
    if (!codec_failed(c)) codec_bytes(c, m->bytes, m->len);
}

static void walk_message(struct codec *c, struct wire_message *m) {
    switch (m->type) {
    case WIRE_HELLO: walk_hello(c, &m->hello); break;
    case WIRE_HEARTBEAT: walk_heartbeat(c, &m->heartbeat); break;
    case WIRE_FACTS: fields_facts(c, &m->facts); break;
    case WIRE_PEERS: walk_peers(c, &m->peers); break;
    case WIRE_GOODBYE: walk_goodbye(c, &m->goodbye); break;
    case WIRE_NEW_SECRET: codec_bytes(c, m->new_secret.secret, sizeof m->new_secret.secret); break;
    case WIRE_MEASURE: walk_measure(c, &m->measure); break;
    case WIRE_MODEL_QUERY: walk_model_query(c, &m->model_query); break;
    case WIRE_MODEL_ANSWER: walk_model_answer(c, &m->model_answer); break;
    case WIRE_HEADER_GET: walk_header_get(c, &m->header_get); break;
    case WIRE_HEADER_DATA: walk_header_data(c, &m->header_data); break;
    case WIRE_RESERVE: walk_reserve(c, &m->reserve); break;
    case WIRE_RESERVE_OK: walk_reserve_ok(c, &m->reserve_ok); break;
    case WIRE_RESERVE_REFUSED: walk_reserve_refused(c, &m->reserve_refused); break;
    case WIRE_RELEASE: codec_u64(c, &m->release.request); break;
    case WIRE_COMMIT: walk_commit(c, &m->commit); break;
    case WIRE_LOAD:
    case WIRE_LOADED:
    case WIRE_UNLOAD: walk_subject(c, &m->subject); break;
    case WIRE_LOAD_PROGRESS: walk_load_progress(c, &m->load_progress); break;
    case WIRE_LOAD_FAILED: walk_load_failed(c, &m->load_failed); break;
    case WIRE_STOP: codec_u64(c, &m->stop.instance); break;
    case WIRE_INSTANCE: walk_instance(c, &m->instance); break;
    case WIRE_INSTANCES: walk_instances(c, &m->instances); break;
    case WIRE_JOB_SUBMIT: walk_job_submit(c, &m->job_submit); break;
    case WIRE_JOB_TOKENS: walk_job_tokens(c, &m->job_tokens); break;
    case WIRE_JOB_END: walk_job_end(c, &m->job_end); break;
    case WIRE_JOB_CANCEL: walk_job_cancel(c, &m->job_cancel); break;
    case WIRE_JOB_ROWS: walk_job_rows(c, &m->job_rows); break;
    default: c->failed = true; break;
    }
}

static bool control_type(uint16_t type) {
    return (type >= WIRE_HELLO && type <= WIRE_MEASURE) || (type >= WIRE_MODEL_QUERY && type <= WIRE_HEADER_DATA) ||
           (type >= WIRE_RESERVE && type <= WIRE_INSTANCES) || (type >= WIRE_JOB_SUBMIT && type <= WIRE_JOB_ROWS);
}

static bool data_type(uint16_t type) { return type == WIRE_HELLO || (type >= WIRE_STEP && type <= WIRE_LOGITS); }

int wire_header_decode(struct wire_header *h, const uint8_t bytes[WIRE_HEADER_BYTES], enum wire_link_kind kind,
                       struct error *error) {
    struct bytes_reader r = bytes_reader(bytes, WIRE_HEADER_BYTES);
    h->length = bytes_u32(&r);
    h->type = bytes_u16(&r);
    h->flags = bytes_u16(&r);
    uint32_t length_max = kind == WIRE_CONTROL ? WIRE_CONTROL_BYTES_MAX : WIRE_DATA_BYTES_MAX;
    if (!(kind == WIRE_CONTROL ? control_type(h->type) : data_type(h->type)))
        return error_set(error, ERR_INVALID, "a frame of type %u has no place on this link", h->type);
    if (h->flags != 0) return error_set(error, ERR_INVALID, "unknown flags 0x%x in a frame", h->flags);
    if (h->length > length_max)
        return error_set(error, ERR_INVALID, "a frame of %u bytes is longer than %u", h->length, length_max);
    return 0;
}

size_t wire_size(struct wire_message *m) {
    struct codec c = {.mode = CODEC_MEASURE};
    walk_message(&c, m);
    assert(!codec_failed(&c));
    return WIRE_HEADER_BYTES + c.measured;
}

size_t wire_encode(struct wire_message *m, uint8_t *frame, size_t capacity) {
    size_t len = wire_size(m);
    struct codec c = {.mode = CODEC_WRITE, .writer = bytes_writer(frame, capacity)};
    bytes_put_u32(&c.writer, (uint32_t)(len - WIRE_HEADER_BYTES));
    bytes_put_u16(&c.writer, (uint16_t)m->type);
    bytes_put_u16(&c.writer, 0);
    walk_message(&c, m);
    assert(!codec_failed(&c) && c.writer.len == len);
    return len;
}

int wire_decode(struct wire_message *m, const uint8_t *frame, size_t len, struct arena *arena, struct error *error) {
    struct wire_header h;
    memset(m, 0, sizeof *m);
    if (len < WIRE_HEADER_BYTES) return error_set(error, ERR_INVALID, "a frame of %zu bytes has no header", len);
    int status = wire_header_decode(&h, frame, WIRE_CONTROL, error);
    if (status != 0) return status;
    if (h.length != len - WIRE_HEADER_BYTES)
        return error_set(error, ERR_INVALID, "a frame says %u bytes and has %zu", h.length, len - WIRE_HEADER_BYTES);
    struct codec c = {.mode = CODEC_READ, .reader = bytes_reader(frame + WIRE_HEADER_BYTES, h.length), .arena = arena};
    m->type = h.type;
    walk_message(&c, m);
    if (codec_failed(&c) || (c.reader.left > 0 && h.type != WIRE_HELLO))
        return error_set(error, ERR_INVALID, "malformed message of type %u (%u bytes)", h.type, h.length);
    return 0;
}

static void walk_beacon(struct codec *c, struct wire_beacon *b) {
    codec_u16(c, &b->protocol_min);
    codec_u16(c, &b->protocol_max);
    codec_u64(c, &b->id);
    codec_u64(c, &b->boot);
    codec_u64(c, &b->key_id);
    codec_u16(c, &b->port);
}

size_t wire_beacon_encode(struct wire_beacon *b, uint8_t *bytes, size_t capacity) {
    struct codec c = {.mode = CODEC_WRITE, .writer = bytes_writer(bytes, capacity)};
    walk_beacon(&c, b);
    assert(!codec_failed(&c));
    return c.writer.len;
}

int wire_beacon_decode(struct wire_beacon *b, const uint8_t *bytes, size_t len, struct error *error) {
    struct codec c = {.mode = CODEC_READ, .reader = bytes_reader(bytes, len)};
    walk_beacon(&c, b);
    if (codec_failed(&c) || b->id == 0 || b->boot == 0 || b->protocol_min > b->protocol_max)
        return error_set(error, ERR_INVALID, "malformed beacon of %zu bytes", len);
    return 0;
}
