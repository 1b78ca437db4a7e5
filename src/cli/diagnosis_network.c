#include <stdio.h>

#include "cli/diagnosis_private.h"

enum {
    CABLE_WEAK_MBIT = 1000,
    BEACON_LATE_S = 10, /* each node sends one a second */
};

static const struct nic *find(const struct diagnosis *d, bool (*is)(const struct nic *nic)) {
    for (size_t i = 0; i < d->host->nic_count; i++)
        if (is(&d->host->nics[i])) return &d->host->nics[i];
    return NULL;
}

static bool is_cable(const struct nic *nic) { return nic->carrier && !nic->wireless; }
static bool is_wireless(const struct nic *nic) { return nic->carrier && nic->wireless; }
static bool is_route(const struct nic *nic) { return nic->routes; }
static bool is_wireless_route(const struct nic *nic) { return is_wireless(nic) && nic->routes; }
static bool sleeps(const struct nic *nic) { return is_wireless(nic) && nic->saves_power; }
static bool is_mute(const struct nic *nic) { return nic->carrier && !nic->multicast; }
static bool is_deaf(const struct nic *nic) { return nic->carrier && nic->deaf_bridge; }
static bool is_slow(const struct nic *nic) {
    return is_cable(nic) && nic->speed_mbit > 0 && nic->speed_mbit < CABLE_WEAK_MBIT;
}

static void judge_reach(struct diagnosis *d) {
    bool reach = d->host->network;
    struct diagnosis_finding *f =
        diagnosis_find(d, "network", "%s",
                       reach ? "other machines can be reached" : "there is only loopback: this node stays alone");
    if (!reach) diagnosis_blame(f, DIAGNOSIS_WEAK, "bring an interface up to be seen by other machines");
}

static void judge_cable(struct diagnosis *d) {
    const struct nic *slow = find(d, is_slow), *cable = find(d, is_cable);
    if (slow) {
        struct diagnosis_finding *f =
            diagnosis_find(d, "cable", "%s runs at %d Mbit/s: shared layers wait for it", slow->name, slow->speed_mbit);
        diagnosis_blame(f, DIAGNOSIS_WEAK, "a better cable or port; often it is enough to agree on a speed again");
        diagnosis_command(f, "%sethtool -r %s", diagnosis_sudo(d), slow->name);
    } else if (cable && cable->speed_mbit > 0) {
        diagnosis_find(d, "cable", "%s runs at %d Mbit/s", cable->name, cable->speed_mbit);
    } else {
        diagnosis_find(d, "cable", "%s", cable ? cable->name : "none");
    }
}

static void judge_route(struct diagnosis *d) {
    const struct nic *wireless = find(d, is_wireless_route), *cable = find(d, is_cable);
    if (wireless == NULL || cable == NULL) {
        const struct nic *route = find(d, is_route);
        diagnosis_find(d, "route", "%s", route ? route->name : "none");
        return;
    }
    struct diagnosis_finding *f = diagnosis_find(d, "route", "it leads over %s, although %s has a cable",
                                                 wireless->name, cable->name);
    diagnosis_blame(f, DIAGNOSIS_WEAK, "see first that the network behind the cable has what you need");
    diagnosis_command(f, "%snmcli device disconnect %s", diagnosis_sudo(d), wireless->name);
}

static void judge_wireless(struct diagnosis *d) {
    const struct nic *wireless = find(d, is_wireless), *sleeper = find(d, sleeps);
    if (sleeper) {
        struct diagnosis_finding *f = diagnosis_find(
            d, "wi-fi", "%s sleeps between packets: each hop of a token waits for it to wake up", sleeper->name);
        diagnosis_blame(f, DIAGNOSIS_WEAK, "");
        diagnosis_command(f, "%siw dev %s set power_save off", diagnosis_sudo(d), sleeper->name);
    } else {
        diagnosis_find(d, "wi-fi", wireless ? "%s; a cable is several times faster" : "not used",
                       wireless ? wireless->name : "");
    }
}

static void blame_firewall(struct diagnosis *d, struct diagnosis_finding *f) {
    const struct firewall *wall = &d->host->firewall;
    const char *sudo = diagnosis_sudo(d);
    unsigned port = d->host->cluster_port;
    diagnosis_blame(f, DIAGNOSIS_WEAK, wall->kind == FIREWALL_NFTABLES ? "and keep the rule for the next boot" : "");
    if (wall->kind == FIREWALL_UFW)
        diagnosis_command(f, "%sufw allow %u", sudo, port);
    else if (wall->kind == FIREWALL_FIREWALLD)
        diagnosis_command(
            f, "%sfirewall-cmd --permanent --add-port=%u/tcp --add-port=%u/udp && %sfirewall-cmd --reload", sudo, port,
            port, sudo);
    else if (wall->table[0] != '\0' && wall->chain[0] != '\0')
        diagnosis_command(f, "%snft insert rule %s %s meta l4proto '{ tcp, udp }' th dport %u accept", sudo,
                          wall->table, wall->chain, port);
}

static void judge_firewall(struct diagnosis *d) {
    static const char *const names[] = {"", "ufw", "firewalld", "nftables"};
    const struct firewall *wall = &d->host->firewall;
    if (wall->kind == FIREWALL_NONE) {
        diagnosis_find(d, "firewall", "%s", d->host->superuser ? "none found" : "none found; root may see more");
    } else if (wall->hidden) {
        diagnosis_find(d, "firewall", "%s is on; run this as root to see whether it lets other nodes in",
                       names[wall->kind]);
    } else if (wall->names_port) {
        diagnosis_find(d, "firewall", "%s knows port %u", names[wall->kind], d->host->cluster_port);
    } else {
        blame_firewall(d, diagnosis_find(d, "firewall", "%s keeps other nodes out: it does not name port %u (TCP, UDP)",
                                         names[wall->kind], d->host->cluster_port));
    }
}

static void judge_multicast(struct diagnosis *d) {
    const struct nic *mute = find(d, is_mute), *deaf = find(d, is_deaf);
    const struct diagnosis_host *host = d->host;
    bool unheard = host->others > 0 && (host->beacon_s < 0 || host->beacon_s > BEACON_LATE_S);
    if (mute) {
        struct diagnosis_finding *f = diagnosis_find(d, "multicast", "%s does without: no beacons there", mute->name);
        diagnosis_blame(f, DIAGNOSIS_WEAK, "");
        diagnosis_command(f, "%sip link set dev %s multicast on", diagnosis_sudo(d), mute->name);
    } else if (deaf) {
        struct diagnosis_finding *f =
            diagnosis_find(d, "multicast", "the bridge %s filters it, since nobody asks who listens", deaf->name);
        diagnosis_blame(f, DIAGNOSIS_WEAK, "");
        diagnosis_command(f, "echo 1 | %stee %s/sys/class/net/%s/bridge/multicast_querier", diagnosis_sudo(d),
                          host->root, deaf->name);
    } else if (unheard) {
        diagnosis_blame(diagnosis_find(d, "multicast", "filtered: %u other%s up, and no beacon comes",
                                       host->others, host->others == 1 ? " node is" : " nodes are"),
                        DIAGNOSIS_WEAK,
                        "let UDP 52416 through, switch IGMP snooping off; --peer and --no-discovery do without");
    } else {
        diagnosis_find(d, "multicast", "%s",
                       host->others > 0 ? "beacons of other nodes come" : "nothing speaks against it");
    }
}

void diagnosis_network(struct diagnosis *d) {
    judge_reach(d);
    judge_cable(d);
    judge_route(d);
    judge_wireless(d);
    judge_firewall(d);
    judge_multicast(d);
}
