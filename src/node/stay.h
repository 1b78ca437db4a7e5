/* Which models stay loaded: they come when a request wants them and go when nobody has wanted them for a while.
 *
 * A model that a request names and that is not loaded is loaded, once for all who wait for it. When memory is short,
 * of the instances that this node coordinates the one that has been idle for longest leaves first; while all of them
 * work, the load waits for one that does not. The coordinator counts an instance's time from its last job's end: who
 * was loaded by hand stays, who came for a request leaves after daemon_options.keep_alive_s, and jobs may say
 * otherwise. Loop thread only. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct daemon;

/* ERR_NOMEM. */
int stay_open(struct daemon *d);
/* Forget whom a load was for: the jobs are answered by others. */
void stay_shut(struct daemon *d);
void stay_close(struct daemon *d); /* the loop must run once more to close the timer */

/* Have it loaded; gateway_loaded() is told of this number. local: the word may be a path. context: the positions that
 * it shall have, as far as the model and the memory go; 0: as usual. */
uint64_t stay_load(struct daemon *d, const char *model, bool local, uint32_t context);

/* What slices.c tells of instances that this node coordinates: it is ready; a job of it begins (keep_alive_s as on the
 * wire); a job has ended. */
void stay_arrived(struct daemon *d, uint64_t instance);
void stay_begin(struct daemon *d, uint64_t instance, uint32_t keep_alive_s);
void stay_end(struct daemon *d, uint64_t instance);
/* From now on it stays for so long after each job. */
void stay_keep(struct daemon *d, uint64_t instance, uint32_t keep_alive_s);
/* When does it leave, in seconds from now? False: not that anybody here knew. */
bool stay_leaves_in(const struct daemon *d, uint64_t instance, uint64_t *seconds);
