/* A reply as it comes, split into what it consists of: thoughts, text for the user, calls of tools.
 *
 * What could still become a mark is held back; a call is told when it is whole. What looks like a call and is none is
 * text after all. Pure. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "base/text.h"
#include "model/chat_form.h"

enum splitter_state { SPLIT_BEGIN, SPLIT_TEXT, SPLIT_THOUGHT, SPLIT_CALL, SPLIT_HEADER };

/* Who hears of the parts. Texts are never empty; arguments are JSON text. */
struct splitter_listener {
    void *context;
    void (*text)(void *context, bool thought, const char *text, size_t len);
    void (*call)(void *context, const char *name, const char *arguments);
};

struct splitter {
    const struct chat_form *form;
    const json_t *tools; /* NULL: calls are not looked for */
    struct splitter_listener to;
    enum splitter_state state;
    struct text held;
    size_t searched; /* bytes of it in which a call does not end */
    bool may_think;  /* nothing but space came so far */
    bool fresh;      /* leading space is left out */
};

/* thinking: the prompt has opened the thoughts already. `form` and `tools` must outlive it. */
void splitter_init(struct splitter *s, const struct chat_form *form, const json_t *tools, bool thinking,
                   const struct splitter_listener *to);
void splitter_deinit(struct splitter *s); /* a zeroed one is fine */
void splitter_add(struct splitter *s, const char *text, size_t len);
/* The reply has ended: what was held back is told. */
void splitter_finish(struct splitter *s);
