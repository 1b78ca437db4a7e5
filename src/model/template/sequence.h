/* What filters over sequences share. */
#pragma once
#include "model/template/value.h"

/* item.a.b or item[0]: `path` is a text with dots, or an index. */
struct value sequence_attribute(struct interp *in, struct value item, struct value path);
/* The same; `otherwise`, unless it is absent or none, stands for what any part of the path does not find. */
struct value sequence_attribute_or(struct interp *in, struct value item, struct value path, struct value otherwise);
