/* What the verbs share: where the node's home is, how errors and JSON are printed. One thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "kern/kern.h"
#include "model/model.h"
#include "model/recipe.h"
#include "node/daemon.h"

enum { CLI_PATH_BYTES = 4096, CLI_SIZE_BYTES = 24, CLI_THREADS_MAX = 1024, CLI_KEEP_ALIVE_S = 300 };
enum { CLI_QUEUE_MAX = 512, CLI_GRACE_S = 10 };

/* $CARAVAN_HOME, else $XDG_DATA_HOME/caravan, else ~/.local/share/caravan. ERR_INVALID when there is none of them or it
 * is too long. */
int common_home(char out[CLI_PATH_BYTES], struct error *error);

/* "caravan: TEXT" on stderr; returns CLI_FAILED. */
int common_fail(const struct error *error);

/* The value and a newline on stdout; taken. Returns CLI_DONE, or CLI_FAILED when stdout does not take it. */
int common_print_json(json_t *value);

/* May the stream be told of bold and colour? A terminal that is not dumb, and no NO_COLOR. */
bool common_styled(FILE *stream);
/* Of the terminal that standard output is; 0: none, or it does not say. */
unsigned common_columns(void);

/* "1.5 GiB": for people. Returns out. */
const char *common_size(uint64_t bytes, char out[CLI_SIZE_BYTES]);

/* MODEL as the node must hear it: an existing path made absolute (the node has its own working directory), any other
 * name as it is. Returns name or out. */
const char *common_model_name(const char *name, char out[CLI_PATH_BYTES]);

/* What the node says of a model; cluster: and the others. *out is the caller's. */
struct client;
int common_show(struct client *client, const char *name, bool cluster, json_t **out, struct error *error);

/* The recipe of that name. CLI_USAGE after telling which there are. */
int common_recipe(const char *name, const struct recipe **out);

/* MODEL with what --quantize says (NULL: nothing): "NAME@RECIPE". CLI_DONE, or another status after telling why not. */
int common_quantized(const char *name, const char *recipe, char out[CLI_PATH_BYTES]);

/* The file that MODEL means to a verb that works without a node: a path, a catalog name, or a name in this home's model
 * folders. ERR_NOT_FOUND suggests names. */
int common_model_path(const char *name, char out[CLI_PATH_BYTES], struct error *error);

/* That file's model, opened. A folder without a recipe is quantised as far as this machine's memory asks for. */
int common_model_open(const char *name, struct model *out, struct error *error);

/* The best level of this CPU, capped by CARAVAN_ISA. ERR_INVALID when that names no level. */
int common_isa(enum kern_isa *out, struct error *error);

/* A node of this home as the environment describes it, on the usual ports; the home's path goes into `home`. */
int common_node_options(struct daemon_options *out, char home[CLI_PATH_BYTES], struct error *error);
