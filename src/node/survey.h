/* A survey: which models lie in one folder, each kind of folder after its own rules.
 *
 *   own                  what was pulled, by the names of its manifest; NAME.gguf; NAME/ with safetensors, or with
 *                        the parts of a GGUF file, whose name it then has
 *   given, added         NAME.gguf, NAME/ as above, also in folders below, three deep
 *   Ollama               manifests/HOST/NAMESPACE/MODEL/TAG and the blob that it names, as MODEL:TAG
 *   Hugging Face         models--ORG--REPO/snapshots/REVISION, as ORG/REPO[:QUANT]
 *   LM Studio            ORG/REPO/FILE.gguf, likewise
 *   llama.cpp            manifest=ORG=REPO=TAG.json and the file that it names, as ORG/REPO:TAG; any other NAME.gguf
 *
 * Nothing is opened but manifests, and nothing outside of the folder is taken for a cache's: a link that leads out of
 * it is left alone. Names with control characters are, too. Any thread; it may hang where the folder does. */
#pragma once
#include "base/error.h"
#include "node/folders.h"
#include "store/models.h"

struct survey {
    const struct folder *folder;
    struct models *models; /* what is found is added to it */
    void (*progress)(void *context); /* something was looked at */
    void *context;
};

/* 0, or the reason why the folder itself cannot be read. ERR_NOMEM. */
int survey_run(const struct survey *s);
