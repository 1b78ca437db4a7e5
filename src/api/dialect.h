/* A dialect: how one kind of request is read, and how its answer is written. The gateway does the rest, the same for
 * all.
 *
 * Writers append to a text. A streamed reply is begin, any number of pieces, end; one that is not streamed is one
 * whole. An error is a body before the stream has begun, and an event in the middle of it. Pure, any thread. */
#pragma once
#include "api/reply.h"

struct api_dialect {
    const char *id_prefix;   /* of the reply's id */
    const char *stream_type; /* Content-Type of a stream */
    /* The job is initialised. 0, or the HTTP status with *e filled; the job must be deinit'ed in both cases. */
    int (*read)(struct api_job *job, const char *body, size_t len, struct api_error *e);
    void (*begin)(const struct api_job *job, struct api_reply *r, struct text *out);
    void (*piece)(const struct api_job *job, struct api_reply *r, const struct api_piece *piece, struct text *out);
    /* One of the answers is complete; NULL: nothing is written then. */
    void (*answered)(const struct api_job *job, struct api_reply *r, const struct api_answer *a, struct text *out);
    void (*end)(const struct api_job *job, struct api_reply *r, struct text *out); /* all are */
    void (*whole)(const struct api_job *job, struct api_reply *r, struct text *out);
    void (*stream_error)(const struct api_error *e, struct text *out);
    void (*error)(const struct api_error *e, struct text *out);
};
