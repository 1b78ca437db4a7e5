#include "cli/cluster.h"

#include <stdio.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/common.h"

int cluster_bench(const struct cluster_bench *b, json_t **result, struct error *error) {
    char path[CLI_PATH_BYTES];
    struct client *client = NULL;
    json_t *request = json_pack("{s:s, s:I, s:I, s:I, s:I}", "model", common_model_name(b->model, path), "prompt",
                                (json_int_t)b->prompt, "generate", (json_int_t)b->generate, "repeat",
                                (json_int_t)b->repeat, "requests", (json_int_t)b->requests);
    int rc = client_open(&client, CLIENT_CLUSTER, error);
    if (rc == 0) rc = client_post(client, "bench", json_incref(request), result, error);
    client_close(client);
    json_decref(request);
    return rc;
}

int cluster_logits(const char *model, const uint32_t *tokens, uint32_t count, uint32_t chunk) {
    char path[CLI_PATH_BYTES];
    struct client *client = NULL;
    struct error error;
    struct text rows = {0};
    json_t *ids = json_array();
    for (uint32_t i = 0; i < count; i++) json_array_append_new(ids, json_integer(tokens[i]));
    json_t *request = json_pack("{s:s, s:o, s:I}", "model", common_model_name(model, path), "tokens", ids, "chunk",
                                (json_int_t)chunk);
    int code = client_open(&client, CLIENT_CLUSTER, &error);
    if (code == 0) code = client_post_bytes(client, "logits", json_incref(request), &rows, &error);
    client_close(client);
    json_decref(request);
    if (code == 0 && (fwrite(text_str(&rows), 1, rows.len, stdout) != rows.len || fflush(stdout) != 0))
        code = error_set(&error, ERR_IO, "standard output does not take the logits");
    text_deinit(&rows);
    return code == 0 ? CLI_DONE : common_fail(&error);
}
