/* Letters: upper and lower case, titles, and what kind of character something is, as Python's str has it. */
#pragma once
#include "model/template/string.h"

enum case_rule { CASE_UPPER, CASE_LOWER, CASE_SWAP, CASE_CAPITALIZE, CASE_TITLE };

struct string *case_apply(struct interp *in, const struct string *s, enum case_rule rule);
bool case_is_upper(int32_t c);
bool case_is_lower(int32_t c);
bool case_is_alpha(int32_t c);
bool case_is_decimal(int32_t c);
bool case_is_alnum(int32_t c);
