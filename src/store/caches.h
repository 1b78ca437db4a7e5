/* What other programs say of the models that they keep: their manifests and the names of their files, read as hostile
 * input. Pure. Formats: docs/import and server/modelpath.go of Ollama; common/arg.cpp of llama.cpp. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "store/origin.h"

enum { CACHES_DIGEST_BYTES = 65, CACHES_QUANT_BYTES = 64 };

/* The digest (64 hexadecimal digits) of the one layer of an Ollama manifest that is the model. False: there is none. */
bool caches_ollama_digest(const char *json, size_t len, char out[CACHES_DIGEST_BYTES]);

/* llama.cpp's "manifest=ORG=REPO=TAG.json": the repository, and the name by which it was fetched. */
bool caches_llamacpp_name(const char *file, char repo[ORIGIN_NAME_BYTES], char name[ORIGIN_NAME_BYTES]);
/* The file beside it that such a manifest means, a plain name. */
bool caches_llamacpp_file(const char *json, size_t len, const char *repo, char out[2 * ORIGIN_NAME_BYTES]);

/* The quantisation that a file name ends in ("name-Q4_K_M.gguf", "name.Q4_1.gguf"), without its suffix; "" when it
 * tells none. */
void caches_quant(const char *stem, char out[CACHES_QUANT_BYTES]);
