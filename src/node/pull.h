/* The way of one model into the store: its list of files, the headers, then the bytes; whole, or in parts by a plan
 * (hold.h). All on the stock's thread. */
#pragma once
#include "base/text.h"
#include "node/parcel.h"
#include "node/stock_private.h"
#include "wire/store.h"

/* A stream of a transfer: the fetch that feeds it. */
struct pull_slot {
    struct pull *pull;
    unsigned number;
    uint32_t file;
    uint64_t at; /* where the next byte goes */
    struct fetch *fetch;
};

/* The hash of a file on its way from owner to owner. */
struct pull_chain {
    bool waits, early, taken; /* to be handed on; to be taken once the plan is read; was handed to this node */
    uint32_t next, taken_chunk;
    uint8_t state[CHUNKS_HASH_BYTES], seed[CHUNKS_HASH_BYTES]; /* to hand on; where this node's part begins */
};

/* How far another member is. */
struct pull_member {
    uint64_t bytes_done, bytes_total;
    bool done, asked;
    int code;
    uint64_t seen_us; /* when it was last in reach; 0: not looked for yet */
};

/* What a node was asked for a pull, and what it said. */
struct inquiry {
    struct inquiry *next;
    uint64_t node;
    bool model_asked, model_absent;
    bool maps_asked, mapless;
    uint32_t feed_file, feed_chunk; /* what it can give is looked for from there on */
};

struct pull {
    struct pull *next;
    struct stock *stock;
    struct stock_view told;
    struct origin origin;
    char name[ORIGIN_NAME_BYTES], alias[ORIGIN_NAME_BYTES]; /* as it was asked for first, and last */
    struct stock_view last;                                 /* what is told once the parcel is closed */
    enum stock_state state;
    struct error error;
    bool removed; /* shown no more, freed when at rest */
    bool again;   /* begin once what is under way has come to rest */

    struct pull *leader; /* brings the same files under another name; NULL: none */

    struct fetch *page; /* of the hub's list, or the first byte of a file whose size is not known */
    struct text body;
    struct listing listing;
    bool old_form; /* the hub is asked for its older description */
    bool paging;
    size_t probing;
    unsigned page_tries, pages;
    uint64_t page_retry_us; /* 0: not waiting */
    char page_url[2048];

    bool open; /* the parcel is */
    struct parcel parcel;
    bool rechecked;        /* what is here, because no header was found in it */
    uint32_t header_file;  /* whose header is looked for */
    uint64_t header_bytes; /* worth looking once so many are here */
    struct pull_slot slots[TRANSFER_STREAMS_MAX];
    struct hasher_chain **chains;    /* by file; NULL until needed */
    struct pull_chain *chain_states; /* by file */
    bool asking;                     /* others, for the manifest */
    uint64_t again_us;               /* somebody will know soon: ask again then */
    uint64_t followed, follow_us;    /* the node that pulls it already (0: none); when to ask it for its plan */
    bool alone;                      /* they were asked in vain */
    bool from_peers;                 /* what others have is taken from them */
    uint64_t starved_us;             /* when it was not so last */
    bool starving;                   /* something is wanted that nobody can give */
    uint64_t mapped_us;              /* when others were asked first what they have; 0: not yet */
    uint64_t given_bytes;            /* that came from other nodes */
    uint8_t told_fingerprint[WIRE_FINGERPRINT_BYTES]; /* of the manifest, also when the parcel is closed */
    bool whole;                                       /* all of it is wanted, whatever others hold */
    bool check;                                       /* what is here is wanted, and compared with its hashes again */
    struct wire_plan *plan;                           /* what to hold; NULL: none, or the whole */
    bool all;                                         /* and see to it that the others do */
    uint64_t reports[8];                              /* nodes that hear how far this one is */
    unsigned report_count;
    uint64_t report_us; /* when to tell next */
    uint64_t number;    /* of its questions to other nodes */
    uint64_t asked_us;  /* when others were asked for the manifest or their maps; 0: not yet */
    struct inquiry *inquiries;
    uint64_t feed_us;   /* when to look again what others could give */
    uint64_t planned_us; /* since when the plan is known here */
    uint64_t proof_us;  /* until when the hash of the whole is waited for; 0: not yet */
    uint16_t **owners;  /* by file and chunk: the member that fetches it for all */
    struct mate_map **maps; /* by file: what others have */
    uint64_t banned[8]; /* nodes that gave wrong bytes */
    unsigned banned_count;
    struct pull_member members[WIRE_MEMBERS_MAX]; /* of the plan, as they told last */
    unsigned jobs;                                /* at the hasher */
    struct transfer_effects effects;
};

struct pull *pull_new(struct stock *s, const struct origin *origin, const char *name);
void pull_free(struct pull *p); /* at rest, or after its hasher and fetcher are gone */
void pull_begin(struct pull *p, const char *name, bool whole);
void pull_check(struct pull *p); /* what is here, with its hashes */
void pull_hold(struct pull *p, struct wire_plan *plan, bool all, uint64_t report); /* plan: taken */
void pull_halt(struct pull *p, bool remove);
void pull_checked(struct hasher_job *job); /* taken */
void pull_turn(struct pull *p, uint64_t now_us);
uint64_t pull_deadline(const struct pull *p);
bool pull_at_rest(const struct pull *p);
void pull_view(const struct pull *p, struct stock_view *out);
/* Go on with a manifest (taken) that another node gave. */
void pull_take_manifest(struct pull *p, struct manifest *m);
void pull_fail(struct pull *p, const struct error *why);
bool pull_under_way(const struct pull *p);
void pull_carry_out(struct pull *p);
/* Compare a chunk with its hash again. */
void pull_recheck(struct pull *p, uint32_t file, uint32_t chunk);
void pull_listed(struct pull *p); /* the hub's list is complete */
