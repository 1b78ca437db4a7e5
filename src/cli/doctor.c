/* caravan doctor: what is wrong with this host and how to mend it; --fix mends what it may. */
#include <stdio.h>

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

static void examine(const char *home, enum kern_isa isa, struct diagnosis_host *host) {
    char secret[CLI_PATH_BYTES + 8];
    struct error ignored; /* an unusable home is a finding */
    (void)dir_make(home, &ignored);
    secret_path(home, secret);
    *host = (struct diagnosis_host){.cores = facts_cores(""),
                                    .isa = isa,
                                    .node_runs = client_finds_node(),
                                    .api_port_free = condition_port_free(DAEMON_PORT),
                                    .network = has_network(),
                                    .secret_shared = condition_file_shared(secret)};
    facts_memory("", &host->memory);
    condition_read("", home, &host->condition);
}

static int mend(const char *home, enum diagnosis_mend what, struct error *error) {
    char secret[CLI_PATH_BYTES + 8];
    secret_path(home, secret);
    switch (what) {
    case MEND_SECRET: return condition_unshare_file(secret, error);
    case MEND_HUGE_PAGES: return condition_set_huge_pages("", "madvise", error);
    case MEND_GOVERNOR: return condition_set_governor("", "performance", error);
    case MEND_BY_HAND: break;
    }
    return 0;
}

static void mend_all(const char *home, const struct diagnosis_finding *findings, size_t count) {
    struct error error;
    for (size_t i = 0; i < count; i++) {
        if (findings[i].mend == MEND_BY_HAND) continue;
        if (mend(home, findings[i].mend, &error) == 0)
            fprintf(stderr, "mended: %s\n", findings[i].subject);
        else
            fprintf(stderr, "%s cannot be mended: %s\n", findings[i].subject, error.text);
    }
}

static void print_findings(const struct diagnosis_finding *findings, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct diagnosis_finding *f = &findings[i];
        printf("%-7s %-11s %s\n", diagnosis_level_name(f->level), f->subject, f->text);
        if (f->cure[0] != '\0') printf("%20s-> %s%s\n", "", f->cure, f->mend == MEND_BY_HAND ? "" : " (or --fix)");
    }
}

static json_t *findings_as_json(const struct diagnosis_finding *findings, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct diagnosis_finding *f = &findings[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:b}", "subject", f->subject, "state",
                                              diagnosis_level_name(f->level), "text", f->text, "cure", f->cure,
                                              "fixable", f->mend != MEND_BY_HAND));
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
    bool fix = false, json = false;
    struct option_spec specs[] = {{"--fix", OPTION_FLAG, &fix}, {"--json", OPTION_FLAG, &json}, {0}};
    int result = options_parse(argc, argv, specs, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    if (common_home(home, &error) != 0 || common_isa(&isa, &error) != 0) return common_fail(&error);
    examine(home, isa, &host);
    size_t count = diagnosis_make(&host, findings);
    if (fix) {
        mend_all(home, findings, count);
        examine(home, isa, &host);
        count = diagnosis_make(&host, findings);
    }
    if (json && common_print_json(findings_as_json(findings, count)) != CLI_DONE) return CLI_FAILED;
    if (!json) print_findings(findings, count);
    return any_broken(findings, count) ? CLI_FAILED : CLI_DONE;
}
