#include "cluster/choice.h"

enum { CLEARLY_FASTER_PER_MILLE = 100 }; /* that groups must be, to be taken by themselves */

uint32_t choice_members(const struct placement_options *o) {
    return o->shares.count > 0 ? o->shares.count : o->nodes;
}

static struct search_wish wish_of(const struct costs *c, const struct placement_options *o, uint32_t most,
                                  bool groups) {
    uint32_t wanted = choice_members(o);
    if (most > WIRE_MEMBERS_MAX) most = WIRE_MEMBERS_MAX;
    uint32_t layers = c->model->layer_count, stages = layers < WIRE_STAGES_MAX ? layers : WIRE_STAGES_MAX;
    struct search_wish wish = {
        .layout = {.throughput = o->aim == WIRE_FOR_THROUGHPUT, .spread = wanted > 0, .weights = o->shares.count > 0},
        .members_min = wanted ? wanted : 1,
        .members_max = wanted && wanted < most ? wanted : most,
        .group_max = groups ? c->model->cuts_max : 1,
        .stages_max = groups && o->split == WIRE_SPLIT_TENSOR ? 1 : stages};
    if (!groups && wish.members_max > stages) wish.members_max = stages;
    return wish;
}

/* Groups by themselves only where that is clearly faster; by weights, and without a word about groups, in a ring. */
struct search_wish choice_make(const struct costs *c, const struct placement_options *o, uint32_t members_max,
                               struct choice *choice) {
    struct search_wish ring = wish_of(c, o, members_max, false), groups = wish_of(c, o, members_max, true);
    bool may_group = c->model->cuts_max > 1 && o->split != WIRE_SPLIT_PIPELINE &&
                     (o->shares.count == 0 || o->split == WIRE_SPLIT_TENSOR);
    *choice = (struct choice){.best = {.cost_ns = LAYOUT_NEVER}};
    if (o->split != WIRE_SPLIT_TENSOR) {
        search_best(c, &ring, &choice->best);
        choice->pipeline_ns = choice->best.cost_ns;
    }
    if (!may_group) return ring;
    struct layout grouped;
    search_best(c, &groups, &grouped);
    choice->groups_ns =
        grouped.member_count > grouped.stage_count || grouped.cost_ns == LAYOUT_NEVER ? grouped.cost_ns : 0;
    uint64_t enough = choice->pipeline_ns / 1000 * (1000 - CLEARLY_FASTER_PER_MILLE);
    if (o->split == WIRE_SPLIT_TENSOR || choice->pipeline_ns == LAYOUT_NEVER || grouped.cost_ns < enough)
        choice->best = grouped;
    return groups;
}
