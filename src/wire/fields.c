#include "wire/fields.h"

void fields_epoch(struct codec *c, struct wire_epoch *epoch) {
    codec_u64(c, &epoch->number);
    codec_u64(c, &epoch->node);
}

void fields_address(struct codec *c, struct wire_address *address) {
    codec_bytes(c, address->ip, sizeof address->ip);
    codec_u16(c, &address->port);
    if (codec_reading(c)) address->scope_id = 0;
}

static void walk_device(struct codec *c, struct wire_device *device) {
    codec_choice(c, &device->kind, WIRE_GPU);
    codec_u64(c, &device->memory_total);
    codec_u64(c, &device->memory_free);
    codec_u64(c, &device->read_bandwidth);
    codec_u64(c, &device->matmul_rate);
}

static void walk_link(struct codec *c, struct wire_link *link) {
    codec_u64(c, &link->to);
    codec_u32(c, &link->rtt_us);
    codec_u64(c, &link->bandwidth);
}

void fields_readings(struct codec *c, struct wire_readings *readings) {
    codec_u32(c, &readings->temperature_mc);
    codec_u32(c, &readings->power_mw);
}

void fields_facts(struct codec *c, struct wire_facts *facts) {
    codec_u64(c, &facts->memory_total);
    codec_u64(c, &facts->memory_free);
    codec_u64(c, &facts->host);
    codec_u64(c, &facts->host_free);
    codec_u32(c, &facts->threads);
    codec_text(c, facts->isa, sizeof facts->isa);
    codec_u64(c, &facts->read_bandwidth);
    codec_u64(c, &facts->matmul_rate);
    codec_count(c, &facts->device_count, WIRE_DEVICES_MAX);
    for (uint32_t i = 0; i < facts->device_count; i++) walk_device(c, &facts->devices[i]);
    codec_count(c, &facts->link_count, WIRE_LINKS_MAX);
    for (uint32_t i = 0; i < facts->link_count; i++) walk_link(c, &facts->links[i]);
    codec_u32(c, &facts->run_us);
    codec_u32(c, &facts->period_us);
    codec_u64(c, &facts->measured);
}

static void walk_stage(struct codec *c, struct wire_stage *stage) {
    codec_u32(c, &stage->layer_begin);
    codec_u32(c, &stage->layer_end);
    codec_u32(c, &stage->member_begin);
    codec_u32(c, &stage->member_count);
}

static void walk_member(struct codec *c, struct wire_member *member) {
    codec_u64(c, &member->node);
    codec_u32(c, &member->device);
    codec_u32(c, &member->share);
    codec_u64(c, &member->weights_bytes);
    codec_u64(c, &member->kv_bytes);
    codec_u64(c, &member->scratch_bytes);
}

void fields_plan(struct codec *c, struct wire_plan *plan) {
    codec_text(c, plan->model, sizeof plan->model);
    codec_bytes(c, plan->fingerprint, sizeof plan->fingerprint);
    codec_u32(c, &plan->context);
    codec_u32(c, &plan->parallel);
    codec_u32(c, &plan->replicas);
    codec_u32(c, &plan->layer_count);
    codec_u32(c, &plan->nodes_wanted);
    codec_choice(c, &plan->split, WIRE_SPLIT_TENSOR);
    codec_choice(c, &plan->aim, WIRE_FOR_THROUGHPUT);
    codec_u64(c, &plan->shares_asked);
    codec_u64(c, &plan->decode_tokens_per_ks);
    codec_u64(c, &plan->prefill_tokens_per_ks);
    codec_count(c, &plan->stage_count, WIRE_STAGES_MAX);
    codec_count(c, &plan->member_count, WIRE_MEMBERS_MAX);
    for (uint32_t i = 0; i < plan->stage_count; i++) walk_stage(c, &plan->stages[i]);
    for (uint32_t i = 0; i < plan->member_count; i++) walk_member(c, &plan->members[i]);
    if (codec_reading(c) && !codec_failed(c) && !wire_plan_valid(plan)) c->failed = true;
}

void fields_sampling(struct codec *c, struct wire_sampling *sampling) {
    codec_f32(c, &sampling->temperature);
    codec_f32(c, &sampling->top_p);
    codec_f32(c, &sampling->min_p);
    codec_f32(c, &sampling->repetition_penalty);
    codec_f32(c, &sampling->presence_penalty);
    codec_f32(c, &sampling->frequency_penalty);
    codec_u32(c, &sampling->top_k);
    codec_u64(c, &sampling->seed);
}
