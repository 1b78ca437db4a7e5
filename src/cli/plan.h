/* Loading, as the verbs load and run do it. */
#pragma once
#include <jansson.h>

#include "base/error.h"

struct client;

/* `request` is taken. A model that does not fit a node which was just started is tried again when others have shown up.
 * reply may be NULL. */
int plan_load(struct client *client, json_t *request, json_t **reply, struct error *error);
