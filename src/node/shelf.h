/* The models on this node, over HTTP: listed, shown, deleted. Folders are read on the pool; the loop answers. */
#pragma once
#include "net/http/http.h"

struct daemon;

/* Each takes the exchange and answers it. */
void shelf_list(struct daemon *d, struct http_exchange *x);   /* `caravan list` */
void shelf_show(struct daemon *d, struct http_exchange *x);   /* ?model=NAME */
void shelf_remove(struct daemon *d, struct http_exchange *x); /* {"model", "cluster": on every node} */
void shelf_folders(struct daemon *d, struct http_exchange *x);     /* where models are looked for */
void shelf_add_folder(struct daemon *d, struct http_exchange *x);  /* {"path"}; from this machine only */
void shelf_drop_folder(struct daemon *d, struct http_exchange *x); /* likewise */
void shelf_prune(struct daemon *d, struct http_exchange *x);       /* {"dry_run", "parts"}: prune.h */
/* OpenAI's list of what is loaded anywhere or lies here; or the one called `name` ("": all). */
void shelf_openai(struct daemon *d, struct http_exchange *x, const char *name);
