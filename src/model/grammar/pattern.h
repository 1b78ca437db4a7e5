/* Patterns of JSON Schema (regular expressions of ECMA-262) as expressions over the inside of a JSON string.
 *
 * The regular part: literals, `.`, classes with \d \w \s and their opposites, groups, |, * + ? {m,n} (lazy ones too), ^
 * at the beginning and $ at the end of a whole alternative; what has no anchor may have anything around it.
 * Look-around, back references, \b and \p are errors. Opposites (\D, \W, \S) are kept to ASCII and \s to its ASCII
 * part, since engines differ beyond. Pure. */
#pragma once
#include "model/grammar/expr.h"

/* min to max characters long. NULL: its texts have other lengths too, and its form cannot be bounded (not when any
 * length is asked for; language.h can). */
struct expr *pattern_read(struct expr_builder *b, const char *text, size_t len, uint32_t min, uint32_t max);
