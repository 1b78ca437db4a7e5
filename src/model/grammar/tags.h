/* Tags: free text with parts that keep to a schema or a grammar, as calls of tools are written.
 *
 * {"tags": [TAG, ...], "begin": TEXT, "separator": TEXT, "end": TEXT, "many": BOOL,
 *  "triggers": [TEXT, ...], "required": BOOL, "thoughts": {"open": TEXT, "close": TEXT, "opened": BOOL}}
 *
 * A block is "begin", a tag, "end"; with "many" and a "separator", several tags. Without triggers the text is one
 * block. With triggers it is free until one of them appears, which must be the beginning of a block; the rest of that
 * follows, then the text is free again ("many") or ends. With "required" it may not end before a block. Thoughts come
 * before all this: behind "open", or, when the text begins inside of them, at once; anything up to "close".
 *
 * A tag is {"begin": TEXT, "end": TEXT} around one of
 *   "schema": JSON Schema;
 *   "gbnf": TEXT;
 *   "arguments": JSON Schema, "style": {"begin": TEXT, "middle": TEXT, "end": TEXT} - the schema's properties one after
 *     another, each "begin" NAME "middle" VALUE "end"; strings as they are (up to "end"), all else as JSON.
 * Where a text holds that of a control token of the vocabulary, the token is meant. Pure. */
#pragma once
#include "model/grammar.h"
#include "model/grammar/expr.h"

struct expr *tags_read(struct expr_builder *b, const char *text, size_t len, const struct grammar_vocabulary *v);
