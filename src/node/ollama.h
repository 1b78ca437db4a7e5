/* Ollama's paths that are about models: which there are, what they are, which are loaded, and getting, copying and
 * deleting them. Loop thread. */
#pragma once
#include "net/http/http.h"

struct daemon;
struct ollama_pull;

/* Each takes the exchange and answers it. */
void ollama_tags(struct daemon *d, struct http_exchange *x);
void ollama_ps(struct daemon *d, struct http_exchange *x);
void ollama_show(struct daemon *d, struct http_exchange *x);
void ollama_version(struct daemon *d, struct http_exchange *x);
void ollama_delete(struct daemon *d, struct http_exchange *x);
void ollama_copy(struct daemon *d, struct http_exchange *x);
void ollama_get(struct daemon *d, struct http_exchange *x); /* pull */

/* Something has changed of what is on its way. */
void ollama_pulled(struct daemon *d);
/* The node goes away: answer who still waits. */
void ollama_shut(struct daemon *d);
