/* The network hardware of this host as the kernel describes it: what may be slow or deaf about it.
 *
 * Read under the folder that stands for "/" ("" on a real host). Only what is up and is hardware, or a bridge with
 * hardware in it; a virtual machine's and a container's own device count as hardware. Names are such that a
 * shell leaves them alone; others are passed over. Any thread; no memory is kept. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { NIC_NAME_BYTES = 16, NICS_MAX = 16 };

struct nic {
    char name[NIC_NAME_BYTES];
    bool wireless;
    bool carrier;      /* a cable is in, or a wireless network joined */
    bool multicast;
    bool deaf_bridge;  /* a bridge that drops multicast, since it snoops and nobody asks who listens */
    bool routes;       /* the default route leads through it, with the least metric */
    bool saves_power;  /* wireless: it sleeps between packets; false also when the kernel does not tell */
    int speed_mbit;    /* -1: not known */
};

/* Returns how many were found. */
size_t nics_read(const char *root, struct nic out[NICS_MAX]);
