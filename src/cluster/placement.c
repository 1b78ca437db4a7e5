/* The plan: options checked, the search called, its layout written down. How a layout is found and what it costs:
 * search.h, layout.h, costs.h. */
#include "cluster/placement.h"

#include <stdio.h>
#include <string.h>

#include "cluster/explain.h"
#include "cluster/replicas.h"

static uint32_t effective_context(const struct placement_options *o, const struct placement_model *m) {
    if (o->context) return o->context;
    return m->context && m->context < PLACEMENT_CONTEXT_DEFAULT ? m->context : PLACEMENT_CONTEXT_DEFAULT;
}

static uint32_t effective_parallel(const struct placement_options *o) {
    return o->parallel ? o->parallel : PLACEMENT_PARALLEL_DEFAULT;
}

bool placement_same_options(const struct wire_plan *plan, const struct placement_options *options,
                            const struct placement_model *model) {
    return plan->context == effective_context(options, model) && plan->parallel == effective_parallel(options) &&
           plan->nodes_wanted == options->nodes && plan->split == options->split && plan->aim == options->aim &&
           plan->shares_asked == shares_hash(&options->shares);
}

/* ---- the plan as it travels ---- */

static void begin_plan(struct wire_plan *plan, const struct placement_model *model,
                       const struct placement_options *options) {
    memcpy(plan->model, model->name, sizeof plan->model);
    memcpy(plan->fingerprint, model->fingerprint, sizeof plan->fingerprint);
    plan->context = effective_context(options, model);
    plan->parallel = effective_parallel(options);
    plan->replicas = options->replicas ? options->replicas : 1;
    plan->layer_count = model->layer_count;
    plan->nodes_wanted = options->nodes;
    plan->split = options->split;
    plan->aim = options->aim;
    plan->shares_asked = shares_hash(&options->shares);
}

static void write_member(const struct costs *c, const struct layout *l, uint32_t stage, uint32_t member,
                         struct wire_plan *plan) {
    const struct placement_device *d = c->candidates[l->members[member]].device;
    uint32_t layer = plan->stages[stage].layer_begin;
    plan->members[member] = (struct wire_member){
        .node = d->node,
        .device = d->device,
        .share = l->shares[member],
        .weights_bytes = layout_weights_bytes(c, l, stage, member, layer),
        .kv_bytes = layout_kv_bytes(c, l, stage, member, layer),
        .scratch_bytes = layout_scratch_bytes(c, l, stage, member),
    };
}

static void write_plan(const struct costs *c, const struct layout *l, struct wire_plan *plan) {
    uint32_t layer = 0;
    plan->stage_count = l->stage_count;
    plan->member_count = l->member_count;
    for (uint32_t i = 0; i < l->stage_count; i++) {
        const struct layout_stage *s = &l->stages[i];
        plan->stages[i] = (struct wire_stage){layer, layer + s->layers, s->begin, s->count};
        for (uint32_t k = 0; k < s->count; k++) write_member(c, l, i, s->begin + k, plan);
        layer += s->layers;
    }
}

/* Unknown (0) as long as a member is not measured. */
static void predict(const struct costs *c, const struct replicas *r, struct placement_result *result) {
    const struct layout *l = &r->first.best;
    bool known = true, others_known = true;
    for (uint32_t i = 0; i < l->member_count; i++) known &= c->candidates[l->members[i]].device->read_bandwidth > 0;
    for (uint32_t i = 0; i < r->other_count; i++) others_known &= r->others[i]->read_bandwidth > 0;
    result->plan.decode_tokens_per_ks = known ? costs_per_ks(l->token_ns) : 0;
    result->plan.prefill_tokens_per_ks = layout_prefill_per_ks(c, l);
    result->together_tokens_per_ks = known && others_known ? r->tokens_per_ks : 0;
}

/* ---- what cannot be ---- */

/* A name in the shares that no usable device has, or more than one: those cannot be told apart. */
static const struct share *find_stranger(const struct shares *s, const struct placement_device *devices,
                                         uint32_t count) {
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t found = 0;
        for (uint32_t k = 0; k < count; k++)
            found += !devices[k].excluded[0] && strcmp(devices[k].name, s->items[i].name) == 0;
        if (found != 1) return &s->items[i];
    }
    return NULL;
}

/* False, with the reason, for what no search could find. */
static bool possible(struct placement_result *result, const struct costs *c, const struct placement_options *o,
                     const struct placement_device *devices, uint32_t device_count) {
    const struct placement_model *m = c->model;
    const struct share *stranger = find_stranger(&o->shares, devices, device_count);
    uint32_t wanted = choice_members(o), stages = o->split == WIRE_SPLIT_TENSOR ? 1 : wanted;
    char *reason = result->reason;
    size_t capacity = sizeof result->reason;
    if (o->split == WIRE_SPLIT_TENSOR && wanted > (m->cuts_max ? m->cuts_max : 1))
        snprintf(reason, capacity, "a stage of this model can have %u nodes at most, %u were asked for",
                 m->cuts_max ? m->cuts_max : 1, wanted);
    else if (m->context && c->context > m->context)
        snprintf(reason, capacity, "the model knows %u positions, %u were asked for", m->context, c->context);
    else if (stranger)
        snprintf(reason, capacity, "--shares names \"%s\": no such node is here, or it cannot be used", stranger->name);
    else if (c->count < wanted || m->layer_count < stages || m->layer_count == 0 || (o->nodes && o->nodes != wanted))
        snprintf(reason, capacity, "%u nodes were asked for, %u can be used, the model has %u layers", o->nodes,
                 c->count, m->layer_count);
    else
        return true;
    return false;
}

void placement_plan(struct placement_result *result, const struct placement_model *model,
                    const struct placement_options *options, const struct placement_device *devices,
                    uint32_t device_count) {
    struct costs c;
    struct replicas replicas = {.first.best.cost_ns = LAYOUT_NEVER};
    memset(result, 0, sizeof *result);
    begin_plan(&result->plan, model, options);
    costs_init(&c, model, options, devices, device_count, result->plan.context, result->plan.parallel);
    if (possible(result, &c, options, devices, device_count)) {
        replicas_plan(&replicas, &c, options);
        result->fits = replicas.count > 0;
        if (!result->fits) explain_refusal(result, &c, &replicas.wish);
    }
    if (result->fits) {
        result->plan.replicas = replicas.count;
        write_plan(&c, &replicas.first.best, &result->plan);
        predict(&c, &replicas, result);
        explain_choice(result, &replicas);
    }
    explain_left_out(result, &c, &replicas, options, devices, device_count);
}
