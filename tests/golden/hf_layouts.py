"""Models of families whose folders do not have Llama's modules, made from the tensors of GGUF models: what becomes of
each, as the families' own code has it."""
import numpy as np

from hf_folder import in_halves

LLAMA = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
         "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "ffn_gate_inp": "mlp.gate",
         "exp_probs_b.bias": "mlp.gate.e_score_correction_bias"}
LATENT = LLAMA | {"attn_q_a": "self_attn.q_a_proj", "attn_q_a_norm": "self_attn.q_a_layernorm",
                  "attn_q_b": "self_attn.q_b_proj", "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa",
                  "attn_kv_a_norm": "self_attn.kv_a_layernorm", "attn_kv_b": "self_attn.kv_b_proj"}
MIXTRAL = LLAMA | {"ffn_gate_inp": "block_sparse_moe.gate"}
GPT2 = {"attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj", "ffn_norm": "ln_2",
        "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}
GPTNEOX = {"attn_norm": "input_layernorm", "attn_qkv": "attention.query_key_value", "attn_output": "attention.dense",
           "ffn_norm": "post_attention_layernorm", "ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h"}
BLOOM = GPTNEOX | {"attn_qkv": "self_attention.query_key_value", "attn_output": "self_attention.dense"}
LFM2 = {"attn_norm": "operator_norm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj", "attn_output": "self_attn.out_proj", "attn_q_norm": "self_attn.q_layernorm",
        "attn_k_norm": "self_attn.k_layernorm", "ffn_norm": "ffn_norm", "ffn_gate": "feed_forward.w1",
        "ffn_up": "feed_forward.w3", "ffn_down": "feed_forward.w2", "shortconv.in_proj": "conv.in_proj",
        "shortconv.conv": "conv.conv", "shortconv.out_proj": "conv.out_proj", "ffn_gate_inp": "feed_forward.gate",
        "exp_probs_b.bias": "feed_forward.expert_bias"}
LLAMA4 = {k: v.replace("mlp.", "feed_forward.") for k, v in LLAMA.items()} | {
    "ffn_gate_inp": "feed_forward.router"}
BAILING = {"attn_norm": "input_layernorm", "attn_q": "", "attn_k": "", "attn_v": "", "attn_qkv": "",
           "attn_output": "attention.dense", "attn_q_norm": "attention.query_layernorm",
           "attn_k_norm": "attention.key_layernorm"}
PLAIN_ENDS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
SEEING_ENDS = {k: v.replace("model.", "model.language_model.") for k, v in PLAIN_ENDS.items()}
GPT2_ENDS = {"token_embd": "transformer.wte", "position_embd": "transformer.wpe", "output_norm": "transformer.ln_f",
             "output": "lm_head"}
# model_type -> where layers are, modules of layers, modules outside of them
MODULES = {
    "gpt2": ("h.", GPT2, {k: v.removeprefix("transformer.") for k, v in GPT2_ENDS.items()}),
    "gpt_bigcode": ("transformer.h.", GPT2, GPT2_ENDS),
    "gpt_neox": ("gpt_neox.layers.", GPTNEOX, {"token_embd": "gpt_neox.embed_in", "output": "embed_out",
                                               "output_norm": "gpt_neox.final_layer_norm"}),
    "falcon": ("transformer.h.", BLOOM, GPT2_ENDS | {"token_embd": "transformer.word_embeddings"}),
    "bloom": ("transformer.h.", BLOOM, GPT2_ENDS | {"token_embd": "transformer.word_embeddings",
                                                    "token_embd_norm": "transformer.word_embeddings_layernorm"}),
    "mpt": ("transformer.blocks.", {"attn_norm": "norm_1", "ffn_norm": "norm_2", "attn_qkv": "attn.Wqkv",
                                    "attn_output": "attn.out_proj", "ffn_up": "ffn.up_proj",
                                    "ffn_down": "ffn.down_proj"}, GPT2_ENDS | {"output_norm": "transformer.norm_f"}),
    "dbrx": ("transformer.blocks.", {"attn_norm": "norm_attn_norm.norm_1", "attn_qkv": "norm_attn_norm.attn.Wqkv",
                                     "attn_output": "norm_attn_norm.attn.out_proj",
                                     "attn_output_norm": "norm_attn_norm.norm_2", "ffn_gate_inp": "ffn.router.layer"},
             GPT2_ENDS | {"output_norm": "transformer.norm_f"}),
    "exaone": ("transformer.h.", {"attn_norm": "ln_1", "ffn_norm": "ln_2", "ffn_gate": "mlp.c_fc_0",
                                  "ffn_up": "mlp.c_fc_1", "ffn_down": "mlp.c_proj"} | {
        f"attn_{k}": f"attn.attention.{m}" for k, m in {"q": "q_proj", "k": "k_proj", "v": "v_proj",
                                                        "output": "out_proj"}.items()}, GPT2_ENDS),
    "internlm2": ("model.layers.", {"attn_norm": "attention_norm", "attn_q": "", "attn_k": "", "attn_v": "",
                                    "attn_output": "attention.wo", "ffn_norm": "ffn_norm",
                                    "ffn_gate": "feed_forward.w1", "ffn_up": "feed_forward.w3",
                                    "ffn_down": "feed_forward.w2"},
                  {"token_embd": "model.tok_embeddings", "output_norm": "model.norm", "output": "output"}),
    "lfm2": ("model.layers.", LFM2, PLAIN_ENDS | {"token_embd_norm": "model.embedding_norm"}),
    "lfm2_moe": ("model.layers.", LFM2, PLAIN_ENDS | {"token_embd_norm": "model.embedding_norm"}),
    "olmo": ("model.layers.", LLAMA, PLAIN_ENDS),
    "phimoe": ("model.layers.", MIXTRAL, PLAIN_ENDS),
    "minimax_m2": ("model.layers.", MIXTRAL | {"exp_probs_b.bias": "block_sparse_moe.e_score_correction_bias"},
                   PLAIN_ENDS),
    "granitemoeshared": ("model.layers.", LLAMA | {"ffn_gate_inp": "block_sparse_moe.router.layer"}, PLAIN_ENDS),
    "ernie4_5_moe": ("model.layers.", LLAMA | {"exp_probs_b.bias": "mlp.moe_statics.e_score_correction_bias"},
                     PLAIN_ENDS),
    "hunyuan_v1_moe": ("model.layers.", LLAMA | {
        "ffn_gate_inp": "mlp.gate.wg", "attn_q_norm": "self_attn.query_layernorm",
        "attn_k_norm": "self_attn.key_layernorm"}, PLAIN_ENDS),
    "afmoe": ("model.layers.", LLAMA | {
        "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_mlp_layernorm",
        "post_ffw_norm": "post_mlp_layernorm", "attn_gate": "self_attn.gate_proj", "ffn_gate_inp": "mlp.router.gate",
        "exp_probs_b.bias": "mlp.expert_bias"}, PLAIN_ENDS),
    "exaone_moe": ("model.layers.", LLAMA | {"exp_probs_b.bias": "mlp.e_score_correction_bias"}, PLAIN_ENDS),
    "bailing_moe": ("model.layers.", LLAMA | BAILING, PLAIN_ENDS | {"token_embd": "model.word_embeddings"}),
    "bailing_moe_v2": ("model.layers.", LLAMA | BAILING | {"exp_probs_b.bias": "mlp.gate.expert_bias"},
                       PLAIN_ENDS | {"token_embd": "model.word_embeddings"}),
    "minicpm3": ("model.layers.", LATENT, PLAIN_ENDS),
    "plm": ("model.layers.", LATENT, PLAIN_ENDS),
    "mistral4": ("model.language_model.layers.", LATENT,
                 SEEING_ENDS),
    "ministral3": ("language_model.model.layers.", LLAMA, {k: "language_model." + v for k, v in PLAIN_ENDS.items()}),
    "llama4": ("language_model.model.layers.", LLAMA4, {k: "language_model." + v for k, v in PLAIN_ENDS.items()}),
    "qwen2_5_vl": ("model.layers.", LLAMA, PLAIN_ENDS),
    "qwen3_vl": ("model.language_model.layers.", LLAMA,
                 SEEING_ENDS),
    "qwen3_vl_moe": ("model.language_model.layers.", LLAMA,
                     SEEING_ENDS),
    "gemma4": ("model.language_model.layers.", LLAMA | {
        "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm", "pre_ffw_norm_2": "pre_feedforward_layernorm_2",
        "post_ffw_norm_1": "post_feedforward_layernorm_1", "post_ffw_norm_2": "post_feedforward_layernorm_2",
        "ffn_gate_inp": "router.proj"}, SEEING_ENDS),
    "gpt_oss": ("model.layers.", LLAMA | {"post_attention_norm": "post_attention_layernorm",
                                          "attn_sinks": "self_attn.sinks", "ffn_gate_inp": "mlp.router"}, PLAIN_ENDS),
    "eurobert": ("model.layers.", LLAMA, PLAIN_ENDS),
    "nomic_bert": ("encoder.layers.", {
        "attn_qkv": "attn.Wqkv", "attn_output": "attn.out_proj", "attn_output_norm": "norm1", "ffn_up": "mlp.fc1",
        "ffn_down": "mlp.fc2", "layer_output_norm": "norm2", "ffn_gate_inp": "mlp.router.layer"}, {
            "token_embd": "embeddings.word_embeddings", "token_types": "embeddings.token_type_embeddings",
            "token_embd_norm": "emb_ln"}),
}
TURNED = {"olmo", "llama4", "ministral3", "internlm2", "bailing_moe", "granitemoeshared"}  # GGUF has pairs
GROUPED = {"gpt_neox", "bloom", "falcon", "gpt_bigcode", "internlm2"}
QUERIES_FIRST = {"gpt2", "bailing_moe", "bailing_moe_v2"}
ONE_BY_ONE = {"lfm2_moe": ("feed_forward.experts.{}.", "w1", "w3", "w2"),
              "phimoe": ("block_sparse_moe.experts.{}.", "w1", "w3", "w2"),
              "minimax_m2": ("block_sparse_moe.experts.{}.", "w1", "w3", "w2")}
SHARED = {"llama4": "feed_forward.shared_expert.", "hunyuan_v1_moe": "mlp.shared_mlp."}
BUFFERS = {"gpt2": "attn.bias", "gpt_neox": "attention.masked_bias"}  # some files have them; nobody reads them


def fused(q, k, v, groups):
    """Rows of all heads in one: queries, keys and values of each group in turn."""
    return np.concatenate([x.reshape(groups, -1, *x.shape[1:]) for x in (q, k, v)], axis=1).reshape(-1, *q.shape[1:])


def apart(tensors, config):
    """The same with queries, keys and values each on their own, and so gates, as they are read from folders."""
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    out = {}
    for name, x in tensors.items():
        if "ffn_gate_up_exps" in name:
            out |= {name.replace("gate_up", c): part for c, part in zip(("gate", "up"), np.split(x, 2, axis=1))}
            continue
        if "attn_qkv" not in name or config["model_type"] not in GROUPED | QUERIES_FIRST:
            out[name] = x
            continue
        ends = np.array([heads, heads + kv]) * (x.shape[0] // (heads + 2 * kv))
        out |= {name.replace("qkv", c): part for c, part in zip("qkv", np.split(x, ends))}
    return out


def mxfp4(x):
    """Blocks and scales of what is in MXFP4 already, two values that follow each other in a byte."""
    from gguf import quants, GGMLQuantizationType
    blocks = quants.quantize(x, GGMLQuantizationType.MXFP4).reshape(*x.shape[:-1], x.shape[-1] // 32, 17)
    both = np.concatenate([blocks[..., 1:] & 15, blocks[..., 1:] >> 4], axis=-1)
    return both[..., ::2] | both[..., 1::2] << 4, blocks[..., 0]


def gpt_oss_experts(prefix, tensors, name, kept):
    """Gate and up in turn; in MXFP4 or, turned, as they are."""
    def both(kind):
        gate, up = (tensors[name.replace("ffn_down_exps.weight", f"ffn_{c}_exps.{kind}")] for c in ("gate", "up"))
        return np.stack([gate, up], axis=2).reshape(len(gate), -1, *gate.shape[2:])
    wide, down = both("weight"), tensors[name]
    out = {f"{prefix}gate_up_proj_bias": both("bias"),
           f"{prefix}down_proj_bias": tensors[name.replace("weight", "bias")]}
    for module, x in (("gate_up_proj", wide), ("down_proj", down)):
        if kept:
            out[f"{prefix}{module}_blocks"], out[f"{prefix}{module}_scales"] = mxfp4(x)
        else:
            out[f"{prefix}{module}"] = x.swapaxes(1, 2)
    return out


def experts(kind, prefix, tensors, name):
    """What becomes of a layer's experts, all three stacks of them; `name` is that of the ways down."""
    down, up = tensors[name], tensors[name.replace("down", "up")]
    gate = tensors.get(name.replace("down", "gate"))
    if kind in ("dbrx", "nomic_bert"):
        rows = {"w1": gate, "v1": up} if gate is not None else {"w1": up}
        module = prefix + ("ffn.experts.mlp." if kind == "dbrx" else "mlp.experts.mlp.")
        return {module + n: x.reshape(-1, x.shape[-1]) for n, x in (rows | {"w2": down.swapaxes(1, 2)}).items()}
    if kind == "gemma4":
        both = np.concatenate([gate, up], axis=1)
        return {f"{prefix}experts.gate_up_proj": both, f"{prefix}experts.down_proj": down,
                f"{prefix}router.per_expert_scale": tensors[name.replace("weight", "scale")]}
    if kind in ("qwen3_vl_moe", "llama4", "mistral4"):
        module, both = prefix + ("feed_forward" if kind == "llama4" else "mlp"), np.concatenate([gate, up], axis=1)
        turn = kind != "mistral4"
        return {f"{module}.experts.{n}": x.swapaxes(1, 2) if turn else x
                for n, x in (("gate_up_proj", both), ("down_proj", down))}
    if kind == "granitemoeshared":
        return {f"{prefix}block_sparse_moe.input_linear.weight": np.concatenate([gate, up], axis=1),
                f"{prefix}block_sparse_moe.output_linear.weight": down}
    module, *names = ONE_BY_ONE.get(kind, ("mlp.experts.{}.", "gate_proj", "up_proj", "down_proj"))
    return {f"{prefix}{module.format(i)}{n}.weight": one
            for n, x in zip(names, (gate, up, down)) for i, one in enumerate(x)}


def shared_expert(kind, prefix, tensors, name):
    gate, up, down = (tensors[name.replace("down", c)] for c in ("gate", "up", "down"))
    if kind == "granitemoeshared":
        return {f"{prefix}shared_mlp.input_linear.weight": np.concatenate([gate, up]),
                f"{prefix}shared_mlp.output_linear.weight": down}
    module = prefix + SHARED.get(kind, "mlp.shared_experts.")
    return {f"{module}{c}_proj.weight": x for c, x in (("gate", gate), ("up", up), ("down", down))}


def heads_in_one(kind, config, tensors, prefix, name):
    """`name` is that of the queries."""
    def side(c):
        x = tensors[name.replace("attn_q", f"attn_{c}")]
        counts = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
        return in_halves(x, counts[c]) if kind in TURNED and c in counts else x
    module = {"internlm2": "attention.wqkv", "gpt2": "attn.c_attn", "gpt_bigcode": "attn.c_attn",
              "gpt_neox": "attention.query_key_value"}.get(
                  kind, "attention.query_key_value" if "bailing" in kind else "self_attention.query_key_value")
    x = fused(*map(side, "qkv"), 1 if kind in QUERIES_FIRST else config["num_key_value_heads"])
    return {f"{prefix}{module}.{name.rsplit('.', 1)[1]}": x}


def layer_tensor(kind, config, tensors, name, kept):
    _, layer, base, *rest = name.split(".")
    front, modules, _ = MODULES[kind]
    prefix, end = f"{front}{layer}.", ".".join([base, *rest[:-1]])
    if base.endswith("_exps"):
        if base != "ffn_down_exps" or rest[-1] != "weight":
            return {}
        if kind == "gpt_oss":
            return gpt_oss_experts(prefix + "mlp.experts.", tensors, name, kept)
        return experts(kind, prefix, tensors, name)
    if base.endswith("_shexp"):
        return shared_expert(kind, prefix, tensors, name) if base == "ffn_down_shexp" else {}
    if base in ("attn_q", "attn_k", "attn_v") and kind in GROUPED | QUERIES_FIRST:
        return heads_in_one(kind, config, tensors, prefix, name) if base == "attn_q" else {}
    if kind == "falcon" and f"blk.{layer}.attn_norm_2.weight" in tensors and base.startswith("attn_norm"):
        return {f"{prefix}{'ln_attn' if base == 'attn_norm_2' else 'ln_mlp'}.{rest[-1]}": tensors[name]}
    x = tensors[name]
    if kind in TURNED and base in ("attn_q", "attn_k"):
        x = in_halves(x, config["num_attention_heads" if base == "attn_q" else "num_key_value_heads"])
    if rest[-1] == "scale":
        return {f"{prefix}router.scale": x}
    if base == "layer_output_scale":
        return {f"{prefix}layer_scalar": x}
    if end == "shortconv.conv":
        x = x[:, None]
    if base == "exp_probs_b":
        return {prefix + modules["exp_probs_b.bias"]: x[None] if kind == "ernie4_5_moe" else x}
    module = modules[end]
    return {prefix + module if base == "attn_sinks" else f"{prefix}{module}.{rest[-1]}": x}


def unconvert(tensors, config, kept=False):
    """{Hugging Face's name: values}; `kept`: experts stay in MXFP4."""
    kind, out = config["model_type"], {}
    tensors = apart(tensors, config)
    for name, x in tensors.items():
        if name.startswith("rope_"):
            continue
        if name.startswith("blk."):
            out |= layer_tensor(kind, config, tensors, name, kept)
            continue
        base, end = name.rsplit(".", 1)
        out[f"{MODULES[kind][2][base]}.{end}"] = np.atleast_2d(x) if base == "token_types" else x
    if kind == "gpt2":
        out = {n: x.T if ".c_" in n and x.ndim == 2 else x for n, x in out.items()}
    if kind == "gemma4":
        out["model.embed_vision.embedding_projection.weight"] = np.zeros((4, 4), np.float32)
    if kind in BUFFERS:
        out[f"{MODULES[kind][0]}0.{BUFFERS[kind]}"] = np.zeros((1, 1, 4, 4), np.float32)
    return out
