#include "wire/types.h"

#include <assert.h>
#include <string.h>

#include "base/prng.h"
#include "base/size.h"
#include "wire/fields.h"

/* Texts, fixed fields, stages and members of the longest plan. */
enum { PLAN_BYTES_MAX = 1024 + WIRE_STAGES_MAX * 16 + WIRE_MEMBERS_MAX * 40 };

int wire_epoch_compare(const struct wire_epoch *a, const struct wire_epoch *b) {
    if (a->number != b->number) return a->number < b->number ? -1 : 1;
    if (a->node != b->node) return a->node < b->node ? -1 : 1;
    return 0;
}

/* The hash is taken over the plan's bytes on the wire, which are the same on every machine. */
uint64_t wire_plan_hash(const struct wire_plan *plan) {
    uint8_t bytes[PLAN_BYTES_MAX];
    struct codec c = {.mode = CODEC_WRITE, .writer = bytes_writer(bytes, sizeof bytes)};
    struct wire_plan copy = *plan;
    fields_plan(&c, &copy);
    assert(!codec_failed(&c));
    uint64_t hash = prng_mix(c.writer.len);
    for (size_t i = 0; i < c.writer.len; i++) hash = prng_mix(hash ^ bytes[i]);
    return hash;
}

static bool member_valid(const struct wire_member *m, uint64_t *share_sum) {
    uint64_t bytes;
    *share_sum += m->share;
    return m->node != 0 && m->share > 0 && m->device < WIRE_DEVICES_MAX &&
           size_add(m->weights_bytes, m->kv_bytes, &bytes) && size_add(bytes, m->scratch_bytes, &bytes);
}

bool wire_plan_valid(const struct wire_plan *plan) {
    if (plan->stage_count == 0 || plan->stage_count > WIRE_STAGES_MAX || plan->member_count > WIRE_MEMBERS_MAX)
        return false;
    if (plan->context == 0 || plan->parallel == 0 || plan->layer_count > WIRE_LAYERS_MAX) return false;
    if (plan->replicas == 0 || plan->replicas > WIRE_REPLICAS_MAX) return false;
    uint32_t layer = 0, member = 0;
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        const struct wire_stage *stage = &plan->stages[s];
        if (stage->layer_begin != layer || stage->layer_end <= layer || stage->layer_end > plan->layer_count)
            return false;
        if (stage->member_begin != member || stage->member_count == 0) return false;
        if (stage->member_count > plan->member_count - member) return false;
        uint64_t share_sum = 0;
        for (uint32_t m = 0; m < stage->member_count; m++)
            if (!member_valid(&plan->members[member + m], &share_sum)) return false;
        if (share_sum != WIRE_SHARE_ONE) return false;
        layer = stage->layer_end;
        member += stage->member_count;
    }
    return layer == plan->layer_count && member == plan->member_count;
}

uint32_t wire_plan_sessions(const struct wire_plan *plan) {
    return (plan->parallel + plan->replicas - 1) / plan->replicas;
}

int wire_plan_member(const struct wire_plan *plan, uint64_t node) {
    for (uint32_t m = 0; m < plan->member_count; m++)
        if (plan->members[m].node == node) return (int)m;
    return -1;
}

uint64_t wire_plan_bytes(const struct wire_plan *plan, uint64_t node) {
    uint64_t bytes = 0;
    for (uint32_t k = 0; k < plan->member_count; k++) {
        const struct wire_member *m = &plan->members[k];
        if (m->node == node) bytes += m->weights_bytes + m->kv_bytes + m->scratch_bytes;
    }
    return bytes;
}

uint32_t wire_plan_stage(const struct wire_plan *plan, uint32_t member) {
    uint32_t stage = 0;
    while (stage + 1 < plan->stage_count && member >= plan->stages[stage + 1].member_begin) stage++;
    return stage;
}

bool wire_plan_linked(const struct wire_plan *plan, uint32_t from, uint32_t to) {
    if (from >= plan->member_count || to >= plan->member_count) return false;
    uint32_t before = wire_plan_stage(plan, from), behind = wire_plan_stage(plan, to);
    if (before == behind) return from < to;
    bool firsts = plan->stages[before].member_begin == from && plan->stages[behind].member_begin == to;
    return firsts && behind == (before + 1) % plan->stage_count;
}
