/* The compute pool: the threads that share the work of one slice.
 *
 * A region is cut into chunks. Each member begins with its share of neighbouring ones and then takes what others did
 * not get to, so a thread that lost its core delays at most the chunk it holds. Between regions workers spin for some
 * tens of microseconds, then sleep: an idle pool costs nothing. The calling thread is member 0 and works too; one
 * thread owns the pool. How work is cut never changes a result.
 */
#pragma once
#include <stddef.h>

struct pool;

/* Work on items [begin, end) as member `member` (0 .. threads - 1: for scratch memory). */
typedef void pool_task(void *context, unsigned member, size_t begin, size_t end);

/* `threads` >= 1 members, the caller included. ERR_NOMEM when the system gives no memory or threads. */
int pool_new(struct pool **out, unsigned threads);
void pool_free(struct pool *p); /* NULL is fine */
unsigned pool_threads(const struct pool *p);

/* Run task over items [0, count) in chunks of at most `grain` (>= 1) and return when all are done. */
void pool_run(struct pool *p, size_t count, size_t grain, pool_task *task, void *context);
