/* The command line: one function per verb.
 *
 * A verb gets argv with argv[0] = its own name ("plan", "key add") and returns the exit status. Results go to stdout,
 * everything else to stderr. main.c holds the table of verbs; it is the only list of them. */
#pragma once

enum cli_status { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

int cli_alone(void); /* no verb: a node with a view */
int cli_code(int argc, char **argv);
int cli_debug_logits(int argc, char **argv);
int cli_debug_template(int argc, char **argv);
int cli_debug_tokenize(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_join(int argc, char **argv);
int cli_key_add(int argc, char **argv);
int cli_key_list(int argc, char **argv);
int cli_key_rm(int argc, char **argv);
int cli_leave(int argc, char **argv);
int cli_list(int argc, char **argv);
int cli_load(int argc, char **argv);
int cli_models_add(int argc, char **argv);
int cli_models_drop(int argc, char **argv);
int cli_models_folders(int argc, char **argv);
int cli_nodes(int argc, char **argv);
int cli_perplexity(int argc, char **argv);
int cli_plan(int argc, char **argv);
int cli_prune(int argc, char **argv);
int cli_ps(int argc, char **argv);
int cli_pull(int argc, char **argv);
int cli_quantize(int argc, char **argv);
int cli_rm(int argc, char **argv);
int cli_run(int argc, char **argv);
int cli_serve(int argc, char **argv);
int cli_show(int argc, char **argv);
int cli_stop(int argc, char **argv);
int cli_top(int argc, char **argv);
int cli_version(int argc, char **argv);

/* The line of the verb in the table: "plan MODEL [--nodes N] ..."; NULL when there is no such verb. */
const char *cli_usage(const char *verb);
