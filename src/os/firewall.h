/* Does a firewall of this host keep others out? What the usual ones say of one port.
 *
 * ufw and firewalld are read from their files under the folder that stands for "/" ("" on a real host), nftables (also
 * what iptables wrote) is asked with `nft`, which tells only root. A guess for people, who are told what it goes by:
 * rules may say the same in other words. Any thread; no memory is kept. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum firewall_kind { FIREWALL_NONE, FIREWALL_UFW, FIREWALL_FIREWALLD, FIREWALL_NFTABLES };
enum { FIREWALL_NAME_BYTES = 64 };

struct firewall {
    enum firewall_kind kind; /* that is switched on and drops what comes in; NONE: nothing known */
    bool hidden;             /* its rules may not be read */
    bool names_port;         /* a rule names the port */
    /* FIREWALL_NFTABLES: "inet filter" and "input", where a rule would go. */
    char table[FIREWALL_NAME_BYTES], chain[FIREWALL_NAME_BYTES];
};

void firewall_read(const char *root, uint16_t port, struct firewall *out);
/* What `nft list ruleset` printed. */
void firewall_judge_ruleset(const char *ruleset, uint16_t port, struct firewall *out);
