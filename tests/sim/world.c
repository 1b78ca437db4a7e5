#include "world.h"

#include <assert.h>
#include <string.h>

#include "base/prng.h"

enum { FROZEN_LOOK_US = 100000 }; /* how often what waits for a frozen host is looked at: it may thaw before its time */

uint64_t world_below(struct world *w, uint64_t bound) { return prng_below(&w->random, bound); }

uint64_t world_between(struct world *w, uint64_t low, uint64_t high) { return low + world_below(w, high - low); }

bool world_chance(struct world *w, uint32_t per_mille) { return world_below(w, 1000) < per_mille; }

void world_later(struct world *w, uint64_t delay_us, void (*happen)(struct world *, const struct happening *), int host,
                 uint64_t a, uint64_t b, uint64_t c) {
    struct happening h = {.at_us = w->now_us + delay_us, .happen = happen, .a = a, .b = b, .c = c};
    if (host != JOURNAL_NOBODY) {
        h.host = (uint32_t)host;
        h.life = w->hosts[host].life;
    }
    agenda_add(&w->agenda, &h);
}

/* The host whose timer is due first, if that is before `until_us`. */
static int next_tick(const struct world *w, uint64_t *until_us) {
    int first = -1;
    for (uint32_t i = 0; i < w->scenario.hosts; i++) {
        const struct host *h = &w->hosts[i];
        uint64_t due_us = h->tick_us > h->thaw_us ? h->tick_us : h->thaw_us;
        if (!h->up || due_us >= *until_us) continue;
        *until_us = due_us;
        first = (int)i;
    }
    return first;
}

static void one_thing(struct world *w) {
    struct happening h = agenda_take(&w->agenda);
    assert(h.at_us >= w->now_us);
    w->now_us = h.at_us;
    w->events++;
    if (h.life != 0) {
        const struct host *host = &w->hosts[h.host];
        if (!host->up || host->life != h.life) return;
        if (host->thaw_us > w->now_us) {
            uint64_t again_us = w->now_us + FROZEN_LOOK_US;
            h.at_us = host->thaw_us < again_us ? host->thaw_us : again_us;
            agenda_add(&w->agenda, &h);
            return;
        }
    }
    h.happen(w, &h);
}

void world_run(struct world *w, uint64_t until_us) {
    while (!w->journal.broken) {
        uint64_t due_us = agenda_time(&w->agenda);
        if (due_us > until_us) due_us = until_us;
        int host = next_tick(w, &due_us);
        if (host >= 0) {
            if (due_us > w->now_us) w->now_us = due_us;
            w->events++;
            host_step(w, (uint32_t)host, &(struct node_event){.type = NODE_TICK});
        } else if (agenda_time(&w->agenda) <= until_us) {
            one_thing(w);
        } else {
            break;
        }
    }
    if (!w->journal.broken && until_us > w->now_us) w->now_us = until_us;
}

void world_init(struct world *w, uint64_t seed, enum journal_mode mode) {
    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->random = prng_mix(seed);
    w->now_us = 1000000;
    w->journal.mode = mode;
    scenario_draw(w);
}

void world_deinit(struct world *w) {
    for (uint32_t i = 0; i < w->scenario.hosts; i++) {
        node_free(w->hosts[i].node);
        engine_deinit(&w->hosts[i].engine);
    }
    network_deinit(&w->network);
    agenda_deinit(&w->agenda);
    journal_deinit(&w->journal);
}
