/* Chat templates: a small Jinja interpreter.
 *
 * The language of Jinja 3 as transformers sets it up (immutable sandbox, trim_blocks, lstrip_blocks, loop controls,
 * generation blocks, tojson without ASCII escapes, raise_exception, strftime_now). Depth, steps, memory and output are
 * bounded, there is no I/O, and nothing outside the given variables can be reached. A compiled template is immutable:
 * any thread. */
#pragma once
#include <jansson.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

struct template;

enum { TEMPLATE_SOURCE_BYTES_MAX = 1 << 20, TEMPLATE_OUTPUT_BYTES_MAX = 64 << 20, TEMPLATE_DEPTH_MAX = 200 };

/* ERR_INVALID with the line of the mistake. */
int template_new(struct template **out, const char *source, size_t len, struct error *error);
void template_free(struct template *t); /* NULL is fine */

/* Render with `variables` (a JSON object; its key order is kept). `now` is an ISO date-time for strftime_now. The text
 * is appended to `out`; on an error (raise_exception, undefined look-ups, a limit) out holds what was rendered so far
 * and error->text the template's own message. */
int template_render(const struct template *t, const json_t *variables, const char *now, struct text *out,
                    struct error *error);

/* The same, and whose text it is: `foreign` names the variables (NULL-terminated) whose strings come from a user, and
 * `origin` gets one byte per byte of out: 1 where a user's text stands, 0 where the template's own does, whatever the
 * template did to either. A member "role" that is one plain word counts as the template's: it makes tokens of it. */
int template_render_origin(const struct template *t, const json_t *variables, const char *const *foreign,
                           const char *now, struct text *out, struct text *origin, struct error *error);
