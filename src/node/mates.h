/* Links with the stocks of other nodes. On the stock's thread. */
#pragma once
#include "node/pull.h"

enum { MATE_ASKED_MIN = 8 };

struct depot_reading;
struct favour;

/* A link with another node's stock. Its number is what chunks remember of their giver. */
struct mate {
    struct mate *next;
    uint16_t number;
    uint64_t node;
    struct link *link;
    unsigned asked; /* chunks under way from there: at least so many may be */
    uint64_t heard_us;      /* since when nothing came */
    uint64_t member_us;     /* when it was a member of the cluster last */
    struct favour *favours; /* what it asked for and has not got yet, oldest first */
};

/* What a node said that it has of a file. */
struct mate_map {
    struct mate_map *next;
    uint16_t mate;
    struct chunks chunks;
};

size_t mates_waits(struct stock *s, struct fetch_wait *out, size_t max);
void mates_turn(struct stock *s, uint64_t now_us);
void mates_free(struct stock *s);
struct mate *mates_find(struct stock *s, uint64_t node); /* by id; NULL: no link */
struct mate *mates_number(struct stock *s, uint16_t number);
void mates_dial(struct stock *s, uint64_t now_us);           /* whoever is there and has no link */
bool mates_send(struct mate *m, struct wire_store *message); /* false: it does not take it now */
/* It is known whether the model is here: those who asked are answered. */
void mates_sought(struct stock *s, const uint8_t *fingerprint);
void mates_take_reading(struct stock *s, const struct depot_reading *r); /* whoever asked for it gets it */
/* To all: the hash of the whole file is known to be right, or wrong. */
void mates_tell_verified(struct stock *s, const uint8_t *fingerprint, uint32_t file, bool right);
/* A chunk is here: whoever waits for it gets it. */
void mates_chunk_ready(struct stock *s, const struct pull *p, uint32_t file, uint32_t chunk);
/* The nodes that are there, without this one; how many. */
size_t mates_peers(struct stock *s, uint64_t out[STOCK_PEERS_MAX]);
bool mates_is_peer(struct stock *s, uint64_t node);
uint64_t mates_self(struct stock *s);
