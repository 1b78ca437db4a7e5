/* Asides: work of the stock that may have to wait for folders of somebody else's, each done on a thread of its own, so
 * that a mount which hangs holds up nothing else. What comes of it is taken on the stock's thread. An aside that hangs
 * for good outlives the stock. */
#pragma once
#include <stdbool.h>

#include "base/error.h"

struct stock;
struct asides;

struct aside {
    struct aside *next;
    struct asides *all;
    bool visits;                  /* it calls the daemon, which does not end before it has come back */
    void (*run)(struct aside *a); /* its thread: nothing of the stock's is touched */
    /* The stock's thread: takes what came of it, and frees it. s NULL: the stock is gone, so it is only freed. */
    void (*finish)(struct stock *s, struct aside *a);
};

int asides_new(struct asides **out, struct stock *s, struct error *error);
/* The stock is about to go: wait for those who visit, let go of the others. NULL is fine. */
void asides_free(struct asides *all);
void aside_go(struct asides *all, struct aside *a); /* a: taken */
void asides_turn(struct asides *all);               /* finish what is done */
