/* The catalog over HTTP: which models can be had by a short name, and which machines of the cluster they would fit. */
#pragma once
#include "net/http/http.h"

struct daemon;

/* Takes the exchange and answers it: [{"name","hub","size_bytes","parameters","context_length","licence","summary",
 * "here","needs_bytes","fits":[ids],"fits_cluster"}]. */
void offers_list(struct daemon *d, struct http_exchange *x);
