/* The network interfaces over which multicast can reach others, and the news that they changed. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { INTERFACE_NAME_BYTES = 16, INTERFACES_MAX = 64 };

struct interface {
    unsigned index; /* the kernel's number, which is also the scope id */
    char name[INTERFACE_NAME_BYTES];
    bool loopback;
    bool ipv4, ipv6; /* has an address of that family; never IPv6 on loopback, where it has no multicast */
};

/* Those that are up, running and not a mere port of a bridge or bond. Returns how many (at most `max`). */
size_t interfaces_list(struct interface *out, size_t max);

/* An address by which other machines may reach this one, IPv4 as ::ffff:a.b.c.d; IPv4 goes before IPv6, and link-local
 * comes last (its interface in *scope_id, 0 else). False: there is only loopback. */
bool interfaces_own_address(uint8_t ip[16], unsigned *scope_id);

/* A descriptor that is readable after an interface or address came, went or changed; the caller's to close. Negative
 * ERR_ code when the system tells no news. */
int interfaces_watch(void);
/* Take the news away. */
void interfaces_watch_read(int fd);
