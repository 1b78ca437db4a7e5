/* What `caravan show` tells of a model: what its header says, what it needs, where its bytes lie on this node. */
#pragma once
#include <jansson.h>

#include "model/model.h"

/* New reference. The model's files are looked at. Any thread. */
json_t *show_json(const struct model *m, const char *name);
