/* What `caravan show` tells of a model: what its header says, what it needs, where its bytes lie on this node. */
#pragma once
#include <jansson.h>

#include "model/model.h"

/* How many bytes the model's files have, and how many of them are here. */
void show_bytes(const char *path, uint64_t *here, uint64_t *total);

/* New reference. The model's files are looked at. Any thread. */
json_t *show_json(const struct model *m, const char *name);
