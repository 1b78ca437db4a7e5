#include "api/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void api_job_init(struct api_job *job) {
    *job = (struct api_job){.tokens_max = API_TOKENS_UNLIMITED,
                            .temperature = 1,
                            .top_p = 1,
                            .repetition_penalty = 1,
                            .keep_alive_s = API_KEEP_AS_IT_IS,
                            .answers = 1};
}

void api_job_deinit(struct api_job *job) {
    json_decref(job->body);
    json_decref(job->made);
    job->body = job->made = NULL;
    text_deinit(&job->grammar);
    free(job->biases);
    job->biases = NULL;
}

int api_error_set(struct api_error *e, int status, const char *type, const char *code, const char *param,
                  const char *format, ...) {
    *e = (struct api_error){.status = status, .type = type, .code = code};
    snprintf(e->param, sizeof e->param, "%s", param);
    va_list args;
    va_start(args, format);
    vsnprintf(e->message, sizeof e->message, format, args);
    va_end(args);
    return status;
}
