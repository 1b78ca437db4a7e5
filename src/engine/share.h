/* Shares: what part of its layers a member of a stage holds and computes, where several share them.
 *
 * Every matrix is cut by its rows and by nothing else: no sum is ever parted, so the bits are those of one node,
 * whatever the shares (docs/decisions). Queries go by heads: by whole groups that share a KV head where there are two
 * groups for each member, else one by one, and neighbours both hold the KV head that lies between them. The inside of
 * FFNs, and of every expert, goes by KERN_BLOCK columns, what comes out of attention and FFNs by KERN_LANES. The latent
 * vectors of MLA, routers and norms are everybody's. Rows of the head are parted too; the embedding is the first
 * member's. Between two matrices the members tell each other the columns that each has made (exchange.h). Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "model/model.h"

enum { SHARE_MEMBERS_MAX = 64 };

struct share {
    uint32_t member, members; /* members <= 1: alone, all of it */
    uint32_t weights[SHARE_MEMBERS_MAX];
    bool all_queries, all_keys; /* a norm goes over the queries or keys of all heads: each member computes them all */
};

struct range {
    uint32_t begin, end;
};
static inline uint32_t range_length(struct range r) { return r.end - r.begin; }

/* The rows that are held of a tensor (of a vector: values), of each of so many groups of them. */
struct cut {
    uint32_t groups;
    struct range rows;
};

#define SHARE_CUT(name) struct cut name;
struct share_layer {
    MODEL_LAYER_TENSORS(SHARE_CUT, SHARE_CUT)
};

/* The share of a member of so many, in proportion to `weights` (NULL: alone). */
void share_init(struct share *s, const struct model *m, uint32_t member, uint32_t members, const uint32_t *weights);
/* Members that may share a layer of the model. */
uint32_t share_members_max(const struct model *m);
/* ERR_LIMIT, with the numbers, when there is not a head or a block of columns for each member. */
int share_check(const struct share *s, const struct model *m, struct error *error);
void share_layer(const struct share *s, const struct model *m, uint32_t layer, struct share_layer *out);

/* What is another member's, or the own one's: of an FFN's inside of so many columns, of hidden rows, query heads, rows
 * of the head. */
struct range share_columns(const struct share *s, uint32_t size, uint32_t member);
struct range share_hidden(const struct share *s, const struct model_params *p, uint32_t member);
struct range share_heads(const struct share *s, const struct model_params *p, uint32_t member);
struct range share_vocab(const struct share *s, const struct model_params *p, uint32_t member);
/* KV heads that the member's heads look at. */
struct range share_kv_heads(const struct share *s, const struct model_params *p);

/* Sizes as they are to a member. */
struct share_sizes {
    struct model_params params;         /* heads, kv_heads and vocab: of the member */
    struct range heads, hidden, expert; /* its own ones: heads, hidden columns, columns inside of an expert */
    uint32_t queries, keys;             /* heads whose queries and keys it computes: all, where a norm goes over all */
    uint32_t query_from, key_from;      /* of these, the first that is its own */
    uint32_t heads_per_kv, heads_of_model;
    uint32_t attended; /* columns that attention (or a recurrence, if that is more) leaves, of all members */
    bool in_blocks;    /* those of each member are whole blocks of KERN_BLOCK */
};
void share_sizes(const struct share *s, const struct model_params *p, struct share_sizes *out);
/* The same of layers with a window, whose heads may be others: then there is one member. */
void share_local_sizes(const struct share_sizes *s, struct share_sizes *out);
/* Columns that a head leaves. */
static inline uint32_t share_value_size(const struct model_params *p) {
    return p->latent.kv_rank ? p->latent.value : p->head_dim_v;
}

/* What a member of several holds beyond its share at most, whatever the shares: bytes of weights of a layer, and KV
 * heads. */
struct share_slack {
    uint64_t weights_bytes;
    uint32_t kv_heads;
};
struct share_slack share_slack(const struct model *m, uint32_t layer);
/* What the members tell each other of one row in a layer, all of them together: how often, and how much. */
uint32_t share_exchanges(const struct model *m);
uint64_t share_exchange_bytes(const struct model *m, uint32_t layer);
