/* caravan doctor: what is wrong with this host and how to mend it; --fix asks before each command and runs it. --root
 * looks at another host's /proc, /sys and /etc: a container's, a test's. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/common.h"
#include "cli/diagnosis.h"
#include "cli/options.h"
#include "os/dir.h"
#include "os/interfaces.h"

static bool has_network(void) {
    struct interface list[INTERFACES_MAX];
    size_t count = interfaces_list(list, INTERFACES_MAX);
    for (size_t i = 0; i < count; i++)
        if (!list[i].loopback) return true;
    return false;
}

static void secret_path(const char *home, char out[CLI_PATH_BYTES + 8]) {
    snprintf(out, CLI_PATH_BYTES + 8, "%s/secret", home);
}

/* What only the running node knows. */
static void ask_node(struct diagnosis_host *host) {
    struct client *client = NULL;
    struct error ignored;
    json_t *nodes = NULL, *activity = NULL;
    host->beacon_s = -1;
    if (!host->node_runs || client_open(&client, CLIENT_HOME, &ignored) != 0) return;
    if (client_get(client, "nodes", &nodes, &ignored) == 0) host->others = (unsigned)client_count_up(nodes);
    if (host->others > 0) host->others--; /* this one */
    if (client_get(client, "activity", &activity, &ignored) == 0) {
        const json_t *beacon = json_object_get(activity, "beacon_s");
        if (json_is_number(beacon)) host->beacon_s = json_number_value(beacon);
    }
    json_decref(nodes);
    json_decref(activity);
    client_close(client);
}

static void examine(const char *root, const char *home, enum kern_isa isa, struct diagnosis_host *host) {
    char secret[CLI_PATH_BYTES + 8];
    struct error ignored; /* an unusable home is a finding */
    (void)dir_make(home, &ignored);
    secret_path(home, secret);
    *host = (struct diagnosis_host){.root = root,
                                    .home = home,
                                    .superuser = geteuid() == 0,
                                    .cores = facts_cores(root),
                                    .isa = isa,
                                    .node_runs = client_finds_node(),
                                    .api_port_free = condition_port_free(DAEMON_PORT),
                                    .network = has_network(),
                                    .cluster_port = DAEMON_CLUSTER_PORT,
                                    .secret_shared = condition_file_shared(secret)};
    facts_memory(root, &host->memory);
    facts_quota(root, &host->quota);
    condition_read(root, home, &host->condition);
    host->nic_count = nics_read(root, host->nics);
    firewall_read(root, DAEMON_CLUSTER_PORT, &host->firewall);
    ask_node(host);
}

/* False: no more answers come. */
static bool ask(bool *yes) {
    char answer[16] = "";
    fprintf(stderr, "run it? [y/N] ");
    bool given = fgets(answer, sizeof answer, stdin) != NULL;
    if (!given || !isatty(STDIN_FILENO)) fputc('\n', stderr);
    *yes = answer[0] == 'y' || answer[0] == 'Y';
    return given;
}

/* Ask before each command, and run those that are wanted. True if any was. */
static bool mend_all(const struct diagnosis_finding *findings, size_t count) {
    bool mended = false, yes;
    for (size_t i = 0; i < count; i++) {
        const struct diagnosis_finding *f = &findings[i];
        if (f->command[0] == '\0') continue;
        fprintf(stderr, "%s: %s\n  %s\n", f->subject, f->text, f->command);
        if (!ask(&yes)) break;
        if (!yes) continue;
        if (system(f->command) != 0) fprintf(stderr, "%s is not mended: the command failed\n", f->subject);
        mended = true;
    }
    return mended;
}

static void print_findings(const struct diagnosis_finding *findings, size_t count) {
    static const char *const inks[] = {"\033[32m", "\033[33m", "\033[31m"};
    bool styled = common_styled(stdout);
    for (size_t i = 0; i < count; i++) {
        const struct diagnosis_finding *f = &findings[i];
        const char *ink = styled ? inks[f->level] : "", *plain = styled ? "\033[0m" : "";
        printf("%s%-7s%s %-11s %s\n", ink, diagnosis_level_name(f->level), plain, f->subject, f->text);
        if (f->cure[0] != '\0') printf("%20s-> %s\n", "", f->cure);
        if (f->command[0] != '\0') printf("%20s$  %s\n", "", f->command);
    }
}

static json_t *findings_as_json(const struct diagnosis_finding *findings, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct diagnosis_finding *f = &findings[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "subject", f->subject, "state",
                                              diagnosis_level_name(f->level), "text", f->text, "cure", f->cure,
                                              "command", f->command));
    }
    return list;
}

static bool any_broken(const struct diagnosis_finding *findings, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (findings[i].level == DIAGNOSIS_BROKEN) return true;
    return false;
}

int cli_doctor(int argc, char **argv) {
    struct diagnosis_finding findings[DIAGNOSIS_FINDINGS_MAX];
    struct diagnosis_host host;
    struct option_words words;
    struct error error;
    char home[CLI_PATH_BYTES];
    enum kern_isa isa;
    const char *root = "";
    bool fix = false, json = false;
    struct option_spec specs[] = {
        {"--fix", OPTION_FLAG, &fix}, {"--json", OPTION_FLAG, &json}, {"--root", OPTION_TEXT, &root}, {0}};
    int result = options_parse(argc, argv, specs, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    if (common_home(home, &error) != 0 || common_isa(&isa, &error) != 0) return common_fail(&error);
    examine(root, home, isa, &host);
    size_t count = diagnosis_make(&host, findings);
    if (fix && mend_all(findings, count)) {
        examine(root, home, isa, &host);
        count = diagnosis_make(&host, findings);
    }
    if (json && common_print_json(findings_as_json(findings, count)) != CLI_DONE) return CLI_FAILED;
    if (!json) print_findings(findings, count);
    return any_broken(findings, count) ? CLI_FAILED : CLI_DONE;
}
