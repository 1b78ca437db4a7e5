/* The daemon: one node of a caravan in this process.
 *
 * Ties the rooms together: the cluster's state machine, discovery and links, workers that run slices, the HTTP server.
 * One loop thread (the one that calls daemon_run) owns the node and its control links. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "kern/kern.h"

struct daemon;

enum { DAEMON_LIST_MAX = 64, DAEMON_PORT = 52415, DAEMON_CLUSTER_PORT = 52416 };

struct daemon_options {
    const char *home;      /* $CARAVAN_HOME: made if it is not there */
    const char *models;    /* $CARAVAN_MODELS: colon-separated directories; may be NULL */
    const char *hub;       /* $CARAVAN_HUB: where models come from; NULL: the public hub */
    const char *hub_token; /* $HF_TOKEN, for it alone; may be NULL */
    uint64_t disk_bytes;   /* that models may take in home; 0: what the disk has */
    const char *host;      /* address the API binds to; NULL: 127.0.0.1 */
    int port;              /* of the API; 0: any free one */
    int cluster_port;      /* 0: any free one; a taken one falls back to any free one */
    const char *name;      /* shown to people; NULL: the host's name */
    unsigned threads;      /* 0: one per usable core */
    uint64_t memory_bytes; /* what the node offers; 0: what the host has to spare */
    bool discovery;        /* send and hear beacons */
    uint32_t keep_alive_s; /* a model that came for a request stays so long after it; UINT32_MAX: for good */
    uint32_t queue_max;    /* requests that may wait; more are refused */
    uint32_t grace_s;      /* when the node stops: what is being answered may take so long */
    double request_timeout_s;       /* that a request may take at most; 0: any time */
    const char *access_log;         /* file to append to, "-": standard error; NULL: none */
    const char *tls_cert, *tls_key; /* PEM files: the API speaks TLS; NULL: it does not */
    bool require_key;      /* also on loopback */
    bool measure;          /* find out how fast the machine is, soon after the start */
    bool quiet;            /* log errors only */
    enum kern_isa isa;     /* cap on the kernels' level */
    const char *peers[DAEMON_LIST_MAX]; /* HOST[:PORT], NULL-terminated like the next two */
    const char *allow_hosts[DAEMON_LIST_MAX];
    const char *allow_origins[DAEMON_LIST_MAX];
};

/* Open everything: home, secret, sockets. When it returns 0 the API answers as soon as daemon_run runs. ERR_DENIED: a
 * bind beyond loopback without a key; ERR_BUSY: the API's port is taken or another node runs on this home. The strings
 * in options are kept by the caller while the daemon lives. */
int daemon_new(struct daemon **out, const struct daemon_options *options, struct error *error);
void daemon_free(struct daemon *d);

/* Run until daemon_stop. Finishes what can be finished, says goodbye, and returns 0. */
int daemon_run(struct daemon *d);
/* Ask daemon_run to return. Any thread, also from a signal handler. */
void daemon_stop(struct daemon *d);

/* "http://127.0.0.1:52415": where the API answers. The daemon's own. */
const char *daemon_url(const struct daemon *d);
