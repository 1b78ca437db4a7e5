/* What the live view shows, drawn on the screen: the ring, machines, models, downloads, what happened. */
#pragma once
#include "cli/watch.h"

enum { TOP_HINT_BYTES = 256 };

/* What was found, what can be run, how to add a machine: "join    caravan join CARAVAN-..."; "": none. */
struct top_hints {
    char lines[3][TOP_HINT_BYTES];
};

struct panes {
    const char *title;             /* of the head line */
    const char *keys;              /* of the foot line */
    const struct top_hints *hints; /* NULL: none */
    unsigned beat;                 /* grows while tokens are made: where the token is */
};

/* The whole screen, whatever its size. */
void panes_draw(const struct panes *p, const struct watch *w);
