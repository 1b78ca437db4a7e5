#include "cluster/internal.h"

#include <string.h>

static struct node_peer_view self_view(const struct node *n) {
    return (struct node_peer_view){.id = n->id,
                                   .name = n->options.name,
                                   .self = true,
                                   .state = NODE_PEER_UP,
                                   .reason = "",
                                   .facts = &n->facts,
                                   .readings = n->readings};
}

static struct node_peer_view peer_view(const struct peer *p) {
    return (struct node_peer_view){.id = p->id,
                                   .name = p->hello.name,
                                   .state = p->state,
                                   .reason = p->reason,
                                   .address = p->addresses[0],
                                   .facts = &p->facts,
                                   .readings = p->readings,
                                   .rtt_us = p->rtt_us};
}

size_t node_peers(const struct node *n, struct node_peer_view *out, size_t max) {
    size_t count = 0;
    if (count < max) out[count++] = self_view(n);
    for (uint32_t i = 0; i < n->peer_count && count < max; i++)
        if (n->peers[i].known) out[count++] = peer_view(&n->peers[i]);
    return count;
}

size_t node_instances(const struct node *n, struct node_instance_view *out, size_t max) {
    size_t count = 0;
    for (uint32_t k = 0; k < n->instance_count && count < max; k++) {
        const struct instance *i = &n->instances[k];
        if (!instances_shown(n, i)) continue;
        out[count++] = (struct node_instance_view){.id = i->id,
                                                   .epoch = i->epoch,
                                                   .state = i->state,
                                                   .reason = i->text,
                                                   .coordinator = i->coordinator,
                                                   .bytes_done = i->bytes_done,
                                                   .bytes_total = i->bytes_total,
                                                   .plan = &i->plan};
    }
    return count;
}

uint64_t node_reserved_bytes(const struct node *n) { return slices_bytes(n); }

static bool between_members(const struct wire_plan *plan, const struct wire_hello *hello, uint64_t self) {
    if (!wire_plan_linked(plan, hello->member_from, hello->member_to)) return false;
    uint64_t from = plan->members[hello->member_from].node, to = plan->members[hello->member_to].node;
    return (from == hello->id && to == self) || (from == self && to == hello->id);
}

bool node_data_link_wanted(const struct node *n, const struct wire_hello *hello) {
    if (hello->kind != WIRE_DATA) return false;
    for (uint32_t i = 0; i < n->slice_count; i++) {
        const struct slice *s = &n->slices[i];
        if (s->instance == hello->instance && wire_epoch_compare(&s->epoch, &hello->epoch) == 0)
            return between_members(&s->plan, hello, n->id);
    }
    return false;
}
