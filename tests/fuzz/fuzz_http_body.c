/* Any bytes as the body of a request, in every dialect: a job that keeps its promises, or an error with a status and a
 * message. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "api/anthropic/anthropic.h"
#include "api/cluster/generate.h"
#include "api/ollama/ollama.h"
#include "api/openai/openai.h"
#include "api/openai/responses.h"
#include "base/size.h"

static const struct api_dialect *const dialects[] = {
    &openai_chat, &openai_completions, &openai_embeddings, &openai_responses,  &anthropic_messages, &anthropic_count,
    &ollama_chat, &ollama_generate,    &ollama_embed,      &ollama_embeddings, &cluster_generate};

static void read_as(const struct api_dialect *dialect, const char *body, size_t len) {
    struct api_job job;
    struct api_error error = {0};
    struct text out = {0};
    api_job_init(&job);
    int status = dialect->read(&job, body, len, &error);
    if (status) {
        assert(status == error.status && status >= 400 && status < 500 && error.message[0]);
        dialect->error(&error, &out);
        dialect->stream_error(&error, &out);
        assert(!out.failed && out.len > 0);
    } else {
        assert(job.model && (job.messages || job.prompts || job.load_only) && job.answers > 0);
        assert(job.temperature >= 0 && job.top_p >= 0 && job.stop_count <= API_STOPS_MAX);
    }
    text_deinit(&out);
    api_job_deinit(&job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) read_as(dialects[i], (const char *)data, size);
    return 0;
}
