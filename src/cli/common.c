#include "cli/common.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "engine/gguf_dir.h"
#include "engine/machine.h"
#include "engine/model_file.h"
#include "engine/source.h"
#include "node/model_dirs.h"
#include "os/facts.h"

static int join(char out[CLI_PATH_BYTES], const char *folder, const char *rest, struct error *error) {
    int n = snprintf(out, CLI_PATH_BYTES, "%s%s", folder, rest);
    if (n < 0 || n >= CLI_PATH_BYTES) return error_set(error, ERR_INVALID, "the path of Caravan's home is too long");
    return 0;
}

int common_home(char out[CLI_PATH_BYTES], struct error *error) {
    const char *home = getenv("CARAVAN_HOME");
    if (home != NULL && *home != '\0') return join(out, home, "", error);
    const char *data = getenv("XDG_DATA_HOME");
    if (data != NULL && *data != '\0') return join(out, data, "/caravan", error);
    const char *user = getenv("HOME");
    if (user != NULL && *user != '\0') return join(out, user, "/.local/share/caravan", error);
    return error_set(error, ERR_INVALID, "no home: set CARAVAN_HOME to a folder for the node's state");
}

int common_fail(const struct error *error) {
    fprintf(stderr, "caravan: %s\n", error->text);
    return CLI_FAILED;
}

int common_print_json(json_t *value) {
    int written = json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    if (written == 0 && putchar('\n') != EOF && fflush(stdout) == 0) return CLI_DONE;
    fprintf(stderr, "caravan: cannot write the result to standard output\n");
    return CLI_FAILED;
}

bool common_styled(FILE *stream) {
    const char *terminal = getenv("TERM"), *colours = getenv("NO_COLOR");
    bool capable = terminal != NULL && *terminal != '\0' && strcmp(terminal, "dumb") != 0;
    return capable && (colours == NULL || *colours == '\0') && isatty(fileno(stream));
}

unsigned common_columns(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

const char *common_size(uint64_t bytes, char out[CLI_SIZE_BYTES]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    unsigned unit = 0;
    for (; value >= 1024 && unit < 5; unit++) value /= 1024;
    snprintf(out, CLI_SIZE_BYTES, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

/* The other parts lie beside it, not beside what a cache's link leads to. */
static bool absolute_part(char place[CLI_PATH_BYTES], char out[CLI_PATH_BYTES]) {
    char *slash = strrchr(place, '/'), *file = slash ? slash + 1 : place;
    char name[CLI_PATH_BYTES];
    if (access(place, F_OK) != 0) return false;
    snprintf(name, sizeof name, "%s", file);
    if (slash == place) slash++;
    if (slash) *slash = '\0';
    if (realpath(slash ? place : ".", out) == NULL || strlen(out) + strlen(name) + 1 >= CLI_PATH_BYTES) return false;
    snprintf(out + strlen(out), CLI_PATH_BYTES - strlen(out), "/%s", name);
    return true;
}

const char *common_model_name(const char *name, char out[CLI_PATH_BYTES]) {
    _Static_assert(CLI_PATH_BYTES >= PATH_MAX, "realpath writes up to PATH_MAX bytes");
    _Static_assert((int)CLI_PATH_BYTES == (int)SOURCE_PATH_BYTES, "both are a path");
    char place[CLI_PATH_BYTES];
    const char *recipe = recipe_suffix(name);
    bool part = gguf_dir_is_part(source_place(name, place));
    if (!(part ? absolute_part(place, out) : realpath(place, out) != NULL)) return name;
    if (strlen(out) + strlen(recipe) >= CLI_PATH_BYTES) return name;
    snprintf(out + strlen(out), CLI_PATH_BYTES - strlen(out), "%s", recipe);
    return out;
}

int common_recipe(const char *name, const struct recipe **out) {
    struct text all = {0};
    *out = recipe_find(name);
    if (*out) return CLI_DONE;
    recipe_list(&all);
    fprintf(stderr, "caravan: there is no format \"%s\"; there are %s\n", name, text_str(&all));
    text_deinit(&all);
    return CLI_USAGE;
}

int common_quantized(const char *name, const char *recipe, char out[CLI_PATH_BYTES]) {
    const struct recipe *found = NULL;
    int status = recipe ? common_recipe(recipe, &found) : CLI_DONE;
    if (status != CLI_DONE) return status;
    char place[CLI_PATH_BYTES];
    int len = found ? snprintf(out, CLI_PATH_BYTES, "%s@%s", source_place(name, place), recipe_name(found))
                    : snprintf(out, CLI_PATH_BYTES, "%s", name);
    if (len < CLI_PATH_BYTES) return CLI_DONE;
    fprintf(stderr, "caravan: the name of the model is too long\n");
    return CLI_FAILED;
}

int common_model_path(const char *name, char out[CLI_PATH_BYTES], struct error *error) {
    _Static_assert((int)CLI_PATH_BYTES == (int)MODEL_DIRS_PATH_BYTES, "both are a path");
    char home[CLI_PATH_BYTES], real[CLI_PATH_BYTES];
    int rc = common_home(home, error);
    if (rc < 0) return rc;
    struct model_dirs *dirs;
    if (model_dirs_new(&dirs, home, getenv("CARAVAN_MODELS"), NULL) != 0)
        return error_set(error, ERR_NOMEM, "out of memory");
    rc = model_dirs_find(dirs, common_model_name(name, real), true, out, error);
    model_dirs_free(dirs);
    return rc;
}

int common_model_open(const char *name, struct model *out, struct error *error) {
    char path[CLI_PATH_BYTES], fitting[CLI_PATH_BYTES];
    struct facts_memory memory;
    facts_memory("", &memory);
    int rc = common_model_path(name, path, error);
    if (rc == 0) rc = source_fit(path, facts_memory_budget(&memory, 0) / 8 * 7, fitting, error);
    return rc ? rc : model_file_open(out, fitting, error);
}

/* The best, but that no belief is put in tiles: whether they are faster depends on the CPU. */
static enum kern_isa default_isa(void) {
    enum kern_isa best = kern_isa_best();
#ifdef __x86_64__
    if (best == KERN_AMX) return machine_faster(KERN_AVX512, KERN_AMX);
#endif
    return best;
}

int common_isa(enum kern_isa *out, struct error *error) {
    const char *name = getenv("CARAVAN_ISA");
    enum kern_isa cap, best = kern_isa_best();
    if (name == NULL || *name == '\0') {
        *out = default_isa();
        return 0;
    }
    if (!kern_isa_parse(name, &cap))
        return error_set(error, ERR_INVALID, "CARAVAN_ISA is \"%.20s\"; `caravan version` tells this machine's levels",
                         name);
    *out = cap < best ? cap : best;
    return 0;
}

int common_node_options(struct daemon_options *out, char home[CLI_PATH_BYTES], struct error *error) {
    *out = (struct daemon_options){.home = home,
                                   .models = getenv("CARAVAN_MODELS"),
                                   .hub = getenv("CARAVAN_HUB"),
                                   .hub_token = getenv("HF_TOKEN"),
                                   .port = DAEMON_PORT,
                                   .cluster_port = DAEMON_CLUSTER_PORT,
                                   .keep_alive_s = CLI_KEEP_ALIVE_S,
                                   .queue_max = CLI_QUEUE_MAX,
                                   .grace_s = CLI_GRACE_S,
                                   .discovery = true,
                                   .measure = true};
    int code = common_home(home, error);
    return code == 0 ? common_isa(&out->isa, error) : code;
}

int common_show(struct client *client, const char *name, bool cluster, json_t **out, struct error *error) {
    char path[CLI_PATH_BYTES], *escaped = client_escape(common_model_name(name, path));
    struct text query = {0};
    if (escaped != NULL) text_printf(&query, "models/show?model=%s%s", escaped, cluster ? "&cluster=1" : "");
    int code = escaped == NULL || query.failed ? error_set(error, ERR_NOMEM, "out of memory")
                                               : client_get(client, text_str(&query), out, error);
    text_deinit(&query);
    free(escaped);
    return code;
}
