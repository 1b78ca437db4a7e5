/* Requests of responses. Pure. */
#pragma once
#include "api/job.h"

/* Fills the job; job->made holds "turns", the messages without instructions. 0 or the HTTP status. */
int responses__read(struct api_job *job, const char *text, size_t len, struct api_error *e);
