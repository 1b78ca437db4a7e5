/* caravan version: which program this is and what it can run on. */
#include <stdio.h>
#include <sys/utsname.h>

#include "cli/cli.h"
#include "cli/common.h"
#include "cli/options.h"

static json_t *levels(void) {
    json_t *list = json_array();
    for (unsigned isa = 0; isa <= kern_isa_best(); isa++) json_array_append_new(list, json_string(kern_isa_name(isa)));
    return list;
}

static void print_levels(const json_t *list) {
    size_t i;
    const json_t *level;
    printf("levels    ");
    json_array_foreach(list, i, level) printf("%s%s", i ? ", " : "", json_string_value(level));
    printf("\n");
}

int cli_version(int argc, char **argv) {
    struct option_words words;
    bool json = false;
    struct option_spec specs[] = {{"--json", OPTION_FLAG, &json}, {0}};
    int result = options_parse(argc, argv, specs, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    struct utsname host = {0};
    (void)uname(&host);
    char build[128];
    snprintf(build, sizeof build, "%.32s %.32s, compiler %.40s", host.sysname, host.machine, __VERSION__);
    json_t *list = levels();
    if (json)
        return common_print_json(json_pack("{s:s, s:s, s:o, s:[s]}", "version", CARAVAN_VERSION, "build", build,
                                           "levels", list, "backends", "cpu"));
    printf("caravan %s\nbuild     %s\n", CARAVAN_VERSION, build);
    print_levels(list);
    printf("backends  cpu\n");
    json_decref(list);
    return CLI_DONE;
}
