/* Reading requests: a body to JSON, and its fields one by one, each with an error that names it.
 *
 * A field that is absent or null leaves the target as it was. Every reader returns 0 or the HTTP status with *e filled.
 * The body is bounded before it is parsed: its depth, and how many values it may hold. Pure. */
#pragma once
#include "api/job.h"

enum { BODY_DEPTH_MAX = 64, BODY_VALUES_MAX = 400000 };

/* The body must be one JSON object without duplicate keys; job->body is set, the job's own. */
int body_parse(struct api_job *job, const char *body, size_t len, struct api_error *e);

/* "'param' WHAT", status 400. */
int body_wrong(struct api_error *e, const char *param, const char *what);

/* NULL when it is absent or null. */
const json_t *body_get(const json_t *object, const char *key);
int body_float(const json_t *object, const char *key, double min, double max, float *out, struct api_error *e);
/* A whole number from min on; what is more than fits becomes the largest number. */
int body_count(const json_t *object, const char *key, uint32_t min, uint32_t *out, struct api_error *e);
int body_bool(const json_t *object, const char *key, bool *out, struct api_error *e);

/* "model". */
int body_model(struct api_job *job, struct api_error *e);
/* temperature, top_p, min_p, top_k, penalties and seed, under OpenAI's names and llama.cpp's, from `object`. */
int body_sampling(struct api_job *job, const json_t *object, struct api_error *e);
/* "prompt" or "input": a text, an array of texts, of token ids, or of arrays of token ids: job->prompts is set. */
int body_prompts(struct api_job *job, const char *key, struct api_error *e);
/* {"TOKEN": BIAS}. */
int body_biases(struct api_job *job, const char *key, struct api_error *e);
/* Texts and numbers for the chat template, of an object; what a template must not be told by a client is left out. */
int body_variables(struct api_job *job, const char *key, struct api_error *e);
/* Another one of them. */
void body_variable(struct api_job *job, const char *key, json_t *value);
/* job->made is an object for what a dialect makes: new there, the job's. Returns the value, which is taken. */
const json_t *body_make(struct api_job *job, const char *key, json_t *value);
/* A string or an array of strings; empty ones count as none. */
int body_stops(struct api_job *job, const json_t *object, const char *key, struct api_error *e);
