#include "node/errand.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/daemon_private.h"

static void on_pool(uv_work_t *work) {
    struct errand *e = work->data;
    e->run(e);
}

static void on_back(uv_work_t *work, int status) {
    struct errand *e = work->data;
    if (e->finish) e->finish(e);
    if (e->x) web_reply(e->x, e->status, e->answer);
    e->daemon->errands--;
    free(e->model);
    free(e);
}

void errand_go(struct daemon *d, struct http_exchange *x, const char *model, void (*run)(struct errand *e),
               void (*finish)(struct errand *e)) {
    struct errand *e = calloc(1, sizeof *e);
    assert(e != NULL);
    *e = (struct errand){.daemon = d, .x = x, .run = run, .finish = finish, .status = 200};
    e->model = strdup(model ? model : "");
    e->work.data = e;
    d->errands++;
    uv_queue_work(&d->loop, &e->work, on_pool, on_back);
}

int errand_status(const struct error *error) {
    switch (error->code) {
    case ERR_NOT_FOUND: return 404;
    case ERR_DENIED: return 403;
    case ERR_TIMEOUT: return 504;
    default: return 400;
    }
}
