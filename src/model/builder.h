/* How a model comes to be from its file's header: params.c reads the keys, roles.c gives tensors their roles. Private
 * to model.c and these two. */
#pragma once
#include "model/family.h"
#include "model/model.h"

struct builder {
    struct model *m;
    const struct model_family *family;
    uint32_t layers_beyond; /* the file's last layers that nobody runs: they only predict more tokens at once */
    bool *used;             /* for each tensor of the file: it has a role */
    struct error *error;
};

/* The family and all hyper-parameters. */
int builder_read_params(struct builder *b);
/* Every layer's window and rotation; m->layers is there. */
int builder_read_layers(struct builder *b);
/* All tensors; one that has no role is an error: it would be left out of the computation without anyone noticing. */
int builder_take_tensors(struct builder *b);
