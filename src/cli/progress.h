/* How far a download is, on one line of a terminal that is written again and again. One thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

enum { PROGRESS_LOOK_MS = 100 };

struct progress {
    bool shown;    /* a line stands there */
    bool terminal; /* standard error is one; else nothing is shown */
};

struct progress progress_new(void);
/* What GET downloads says of one model; NULL: nothing. */
const json_t *progress_find(const json_t *downloads, const char *model);
void progress_show(struct progress *p, const json_t *download);
/* Take the line away, for what comes next. */
void progress_clear(struct progress *p);
