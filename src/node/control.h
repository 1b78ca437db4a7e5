/* The loop's links: dialling, accepting, hellos, control frames, beacons; data links on their way to a worker.
 *
 * A link is a control link or a data link; its first frame in each direction is a hello that says which. Control links
 * stay here and feed the node; a data link leaves for the worker of its slice as soon as both hellos were exchanged.
 * Loop thread only. */
#pragma once
#include <stdint.h>

#include "base/error.h"
#include "wire/wire.h"

struct daemon;
struct link;

/* Open listener and discovery and watch them. */
int control_open(struct daemon *d, struct error *error);
/* Close everything; the loop must run on until its handles are closed. */
void control_shut(struct daemon *d);
/* Close all links, keep listener and discovery. */
void control_drop_links(struct daemon *d);
/* The keyring of the daemon has changed: what is opened from now on uses it. */
void control_keys_changed(struct daemon *d);

/* Where other nodes reach this one, as far as it can tell; loopback when the host has nothing else. */
struct wire_address control_own_address(struct daemon *d);

void control_send_beacon(struct daemon *d, const struct wire_beacon *beacon);
/* Ends in NODE_LINK_UP or NODE_DIAL_FAILED. */
void control_dial(struct daemon *d, uint64_t dial, const struct wire_address *to);
void control_send(struct daemon *d, uint64_t link, const void *frame, uint32_t len);
/* After what was sent on it. */
void control_close(struct daemon *d, uint64_t link);

/* Dial a data link with this hello (kind, instance, epoch and stages filled in). `done` is called once: with the open
 * link, which it takes, or with NULL. */
void control_dial_data(struct daemon *d, const struct wire_address *to, const struct wire_hello *hello,
                       void (*done)(struct daemon *d, const struct wire_hello *hello, struct link *link));
