/* The name of a GGUF file that was split: "name-00002-of-00005.gguf" is part 2 of 5. Pure.
 * Source: gguf-split of llama.cpp. */
#pragma once
#include <stdbool.h>

/* False, and nothing told, for the name (or path) of a file that is whole. */
bool gguf_part(const char *path, unsigned *part, unsigned *count);
