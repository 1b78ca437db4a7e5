/* What a GGUF file says of its quantisation: `general.file_type`, the numbers of llama.h's enum llama_ftype. Pure. */
#pragma once
#include "model/gguf.h"

const char *file_type_name(const struct gguf *g); /* "Q4_K_M"; "unknown" */
