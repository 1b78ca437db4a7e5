/* A scout: looks into one folder of models on a thread of its own, so that a mount which hangs holds up nobody else.
 *
 * Sent out, it surveys the folder and reads the headers that the index does not know; whoever waits for it waits as
 * long as it gets on, and then goes on with what it saw last time. Counted references; a scout that hangs keeps its
 * own. Any thread. */
#pragma once
#include "node/folders.h"
#include "node/index.h"
#include "store/models.h"

struct scout;

/* `index` is held; NULL: no headers are read. NULL: out of memory. */
struct scout *scout_new(const struct folder *where, struct index *index);
struct scout *scout_hold(struct scout *s);
void scout_release(struct scout *s); /* NULL is fine */

/* Look again; when it is still out: once more, then. */
void scout_send(struct scout *s);
/* Wait until it is back, but no longer than two seconds since its last sign of life (several that were sent together
 * hang no longer than one), and not at all for one that was given up already: until it is back after all. False: it
 * hangs. */
bool scout_wait(struct scout *s);

/* Is there an answer about this path within two seconds, be it that there is nothing? */
bool scout_knock(const char *path);

struct scout_view {
    struct folder where;
    bool hangs;
    int code; /* why the folder could not be read */
    size_t models;
    uint64_t bytes;
};

void scout_look(struct scout *s, struct scout_view *out);
/* Add what it saw last to `out`, which keeps the names it has. 0 or ERR_NOMEM. */
int scout_report(struct scout *s, struct models *out);
