/* The slices that this node runs, one worker each: loading, data links, jobs, what the worker tells. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "cluster/node.h"
#include "net/link.h"

struct daemon;

void slices_load(struct daemon *d, const struct node_effect *e);
void slices_unload(struct daemon *d, uint64_t instance, const struct wire_epoch *epoch);
void slices_unload_all(struct daemon *d);

/* Dial the data link between two stages, one of them here, again and again until it is up or the slice is gone. */
void slices_connect(struct daemon *d, const struct node_effect *e);
/* Does a slice here wait for a data link with this hello? */
bool slices_want_link(struct daemon *d, const struct wire_hello *hello);
/* The link that a peer dialled, wanted by a slice here: taken. */
void slices_take_link(struct daemon *d, const struct wire_hello *hello, struct link *link);

/* On the slice of the submit's instance under this epoch. */
void slices_start_job(struct daemon *d, uint64_t gateway, const struct wire_epoch *epoch,
                      const struct wire_job_submit *submit);

struct metrics_cache;
/* Of the instances that this node coordinates; returns how many were written. */
size_t slices_caches(const struct daemon *d, struct metrics_cache *out, size_t max);

/* Does a job of the instance run here? */
bool slices_busy(struct daemon *d, uint64_t instance);
void slices_abort_job(struct daemon *d, uint64_t gateway, uint64_t job, uint32_t attempt);

/* The stock has news: slices that wait for their bytes look again. */
void slices_pulled(struct daemon *d);
