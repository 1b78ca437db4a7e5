/* caravan key add | list | rm: the file of API keys in the node's home. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/common.h"
#include "cli/options.h"
#include "node/keys.h"
#include "os/dir.h"

struct key_file {
    char home[CLI_PATH_BYTES];
    struct keys keys;
};

static int open_file(struct key_file *f, struct error *error) {
    int code = common_home(f->home, error);
    if (code == 0) code = dir_make(f->home, error);
    return code == 0 ? keys_load(&f->keys, f->home, error) : code;
}

int cli_key_add(int argc, char **argv) {
    static struct key_file file;
    struct option_words words;
    struct error error;
    char text[KEYS_TEXT_BYTES];
    int result = options_parse(argc, argv, (struct option_spec[]){{0}}, 0, 1, &words);
    if (result != OPTIONS_OK) return options_status(result);
    if (open_file(&file, &error) != 0 || keys_add(&file.keys, words.at[0], text, &error) != 0 ||
        keys_save(&file.keys, file.home, &error) != 0)
        return common_fail(&error);
    fprintf(stderr, "keep it: the key is not shown again\n");
    printf("%s\n", text);
    return CLI_DONE;
}

int cli_key_list(int argc, char **argv) {
    static struct key_file file;
    struct option_words words;
    struct error error;
    bool json = false;
    struct option_spec specs[] = {{"--json", OPTION_FLAG, &json}, {0}};
    int result = options_parse(argc, argv, specs, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    if (open_file(&file, &error) != 0) return common_fail(&error);
    json_t *list = json_array();
    for (size_t i = 0; i < file.keys.count; i++) {
        if (json)
            json_array_append_new(list, json_pack("{s:s}", "name", file.keys.entries[i].name));
        else
            printf("%s\n", file.keys.entries[i].name);
    }
    if (json) return common_print_json(list);
    json_decref(list);
    return CLI_DONE;
}

int cli_key_rm(int argc, char **argv) {
    static struct key_file file;
    struct option_words words;
    struct error error;
    int result = options_parse(argc, argv, (struct option_spec[]){{0}}, 1, 1, &words);
    if (result != OPTIONS_OK) return options_status(result);
    if (open_file(&file, &error) != 0 || keys_remove(&file.keys, words.at[0], &error) != 0 ||
        keys_save(&file.keys, file.home, &error) != 0)
        return common_fail(&error);
    return CLI_DONE;
}
