/* How a model's replies are laid out, as far as its chat template shows it: where its thoughts stand, and how it calls
 * tools. Static tables, any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* What stands between the marks of a call. */
enum call_body {
    CALL_JSON,       /* {"name": ..., "arguments": ...}, or a list of them */
    CALL_NAMED_JSON, /* the name, a mark, the arguments as JSON */
    CALL_FUNCTION,   /* <function=NAME><parameter=KEY>VALUE</parameter></function> */
    CALL_ARG_KEYS,   /* NAME, then <arg_key>KEY</arg_key><arg_value>VALUE</arg_value> */
    CALL_CHANNEL,    /* a channel of a layout that consists of channels: `to=functions.NAME`, the arguments as JSON */
};

/* How calls are written: section_begin, then for each call begin NAME middle ARGUMENTS end, then section_end. */
struct call_syntax {
    const char *name;     /* for people */
    const char *signs[3]; /* a template with all of these uses it; NULL: less */
    enum call_body body;
    const char *mark;  /* a reply calls a tool from here on; "": where it is a JSON object as a whole */
    const char *close; /* up to here; "": to the next mark, or to the end */
    const char *begin, *middle, *end;
    const char *section_begin, *section_end;
};

struct chat_form {
    const char *think_open, *think_close; /* around thoughts at the beginning of a reply */
    const struct call_syntax *calls;
    bool shows_tools;       /* the template tells the model of its tools; else somebody else must */
    bool switches_thinking; /* it knows `enable_thinking` */
};

/* Of a template's source. */
struct chat_form chat_form_of(const char *source, size_t len);
/* Is this the text of a token without which a reply cannot be read? Control tokens like it are kept in the text. */
bool chat_form_marks(const struct chat_form *form, const char *piece, size_t len);
