/* A chat in the terminal, or line by line from a pipe. One thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "cli/answer.h"
#include "cli/common.h"

struct client;
struct line;

struct chat {
    struct client *client; /* the caller's */
    struct line *line;
    struct answer_settings settings;
    char model[CLI_PATH_BYTES]; /* what settings.model points to */
    json_t *messages;           /* {"role", "content"}, the system prompt first where there is one */
    char file[CLI_PATH_BYTES];  /* where it was last saved to or loaded from; "" */
    enum answer_look look;
    bool ended;                 /* a command said so */
    /* Of the answers that came to their end. */
    struct answer last;         /* its text is not kept */
    int64_t answers, tokens;
    double seconds;
};

/* Talk until the input ends, with a model that is loaded. On a terminal a question that fails is told and the chat goes
 * on; from a pipe it ends it. */
int chat_run(struct client *client, const struct answer_settings *settings, struct error *error);

/* Does what a line such as "/model NAME" says. False: the message is none. */
bool chat_command(struct chat *c, const char *message);
/* The commands' names with their slash, a NULL behind the last. */
extern const char *const chat_commands[];
