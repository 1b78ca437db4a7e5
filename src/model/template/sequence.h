/* What filters over sequences share. */
#pragma once
#include "model/template/value.h"

/* item.a.b or item[0]: `path` is a text with dots, or an index. */
struct value sequence_attribute(struct interp *in, struct value item, struct value path);
