/* The command line's view of its node: HTTP over the socket in the node's home.
 *
 * If no node runs on this home, client_open starts one in this process, on any free port, and client_close ends it.
 * While a client is open, SIGINT, SIGTERM and SIGHUP end the call that is under way with ERR_CANCELLED instead of the
 * process. Errors carry the node's own words. One client per process, one thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

struct client;

/* What a node that has to be started is for. */
enum client_reach {
    CLIENT_HOME,    /* what lies in this home: it sees nobody */
    CLIENT_LOOKING, /* looks for the others of its cluster while it works */
    CLIENT_CLUSTER, /* has had a moment to see them */
};

/* Does a node run on this home? */
bool client_finds_node(void);

int client_open(struct client **out, enum client_reach reach, struct error *error);
void client_close(struct client *c); /* NULL is fine */
/* Was the node started by client_open? */
bool client_owns_node(const struct client *c);
/* Give other nodes time to show up; true once one is there. */
bool client_wait_for_others(struct client *c, int wait_ms);

/* `path` is what follows /caravan/v1/, "nodes?measure=1". *reply is the caller's; ERR_ codes follow the HTTP status. */
int client_get(struct client *c, const char *path, json_t **reply, struct error *error);
/* `body` is taken. reply may be NULL. */
int client_post(struct client *c, const char *path, json_t *body, json_t **reply, struct error *error);
/* The same, and on_turn is called at least every turn_ms until the reply is there; it may call, too. False gives up,
 * which is no error, and without a reply. */
int client_post_watched(struct client *c, const char *path, json_t *body, json_t **reply, int turn_ms,
                        bool (*on_turn)(void *context), void *context, struct error *error);
/* The same for a reply that is not JSON. */
int client_post_bytes(struct client *c, const char *path, json_t *body, struct text *reply, struct error *error);

/* Post and hand over each server-sent event as it comes; on_event returns false to end the request, which is no error.
 * An event {"error": {...}} ends it with that error. */
int client_stream(struct client *c, const char *path, json_t *body,
                  bool (*on_event)(void *context, const json_t *event), void *context, struct error *error);

/* Get a stream of events, and call on_turn whenever `fd` is readable, and at least every turn_ms: what is pressed on a
 * keyboard while the stream is silent. Either ends it by returning false, which is no error. */
int client_follow(struct client *c, const char *path, bool (*on_event)(void *context, const json_t *event), int fd,
                  int turn_ms, bool (*on_turn)(void *context), void *context, struct error *error);

/* How many of GET nodes are up, this one included. */
size_t client_count_up(const json_t *nodes);

/* Text as one component of a path or query; free() it. NULL: out of memory. */
char *client_escape(const char *text);

/* Readable once a signal came. */
int client_interrupt_fd(void);
/* Forget a SIGINT that came, so that the next call runs again. True when there was one; after SIGTERM no call runs. */
bool client_take_interrupt(void);
