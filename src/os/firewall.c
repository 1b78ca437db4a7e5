#include "os/firewall.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 1024, RULES_BYTES_MAX = 1 << 20 };

static FILE *open_at(const char *root, const char *path) {
    char full[PATH_MAX];
    int n = snprintf(full, sizeof full, "%s%s", root, path);
    return n > 0 && n < (int)sizeof full ? fopen(full, "re") : NULL;
}

/* Does `number` stand in the text as a number of its own? */
static bool names(const char *text, unsigned number) {
    char digits[16];
    int len = snprintf(digits, sizeof digits, "%u", number);
    for (const char *at = text; (at = strstr(at, digits)) != NULL; at++) {
        bool begins = at == text || !isdigit((unsigned char)at[-1]);
        if (begins && !isdigit((unsigned char)at[len])) return true;
    }
    return false;
}

/* Does one line of the file have `word` at its start (NULL: anywhere) and the number (0: none is asked for)? */
static bool file_says(FILE *f, const char *word, unsigned number) {
    char line[LINE_BYTES];
    bool found = false;
    while (!found && f && fgets(line, sizeof line, f))
        found = (word == NULL || strncmp(line, word, strlen(word)) == 0) && (number == 0 || names(line, number));
    if (f) fclose(f);
    return found;
}

static bool read_ufw(const char *root, uint16_t port, struct firewall *out) {
    if (!file_says(open_at(root, "/etc/ufw/ufw.conf"), "ENABLED=yes", 0)) return false;
    FILE *rules = open_at(root, "/etc/ufw/user.rules");
    out->kind = FIREWALL_UFW;
    out->hidden = rules == NULL;
    out->names_port = file_says(rules, "### tuple ### allow", port);
    return true;
}

/* Is there a process of that name? */
static bool process_runs(const char *root, const char *name) {
    char path[PATH_MAX];
    bool found = false;
    int n = snprintf(path, sizeof path, "%s/proc", root);
    DIR *dir = n > 0 && n < (int)sizeof path ? opendir(path) : NULL;
    if (dir == NULL) return false;
    for (struct dirent *entry; !found && (entry = readdir(dir));) {
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        snprintf(path, sizeof path, "/proc/%.20s/comm", entry->d_name);
        found = file_says(open_at(root, path), name, 0);
    }
    closedir(dir);
    return found;
}

static bool read_firewalld(const char *root, uint16_t port, struct firewall *out) {
    char path[PATH_MAX];
    if (!process_runs(root, "firewalld\n")) return false;
    out->kind = FIREWALL_FIREWALLD;
    int n = snprintf(path, sizeof path, "%s/etc/firewalld/zones", root);
    DIR *dir = n > 0 && n < (int)sizeof path ? opendir(path) : NULL;
    out->hidden = dir == NULL && access(path, F_OK) == 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/etc/firewalld/zones/%s", entry->d_name);
        if (file_says(open_at(root, path), NULL, port)) out->names_port = true;
    }
    if (dir) closedir(dir);
    return true;
}

/* "table inet filter {" or "chain input {": what stands between the word and the brace. */
static bool take_name(const char *line, const char *word, char out[FIREWALL_NAME_BYTES]) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. ";
    size_t skip = strlen(word);
    if (strncmp(line, word, skip) != 0) return false;
    size_t len = strspn(line + skip, letters); /* and the space before the brace */
    if (len < 2 || len >= FIREWALL_NAME_BYTES || line[skip + len] != '{') return false;
    snprintf(out, FIREWALL_NAME_BYTES, "%.*s", (int)len - 1, line + skip);
    return true;
}

void firewall_judge_ruleset(const char *ruleset, uint16_t port, struct firewall *out) {
    char table[FIREWALL_NAME_BYTES] = "", chain[FIREWALL_NAME_BYTES] = "", line[LINE_BYTES];
    for (const char *at = ruleset; *at != '\0' && out->kind == FIREWALL_NONE; at += *at == '\n') {
        size_t len = strcspn(at, "\n");
        const char *text = at + strspn(at, " \t");
        snprintf(line, sizeof line, "%.*s", (int)(at + len - text), text);
        at += len;
        if (take_name(line, "table ", table) || take_name(line, "chain ", chain)) continue;
        if (strstr(line, "hook input") == NULL || strstr(line, "policy drop") == NULL) continue;
        *out = (struct firewall){.kind = FIREWALL_NFTABLES, .names_port = names(ruleset, port)};
        memcpy(out->table, table, sizeof table);
        memcpy(out->chain, chain, sizeof chain);
    }
}

static void ask_nftables(uint16_t port, struct firewall *out) {
    FILE *nft = geteuid() == 0 ? popen("nft list ruleset 2>/dev/null", "re") : NULL;
    char *rules = nft ? malloc(RULES_BYTES_MAX) : NULL;
    if (rules) {
        rules[fread(rules, 1, RULES_BYTES_MAX - 1, nft)] = '\0';
        firewall_judge_ruleset(rules, port, out);
    }
    free(rules);
    if (nft) pclose(nft);
}

void firewall_read(const char *root, uint16_t port, struct firewall *out) {
    *out = (struct firewall){0};
    if (read_ufw(root, port, out) || read_firewalld(root, port, out)) return;
    if (*root == '\0') ask_nftables(port, out);
}
