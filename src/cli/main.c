/* caravan: finds the verb and runs it. */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "cli/cli.h"

struct verb {
    const char *name; /* one word, or two: "key add" */
    int (*run)(int argc, char **argv);
    const char *usage;
    const char *summary;
};

#define PLAN_FLAGS                                                                                                     \
    "[--nodes N] [--split auto|pipeline|tensor] [--for latency|throughput] [--shares NAME=W,...] [--context N] "       \
    "[--parallel K] [--quantize TYPE]"

static const struct verb verbs[] = {
    {"serve", cli_serve,
     "serve [--port N] [--host A] [--cluster-port N] [--name S] [--threads N] [--memory BYTES] [--disk BYTES] "
     "[--no-discovery] [--keep-alive SECONDS] [--queue N] [--request-timeout SECONDS] [--grace SECONDS] "
     "[--access-log FILE|-] [--tls-cert FILE --tls-key FILE] [--require-key] [--peer HOST[:PORT]]... "
     "[--allow-host NAME]... [--allow-origin URL]...",
     "a node in the foreground"},
    {"run", cli_run,
     "run MODEL [PROMPT] [--temperature T] [--top-p P] [--seed S] [--max-tokens N] [--quantize TYPE] [--raw]",
     "one answer, or a chat"},
    {"plan", cli_plan, "plan MODEL " PLAN_FLAGS " [--json]",
     "where a model would lie in the cluster, without loading it"},
    {"load", cli_load, "load MODEL " PLAN_FLAGS " [--json]", "load a model on the cluster"},
    {"stop", cli_stop, "stop MODEL|ID", "unload a model"},
    {"ps", cli_ps, "ps [--json]", "what is loaded, and where"},
    {"nodes", cli_nodes, "nodes [--measure] [--json]", "the machines of the cluster"},
    {"code", cli_code, "code [--new]", "the join code of the cluster; --new makes another one"},
    {"join", cli_join, "join CODE", "become a member of another node's cluster"},
    {"leave", cli_leave, "leave", "back to a cluster of one"},
    {"list", cli_list, "list [--catalog] [--json]",
     "the models on this machine; --catalog: those that can be had by a short name, and where they would fit"},
    {"show", cli_show, "show MODEL [--cluster] [--json]", "what a model is, what it needs, where it lies"},
    {"rm", cli_rm, "rm MODEL [--cluster]", "delete a model of this node's own folder; --cluster: of every node's"},
    {"prune", cli_prune, "prune [--parts] [--dry-run] [--json]",
     "remove pulls that were left unfinished, keep one of files with the same bytes"},
    {"models add", cli_models_add, "models add DIR", "look for models in this folder too"},
    {"models drop", cli_models_drop, "models drop DIR", "look there no more; the folder stays as it is"},
    {"models folders", cli_models_folders, "models folders [--json]", "where models are looked for, and what is there"},
    {"key add", cli_key_add, "key add [NAME]", "make an API key; it is printed once"},
    {"key list", cli_key_list, "key list [--json]", "names of the API keys"},
    {"key rm", cli_key_rm, "key rm NAME", "withdraw an API key"},
    {"bench", cli_bench,
     "bench MODEL [--cluster] [--threads N] [--prompt N] [--generate N] [--repeat R] [--batch B] [--requests K] "
     "[--quantize TYPE] [--json]",
     "how fast it runs, beside what the machine could do"},
    {"perplexity", cli_perplexity, "perplexity MODEL FILE [--context N] [--threads N] [--quantize TYPE] [--json]",
     "how surprised a model is by a text"},
    {"quantize", cli_quantize, "quantize IN OUT TYPE [--threads N]", "write a model file in another format"},
    {"top", cli_top, "top", "a live view of the cluster"},
    {"pull", cli_pull, "pull MODEL [--check|--pause|--cancel] [--json]",
     "get a model from a hub, or go on where that stopped; compare what is here with its hashes"},
    {"doctor", cli_doctor, "doctor [--fix] [--json] [--root DIR]", "what is wrong with this host, and how to mend it"},
    {"version", cli_version, "version [--json]", "version, build, instruction sets, backends"},
    {"debug logits", cli_debug_logits,
     "debug logits MODEL --tokens 1,2,3 [--chunk N] [--kv f32|f16|q8_0] [--context N] [--threads N] "
     "[--quantize TYPE] [--cluster]",
     "logits after each token, float32"},
    {"debug template", cli_debug_template, "debug template < JSON", "render a chat template"},
    {"debug tokenize", cli_debug_tokenize, "debug tokenize MODEL [--special] < TEXTS",
     "token ids of NUL-separated texts"},
};

const char *cli_usage(const char *verb) {
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].name, verb) == 0) return verbs[i].usage;
    return NULL;
}

static int print_help(void) {
    printf("caravan: your machines as one AI computer\n\n");
    printf("  %-16s %s\n", "", "alone, on a terminal: a node with a short view of its cluster");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) printf("  %-16s %s\n", verbs[i].name, verbs[i].summary);
    printf("\n`caravan VERB --help` shows the options of a verb.\n");
    return CLI_DONE;
}

/* Length in words of the verb's name if the arguments begin with it, else 0. */
static int matches(const struct verb *verb, int argc, char **argv) {
    const char *space = strchr(verb->name, ' ');
    if (space == NULL) return strcmp(verb->name, argv[1]) == 0 ? 1 : 0;
    size_t first = (size_t)(space - verb->name);
    if (strlen(argv[1]) != first || memcmp(verb->name, argv[1], first) != 0) return 0;
    return argc > 2 && strcmp(space + 1, argv[2]) == 0 ? 2 : 0;
}

static int run(const struct verb *verb, int words, int argc, char **argv) {
    char name[32];
    snprintf(name, sizeof name, "%s", verb->name);
    argv[words] = name;
    return verb->run(argc - words, argv + words);
}

/* "caravan key" alone: the verbs that begin with that word. */
static bool print_family(const char *word) {
    bool found = false;
    size_t len = strlen(word);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strncmp(verbs[i].name, word, len) != 0 || verbs[i].name[len] != ' ') continue;
        fprintf(stderr, "usage: caravan %s\n", verbs[i].usage);
        found = true;
    }
    return found;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2 && isatty(STDOUT_FILENO)) return cli_alone();
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help();
    if (strcmp(argv[1], "--version") == 0) argv[1] += strlen("--");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        int words = matches(&verbs[i], argc, argv);
        if (words > 0) return run(&verbs[i], words, argc, argv);
    }
    if (!print_family(argv[1]))
        fprintf(stderr, "caravan: there is no verb \"%s\"; `caravan help` lists them\n", argv[1]);
    return CLI_USAGE;
}
