/* The Anthropic dialect: messages and messages/count_tokens (docs.anthropic.com/en/api/messages). Requests are brought
 * into the form of messages.h. Pure. */
#pragma once
#include "api/dialect.h"

extern const struct api_dialect anthropic_messages, anthropic_count;

/* {"type": "error", "error": {"type", "message"}} */
void anthropic_write_error(const struct api_error *e, struct text *out);
