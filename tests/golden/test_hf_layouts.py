"""Folders of families with layouts of their own are the models that a converter makes of them: the same tensors and
keys, and the same logits, bit by bit."""
from dataclasses import replace

import pytest

gguf = pytest.importorskip("gguf", reason="gguf-py knows the names")
np = pytest.importorskip("numpy")

import hf_folder  # noqa: E402
import hf_layouts  # noqa: E402
from engine import TINY_MODEL, logits, run, tiny_model  # noqa: E402
from more_families import families, write  # noqa: E402
from test_hf import quantize, values  # noqa: E402

pytestmark = pytest.mark.skipif(not TINY_MODEL.exists(), reason=f"no writer of tiny models at {TINY_MODEL}")

TOKENS = [int(token) for token in np.random.default_rng(7).integers(0, 512, 40)]
MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 256}
SIGMOID = MOE | {"num_experts": 8, "first_k_dense_replace": 1, "num_shared_experts": 1, "norm_topk_prob": True,
                 "routed_scaling_factor": 2.5}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
LATENT = {"kv_lora_rank": 64, "qk_nope_head_dim": 48, "qk_rope_head_dim": 16, "v_head_dim": 32}
LONG = {"type": "longrope", "long_factor": "rope_factors_long.weight", "short_factor": "rope_factors_short.weight"}
GRANITE = {"attention_multiplier": 0.25, "embedding_multiplier": 12.0, "residual_multiplier": 0.4,
           "logits_scaling": 3.0}
SECTIONS = {"rope_type": "default", "mrope_section": [12, 10, 10], "mrope_interleaved": True}
LFM2 = {"layer_types": ["conv", "conv", "full_attention", "conv", "full_attention"], "conv_L_cache": 3,
        "rope_theta": 1e6, "num_key_value_heads": 2, "norm_eps": 1e-3}
GPT_OSS = {"num_experts_per_tok": 2, "num_local_experts": 8, "head_dim": 64, "sliding_window": 16,
           "rope_theta": 150000.0, "rope_scaling": YARN | {"rope_theta": None, "truncate": False}}
GEMMA4 = {"head_dim": 32, "global_head_dim": 64, "num_key_value_heads": 4, "num_global_key_value_heads": 2,
          "attention_k_eq_v": True, "sliding_window": 16, "final_logit_softcapping": 10.0,
          "tie_word_embeddings": True, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0,
          "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
          "rope_parameters": {
              "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6},
              "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}
# Name -> model_type and what config.json says beyond the common keys.
CONFIGS = {
    "gpt2": ("gpt2", {"activation_function": "gelu_new"}),
    "starcoder": ("gpt_bigcode", {"multi_query": True}),
    "gptneox": ("gpt_neox", {"rotary_pct": 0.25, "use_parallel_residual": True}),
    "gptneox-in-turn": ("gpt_neox", {"rotary_pct": 0.25, "use_parallel_residual": False}),
    "falcon": ("falcon", {"multi_query": True, "num_kv_heads": 8, "alibi": False}),
    "falcon-40b": ("falcon", {"multi_query": True, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "bloom": ("bloom", {}),
    "mpt": ("mpt", {"attn_config": {"alibi": True, "alibi_bias_max": 8, "clip_qkv": None}}),
    "dbrx": ("dbrx", {"attn_config": {"clip_qkv": 2.0, "kv_n_heads": 2, "rope_theta": 5e5}, "ffn_config": {
        "ffn_hidden_size": 256, "moe_num_experts": 8, "moe_top_k": 2}}),
    "olmo": ("olmo", {"clip_qkv": 2.0, "rope_theta": 1e4}),
    "exaone": ("exaone", {"rope_theta": 5e5, "rope_scaling": LLAMA3}),
    "internlm2": ("internlm2", {"rope_theta": 1e6}),
    "lfm2": ("lfm2", LFM2 | {"block_auto_adjust_ff_dim": True, "intermediate_size": 700, "block_multiple_of": 256,
                             "block_ffn_dim_multiplier": 1.0, "tie_embedding": True}),
    "lfm2moe": ("lfm2_moe", LFM2 | MOE | {"num_experts": 8, "num_dense_layers": 1, "norm_topk_prob": True}),
    "phimoe": ("phimoe", {"num_experts_per_tok": 2, "num_local_experts": 8, "sliding_window": 0,
                          "original_max_position_embeddings": 32, "rope_scaling": LONG | {
                              "short_mscale": 1.19, "long_mscale": 1.19}}),
    "ernie4_5-moe": ("ernie4_5_moe", {"moe_num_experts": 8, "moe_k": 2, "moe_intermediate_size": 256,
                                      "moe_layer_start_index": 1, "moe_layer_interval": 1, "rope_theta": 5e5}),
    "hunyuan-moe": ("hunyuan_v1_moe", {"num_experts": 8, "moe_topk": [2, 2, 2], "moe_intermediate_size": [256] * 3,
                                       "num_shared_expert": [1, 1, 1], "shared_intermediate_size": 256}),
    "granitemoe-shared": ("granitemoeshared", GRANITE | {"num_local_experts": 8, "num_experts_per_tok": 2,
                                                         "shared_intermediate_size": 384}),
    "minimax-m2": ("minimax_m2", MOE | {"num_local_experts": 8, "head_dim": 64, "rotary_dim": 16,
                                        "rope_theta": 5e6, "scoring_func": "sigmoid"}),
    "afmoe": ("afmoe", MOE | {"num_experts": 8, "num_shared_experts": 1, "num_dense_layers": 1, "route_norm": True,
                              "route_scale": 2.5, "head_dim": 64, "sliding_window": 16}),
    "exaone-moe": ("exaone_moe", SIGMOID | {"sliding_window": 16, "layer_types": [
        "full_attention" if i % 4 == 3 else "sliding_attention" for i in range(5)]}),
    "bailingmoe": ("bailing_moe", MOE | {"num_experts": 8, "num_shared_experts": 2, "norm_topk_prob": True}),
    "bailingmoe2": ("bailing_moe_v2", SIGMOID | {
        "n_group": 4, "topk_group": 2, "partial_rotary_factor": 0.5, "shared_expert_intermediate_size": 256}),
    "minicpm3": ("minicpm3", LATENT | {"q_lora_rank": 96, "rope_scaling": LONG, "scale_emb": 12, "dim_model_base": 256,
                                       "scale_depth": 1.4, "original_max_position_embeddings": 256}),
    "plm": ("plm", LATENT | {"rope_theta": 1e4, "tie_word_embeddings": True}),
    "mistral4": ("mistral4", MOE | LATENT | {
        "n_routed_experts": 8, "n_shared_experts": 1, "first_k_dense_replace": 1, "norm_topk_prob": True,
        "routed_scaling_factor": 1.0, "q_lora_rank": 96, "rope_parameters": YARN | {
            "factor": 8.0, "original_max_position_embeddings": 16, "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": 0.5}}),
    "ministral3": ("ministral3", {"head_dim": 64, "rope_parameters": {
        "rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0, "original_max_position_embeddings": 16,
        "beta_fast": 1.5, "beta_slow": 0.25, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.5}}),
    "llama4": ("llama4", {"num_experts_per_tok": 1, "num_local_experts": 16, "intermediate_size": 256,
                          "intermediate_size_mlp": 512, "interleave_moe_layer_step": 1, "head_dim": 64,
                          "rope_theta": 5e5, "rope_scaling": LLAMA3}),
    "qwen2vl": ("qwen2_5_vl", {"rope_theta": 1e6, "use_sliding_window": False, "sliding_window": 32768,
                               "rope_scaling": {"type": "mrope", "mrope_section": [8, 4, 4]}}),
    "qwen3vl": ("qwen3_vl", {"rope_theta": 1e6, "head_dim": 64, "rope_scaling": SECTIONS}),
    "qwen3vlmoe": ("qwen3_vl_moe", MOE | {"rope_theta": 1e6, "head_dim": 64, "num_experts": 8,
                                          "rope_scaling": SECTIONS}),
    "gemma4": ("gemma4", GEMMA4),
    "gemma4-moe": ("gemma4", GEMMA4 | {"num_experts": 8, "top_k_experts": 2, "moe_intermediate_size": 256,
                                       "enable_moe_block": True}),
    "gpt-oss": ("gpt_oss", GPT_OSS),
    "gpt-oss-mxfp4": ("gpt_oss", GPT_OSS),
}
SEES = {"gemma4": "gemma4", "mistral4": "mistral3", "ministral3": "mistral3", "llama4": "llama4",
        "qwen3_vl": "qwen3_vl", "qwen3_vl_moe": "qwen3_vl_moe"}
NAMES = {"gpt2": dict(layers="n_layer", embd="n_embd", heads="n_head", ff="n_inner", context="n_positions"),
         "gpt_bigcode": dict(layers="n_layer", embd="n_embd", heads="n_head", ff="n_inner", context="n_positions"),
         "mpt": dict(layers="n_layers", embd="d_model", heads="n_heads", context="max_seq_len"),
         "dbrx": dict(layers="n_layers", embd="d_model", heads="n_heads", context="max_seq_len"),
         "bloom": dict(layers="n_layer", heads="n_head", context="seq_length"), "exaone": dict(layers="num_layers")}
# What a config of the kind does not lead to, or does not say.
DERIVED = {"rope.dimension_count", "rope.freq_base", "attention.key_length", "attention.value_length",
           "rope.scaling.type", "rope.scaling.alpha", "attention.layer_norm_epsilon"}


def family_of(name):
    t = tiny_model()
    every = t.FAMILIES | families()
    if name == "mistral4":  # as folders have it: in one matrix, not split
        f = every["mistral4"]
        parts = [t.latent_attention(48, 16, 32, kv_rank=64, q_rank=96, split=False), *f.parts[1:]]
        keys = {k: v for k, v in f.keys.items() if k not in t.LATENT and "temperature_length" not in k}
        return replace(f, parts=parts, kv_heads=8, keys=keys | {
            "attention.key_length": 64, "attention.value_length": 32, "rope.scaling.original_context_length": 16})
    if name == "ernie4_5-moe":
        ffn = t.leading(1, t.gated_ffn, t.experts(256, shared=256, select_bias=True))
        return t.Family("ernie4_5-moe", [t.attention(), ffn], rope_base=5e5, keys=t.MOE | {
            "expert_feed_forward_length": 256, "leading_dense_block_count": 1, "interleave_moe_layer_step": 1})
    if name == "qwen2vl":
        return t.Family("qwen2vl", [t.attention("qkv"), t.gated_ffn], rope_base=1e6,
                        keys={"rope.dimension_sections": [8, 4, 4, 0]})
    return every["mistral3" if name == "ministral3" else name]


def config_of(name, family, tensors):
    kind, more = CONFIGS[name]
    names = dict(layers="num_hidden_layers", embd="hidden_size", heads="num_attention_heads", ff="intermediate_size",
                 context="max_position_embeddings") | NAMES.get(kind, {})
    eps = "layer_norm_epsilon" if kind in NAMES or kind in ("falcon", "exaone") else (
        "layer_norm_eps" if family.layer_norm else "rms_norm_eps")
    config = {"model_type": kind, names["layers"]: family.layers, names["embd"]: family.embd,
              names["heads"]: family.heads, names["ff"]: family.ff, names["context"]: tiny_model().CONTEXT,
              "vocab_size": tiny_model().VOCAB, eps: tiny_model().EPSILON}
    if kind not in ("gpt2", "gpt_bigcode", "gpt_neox", "falcon", "bloom", "mpt", "dbrx"):
        config["num_key_value_heads"] = family.kv_heads
    rope = more.get("rope_scaling", {})
    if "long_factor" in rope:
        more = more | {"rope_scaling": rope | {k: tensors[rope[k]].tolist() for k in ("long_factor", "short_factor")}}
    return config | more


def nested(config):
    """As models that see have it."""
    kind = config["model_type"]
    if kind not in SEES:
        return config
    inner = config | {"model_type": kind if "istral" in kind else kind + "_text"}
    return {"model_type": SEES[kind], "text_config": inner, "vision_config": {"hidden_size": 1}}


@pytest.mark.parametrize("name", CONFIGS)
def test_as_a_converter_makes_it(name, tmp_path):
    family = family_of(name)
    write(family, name, tmp_path / "tiny.gguf")
    reader = gguf.GGUFReader(tmp_path / "tiny.gguf")
    tensors = {t.name: values(t) for t in reader.tensors}
    config = config_of(name, family, tensors)
    heads = config | {"num_attention_heads": family.heads, "num_key_value_heads": family.kv_heads}
    modules = hf_layouts.unconvert(tensors, heads, kept=name.endswith("mxfp4"))
    folder = hf_folder.write(tmp_path / "hf", nested(config), modules, shards=3 if "oss" in name else 1)
    found, keys = quantize(folder, tmp_path / "out.gguf")
    expected = hf_layouts.apart(tensors, heads)
    assert sorted(found) == sorted(expected)
    for tensor, x in expected.items():
        y = values(found[tensor])
        same = np.allclose(y, x, rtol=1e-5) if tensor.startswith("rope_") else (y == x).all()
        assert y.shape == x.shape and same, tensor
    for key, field in reader.fields.items():
        short = key.removeprefix(family.arch + ".")
        value = field.contents()
        if short != key and (key in keys or short not in DERIVED):
            assert keys.get(key) == (pytest.approx(value, rel=1e-3) if isinstance(value, float) else value), key
    assert (logits(folder, TOKENS, quantize="f32") == logits(tmp_path / "out.gguf", TOKENS)).all()
    if "rope_freqs.weight" not in tensors and "rope.scaling.alpha" not in family.keys:
        kept = "f32" if name != "gpt-oss-mxfp4" else None
        run_as = dict(quantize=kept) if kept else {}
        assert (logits(folder, TOKENS, **run_as) == logits(tmp_path / "tiny.gguf", TOKENS)).all()


def refusal(tmp_path, name, **changed):
    family = family_of(name)
    write(family, name, tmp_path / "tiny.gguf")
    tensors = {t.name: values(t) for t in gguf.GGUFReader(tmp_path / "tiny.gguf").tensors}
    config = config_of(name, family, tensors)
    heads = config | {"num_attention_heads": family.heads, "num_key_value_heads": family.kv_heads}
    modules = hf_layouts.unconvert(tensors, heads, kept=name.endswith("mxfp4"))
    folder = hf_folder.write(tmp_path / "hf", config | changed.pop("config", {}), modules | changed.pop("modules", {}))
    result = run("quantize", folder, tmp_path / "no.gguf", "q8_0")
    assert result.returncode == 1
    return result.stderr


def test_refusals(tmp_path):
    assert b"rows of 8 and twice 4 heads" in refusal(tmp_path, "falcon-40b", config={"num_kv_heads": 4})
    assert b"alibi" in refusal(tmp_path, "falcon", config={"alibi": True})
    assert b"shared by 7 experts" in refusal(tmp_path, "dbrx", config={"ffn_config": {
        "ffn_hidden_size": 256, "moe_num_experts": 7, "moe_top_k": 2}})
    scales = {"model.layers.0.mlp.experts.down_proj_scales": np.zeros((8, 256, 4), np.uint8)}
    assert b"no scales that fit" in refusal(tmp_path, "gpt-oss-mxfp4", modules=scales)
