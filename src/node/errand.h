/* An errand: work for one exchange that is done on libuv's pool and answered on the loop. Loop thread unless said
 * otherwise. */
#pragma once
#include <jansson.h>
#include <uv.h>

#include "base/error.h"
#include "net/http/http.h"

struct daemon;

struct errand {
    uv_work_t work;
    struct daemon *daemon;
    struct http_exchange *x;          /* NULL once it was answered by `finish` */
    void (*run)(struct errand *e);    /* pool: fills status and answer */
    void (*finish)(struct errand *e); /* loop: the last word on them; may be NULL */
    char *model;                      /* "": none */
    int status;
    json_t *answer; /* the errand's until it is replied */
    struct error error;
};

/* model may be NULL. */
void errand_go(struct daemon *d, struct http_exchange *x, const char *model, void (*run)(struct errand *e),
               void (*finish)(struct errand *e));
/* The HTTP status of an error that is told to a client. */
int errand_status(const struct error *error);
