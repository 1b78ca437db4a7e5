/* The tables of what the language brings along; each ends with an entry without a name. */
#pragma once
#include "model/template/builtin.h"

extern const struct builtin filters_text[], filters_sequence[], filters_select[], tests_table[], functions_table[];
extern const struct builtin methods_string[], methods_predicate[], methods_dict[], methods_list[], methods_loop[],
    methods_cycler[], methods_tuple[];
