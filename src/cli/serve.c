/* caravan serve: a node in the foreground. */
#include <signal.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/common.h"
#include "cli/options.h"
#include "node/daemon.h"

static struct daemon *running;

static void on_signal(int number) {
    (void)number;
    daemon_stop(running);
}

static void catch_signals(void) {
    struct sigaction stop = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

static int serve(const struct daemon_options *options, struct error *error) {
    int code = daemon_new(&running, options, error);
    if (code != 0) return code;
    catch_signals();
    printf("ready %s\n", daemon_url(running));
    fflush(stdout);
    code = daemon_run(running);
    daemon_free(running);
    return code;
}

int cli_serve(int argc, char **argv) {
    struct daemon_options options;
    struct option_words words;
    struct error error = {0};
    char home[CLI_PATH_BYTES];
    bool no_discovery = false;
    int64_t port = DAEMON_PORT, cluster_port = DAEMON_CLUSTER_PORT, threads = 0, memory = 0, disk = 0;
    int64_t keep_alive = CLI_KEEP_ALIVE_S, queue = CLI_QUEUE_MAX, grace = CLI_GRACE_S;
    int code = common_node_options(&options, home, &error);
    struct option_spec specs[] = {{"--port", OPTION_COUNT, &port, 0, 65535},
                                  {"--host", OPTION_TEXT, &options.host},
                                  {"--cluster-port", OPTION_COUNT, &cluster_port, 0, 65535},
                                  {"--name", OPTION_TEXT, &options.name},
                                  {"--threads", OPTION_COUNT, &threads, 1, 1024},
                                  {"--memory", OPTION_BYTES, &memory, 1, 9e18},
                                  {"--disk", OPTION_BYTES, &disk, 1, 9e18},
                                  {"--keep-alive", OPTION_COUNT, &keep_alive, -1, 1e9},
                                  {"--queue", OPTION_COUNT, &queue, 1, 1000},
                                  {"--request-timeout", OPTION_NUMBER, &options.request_timeout_s, 0, 1e6},
                                  {"--grace", OPTION_COUNT, &grace, 0, 3600},
                                  {"--access-log", OPTION_TEXT, &options.access_log},
                                  {"--tls-cert", OPTION_TEXT, &options.tls_cert},
                                  {"--tls-key", OPTION_TEXT, &options.tls_key},
                                  {"--no-discovery", OPTION_FLAG, &no_discovery},
                                  {"--require-key", OPTION_FLAG, &options.require_key},
                                  {"--peer", OPTION_LIST, options.peers, 0, DAEMON_LIST_MAX - 1},
                                  {"--allow-host", OPTION_LIST, options.allow_hosts, 0, DAEMON_LIST_MAX - 1},
                                  {"--allow-origin", OPTION_LIST, options.allow_origins, 0, DAEMON_LIST_MAX - 1},
                                  {0}};
    int result = options_parse(argc, argv, specs, 0, 0, &words);
    if (result != OPTIONS_OK) return options_status(result);
    if (code != 0) return common_fail(&error);
    options.port = (int)port;
    options.cluster_port = (int)cluster_port;
    options.threads = (unsigned)threads;
    options.memory_bytes = (uint64_t)memory;
    options.disk_bytes = (uint64_t)disk;
    options.keep_alive_s = keep_alive < 0 ? UINT32_MAX : (uint32_t)keep_alive;
    options.queue_max = (uint32_t)queue;
    options.grace_s = (uint32_t)grace;
    options.discovery = !no_discovery;
    if ((options.tls_cert == NULL) != (options.tls_key == NULL)) {
        error_set(&error, ERR_INVALID, "--tls-cert and --tls-key go together: a certificate and its key, as PEM files");
        return common_fail(&error);
    }
    return serve(&options, &error) == 0 ? CLI_DONE : common_fail(&error);
}
