#include "model/template/case.h"

#include <utf8proc.h>

bool case_is_upper(int32_t c) { return utf8proc_category(c) == UTF8PROC_CATEGORY_LU; }
bool case_is_lower(int32_t c) { return utf8proc_category(c) == UTF8PROC_CATEGORY_LL || c == 0xaa || c == 0xba; }

bool case_is_alpha(int32_t c) {
    utf8proc_category_t category = utf8proc_category(c);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool case_is_decimal(int32_t c) { return utf8proc_category(c) == UTF8PROC_CATEGORY_ND; }

bool case_is_alnum(int32_t c) {
    utf8proc_category_t category = utf8proc_category(c);
    return case_is_alpha(c) || (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

static bool is_cased(int32_t c) {
    return case_is_upper(c) || case_is_lower(c) || utf8proc_category(c) == UTF8PROC_CATEGORY_LT;
}

static void add_upper(struct builder *b, int32_t c, bool title, bool user) {
    if (c == 0xdf) { /* sharp s has no capital of its own in the full mapping (Unicode SpecialCasing) */
        builder_add_char(b, 'S', user);
        builder_add_char(b, title ? 's' : 'S', user);
    } else {
        builder_add_char(b, title ? utf8proc_totitle(c) : utf8proc_toupper(c), user);
    }
}

struct string *case_apply(struct interp *in, const struct string *s, enum case_rule rule) {
    struct builder b = builder_new(in);
    bool after_letter = false;
    for (size_t at = 0, len; at < s->len; at += len) {
        int32_t c = string_char(s, at, &len);
        bool user = string_user_at(s, at);
        bool first = rule == CASE_CAPITALIZE ? at == 0 : rule == CASE_TITLE && !after_letter;
        after_letter = is_cased(c);
        if (first)
            add_upper(&b, c, true, user);
        else if (rule == CASE_UPPER || (rule == CASE_SWAP && case_is_lower(c)))
            add_upper(&b, c, false, user);
        else if (rule == CASE_SWAP && !case_is_upper(c))
            builder_add_slice(&b, s, at, at + len);
        else
            builder_add_char(&b, utf8proc_tolower(c), user);
    }
    return builder_string_like(&b, s);
}
