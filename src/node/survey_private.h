/* What the files of the survey share. */
#pragma once
#include "node/survey.h"
#include "os/dir.h"
#include "store/origin.h"

enum { SURVEY_DEPTH = 3 };

/* One file or folder of the folder that is looked into. */
void survey__progress(const struct survey *s);
bool survey__is_gguf(const char *name); /* weights, not a projector of pictures */
/* All parts of one split file, and nothing else, in a folder? Their bytes, and NAME of "NAME-00001-of-00003.gguf". */
bool survey__parts(const char *path, uint64_t *bytes, char name[ORIGIN_NAME_BYTES]);
/* Safetensors with their config.json? Their bytes. */
bool survey__tensors(const char *path, uint64_t *bytes);
/* Does the path, links followed, lie below the survey's folder? */
bool survey__inside(const struct survey *s, const char *path);
int survey__add(const struct survey *s, const char *name, const char *path, uint64_t bytes, bool folder, bool tensors);
/* What stands in a small file, for free(); NULL when it cannot be read or is no small one. */
char *survey__text(const char *path, size_t *len);

int survey__ollama(const struct survey *s);
int survey__hub(const struct survey *s);
int survey__lmstudio(const struct survey *s);
int survey__llamacpp(const struct survey *s);
