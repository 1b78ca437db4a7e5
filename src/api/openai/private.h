/* What the files of the OpenAI dialect share. */
#pragma once
#include "api/openai/openai.h"

/* model, sampling, stop, n, logit_bias and streaming: what chat/completions and completions have in common. */
int openai__read_common(struct api_job *job, struct api_error *e);
/* response_format (or `text.format` of responses), of an object's key. */
int openai__read_format(struct api_job *job, const json_t *format, const char *param, struct api_error *e);
/* "grammar": GBNF. */
int openai__read_grammar(struct api_job *job, struct api_error *e);
/* "low", "none" ...: how much a model should think. */
int openai__read_effort(struct api_job *job, const json_t *object, const char *key, struct api_error *e);

const char *openai__finish_reason(const struct api_answer *a);
json_t *openai__usage(const struct api_reply *r);
/* The last chunk of a stream: usage if it was asked for, and [DONE]. */
void openai__write_end(const struct api_job *job, struct api_reply *r, const char *object, struct text *out);
/* A chunk, or the whole reply, with the given choices (taken). */
json_t *openai__reply(const struct api_reply *r, const char *object, json_t *choices);
