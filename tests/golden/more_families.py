"""Tiny models of families beyond those of the fixtures: what their blocks are made of, and the keys of their files.

With llama.cpp 0.3.36 at hand `more_families.py DUMP [FAMILY...]` writes more_families.json anew, or what it says of
these families: DUMP is a program that prints the logits of `DUMP MODEL 1,2,3` as float32, computed in one batch with a
float32 cache."""
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np

from engine import tiny_model

EXPECTED = Path(__file__).with_suffix(".json")
SEED = 1
TOKENS = [int(token) for token in np.random.default_rng([SEED, 99]).integers(0, 512, 48)]
# Of families whose layers change their ways after many tokens: so many, of which the last ones count.
FAR = {"llama4-far": 8200}
# What the writer gives to every model, and some families do not have.
LACKING = {"olmo": {"output_norm.weight"}, "lfm2": {"output_norm.weight"}, "lfm2moe": {"output_norm.weight"}}
POSITIONS, VOCAB = list(range(0, 48, 6)) + [47], list(range(3, 512, 64))


def fused_attention_with_norms(f, layer):
    q, kv = f.heads * f.head_dim, f.kv_heads * f.head_dim
    return {"attn_qkv.weight": (q + 2 * kv, f.embd), "attn_output.weight": (f.embd, q),
            "attn_q_norm.weight": (f.head_dim,), "attn_k_norm.weight": (f.head_dim,)}


def biased_fused_attention(f, layer):
    return tiny_model().fused_attention(f, layer) | {"attn_qkv.bias": ((f.heads + 2 * f.kv_heads) * f.head_dim,)}


def many_experts(count):
    def part(f, layer):
        made = tiny_model().experts(256, shared=256)(f, layer)
        return {name: (count, *shape[1:]) if "shexp" not in name else shape for name, shape in made.items()}
    return part


def gated_heads(f, layer):
    return {"attn_gate.weight": (f.heads * f.head_dim, f.embd)}


def gemma4_attention(f, layer):
    """Layers with a window have more and smaller heads; in the others keys are values too."""
    local = (layer + 1) % 3 != 0
    dim, kv = (32, 4) if local else (64, 2)
    shapes = {"attn_q.weight": (f.heads * dim, f.embd), "attn_k.weight": (kv * dim, f.embd),
              "attn_output.weight": (f.embd, f.heads * dim), "attn_q_norm.weight": (dim,), "attn_k_norm.weight": (dim,)}
    return shapes | ({"attn_v.weight": (kv * dim, f.embd)} if local else {})


def gemma4_experts(f, layer):
    return {"ffn_gate_inp.weight": (8, f.embd), "ffn_gate_up_exps.weight": (8, 512, f.embd),
            "ffn_down_exps.weight": (8, f.embd, 256), "pre_ffw_norm_2.weight": (f.embd,),
            "post_ffw_norm_1.weight": (f.embd,), "post_ffw_norm_2.weight": (f.embd,)}


def mimo2_attention(f, layer):
    local = layer != 1
    kv = 4 if local else 2
    shapes = {"attn_q.weight": (f.heads * 48, f.embd), "attn_k.weight": (kv * 48, f.embd),
              "attn_v.weight": (kv * 32, f.embd), "attn_output.weight": (f.embd, f.heads * 32)}
    return shapes | ({"attn_sinks.weight": (f.heads,)} if local else {})


def fused_shared(f, layer):
    return {"ffn_up_shexp.weight": (2 * 384, f.embd), "ffn_down_shexp.weight": (f.embd, 384)}


def varying_layer(f, layer):
    """One without heads, one with a narrower FFN, one with nothing."""
    out = tiny_model().attention()(f, layer) | {"attn_norm.weight": (f.embd,)} if layer not in (1, 3) else {}
    ff = (512, 512, 256, 0, 512)[layer]
    return out | ({"ffn_norm.weight": (f.embd,), "ffn_gate.weight": (ff, f.embd), "ffn_up.weight": (ff, f.embd),
                   "ffn_down.weight": (f.embd, ff)} if ff else {})


def convolution(f, layer):
    return {"shortconv.in_proj.weight": (3 * f.embd, f.embd), "shortconv.conv.weight": (f.embd, 3),
            "shortconv.out_proj.weight": (f.embd, f.embd)}


def biased_gates(f, layer):
    return {"ffn_gate.bias": (f.ff,), "ffn_up.bias": (f.ff,), "ffn_down.bias": (f.embd,)}


STATES = {"ssm.conv_kernel": 4, "ssm.inner_size": 512, "ssm.state_size": 32, "ssm.time_step_rank": 8,
          "ssm.group_count": 2, "rope.scaling.finetuned": False, "attention.head_count_kv": [0, 0, 2, 0]}


def recurrence(f, layer):
    return {"ssm_in.weight": (512 + 640 + 8, f.embd), "ssm_conv1d.weight": (640, 4), "ssm_conv1d.bias": (640,),
            "ssm_dt.bias": (8,), "ssm_norm.weight": (2, 256), "ssm_out.weight": (f.embd, 512)}


def decays(rng):
    return -np.exp(rng.standard_normal((8, 1)))


def skips(rng):
    return 1 + 0.1 * rng.standard_normal((8, 1))


def output_bias(f, layer):
    return {"attn_output.bias": (f.embd,)}


def positions(rng):
    return 0.1 * rng.standard_normal((256, 256))


def halved_ffn(f, layer):
    return {"ffn_gate.weight": (f.ff // 2, f.embd), "ffn_up.weight": (f.ff // 2, f.embd),
            "ffn_down.weight": (f.embd, f.ff // 2)}


def ungated_ffn(f, layer):
    return {"ffn_up.weight": (f.ff, f.embd), "ffn_down.weight": (f.embd, f.ff)}


def families():
    t = tiny_model()
    mixture = t.MOE | {"expert_feed_forward_length": 256}
    shared = mixture | {"leading_dense_block_count": 1, "expert_shared_count": 1}
    sigmoid = {"expert_gating_func": 2, "expert_weights_norm": True, "expert_weights_scale": 2.5}
    chosen = t.leading(1, t.gated_ffn, t.experts(256, shared=256, select_bias=True))
    unshared = t.leading(1, t.gated_ffn, t.experts(256, select_bias=True))
    cohere = dict(tied=True, norms=("attn_norm",), layer_norm=True, gain={"output_norm": 20.0},
                  keys={"logit_scale": 0.25})
    qwen3 = dict(head_dim=64, rope_dims=None, rope_base=1e6)
    chosen_plain = t.leading(1, t.gated_ffn, t.experts(256, shared=256))
    def llama4(layers, count, **more):
        keys = {"expert_count": count, "expert_used_count": 1, "expert_feed_forward_length": 256,
                "interleave_moe_layer_step": 1} | more
        parts = [t.attention(), many_experts(count)]
        return t.Family("llama4", parts, layers=layers, head_dim=64, rope_base=5e5, keys=keys, constants={
            "rope_freqs.weight": lambda rng: t.llama3_factors(rng, dims=64)})
    def lfm2(name, ffn, **keys):
        def mixed(f, layer):
            return (t.attention(qk_norm="head") if layer in (2, 4) else convolution)(f, layer)
        return t.Family(name, [mixed, ffn], layers=5, tied=True, rope_base=1e6, constants={
            "token_embd_norm.weight": lambda rng: 5 * (1 + positions(rng)[0])}, keys=keys | {
                "attention.head_count_kv": [0, 0, 2, 0, 2], "shortconv.l_cache": 3})
    def granitehybrid(ffn, **more):
        def mixed(f, layer):
            return (t.attention() if layer == 2 else recurrence)(f, layer)
        constants = {f"blk.{i}.ssm_{name}": make for i in (0, 1, 3) for name, make in (("a", decays), ("d", skips))}
        return t.Family("granitehybrid", [mixed, ffn], layers=4, ff=256, rope_dims=None, embd_scale=1 / 32,
                        gain={"output": 7.5}, constants=constants, keys=STATES | more | {
                            "attention.scale": 0.25, "embedding_scale": 12.0, "residual_scale": 0.4,
                            "logit_scale": 3.0})
    biased_norms = dict(layer_norm=True, norm_bias=True)
    def gemma4(*more, keys=None, constants=None):
        windows = [(i + 1) % 3 != 0 for i in range(4)]
        scales = {f"blk.{i}.layer_output_scale.weight": lambda rng: [0.7 + 0.1 * rng.random()] for i in range(4)}
        return t.Family("gemma4", [gemma4_attention, t.gated_ffn, *more], layers=4, head_dim=64, rope_base=1e6,
                        tied=True, norms=t.SANDWICH, embd_scale=1 / 128, gain=t.GEMMA_SCALES["gain"] | {
                            "attn_q_norm": 0.3, "attn_k_norm": 0.5}, constants=scales | (constants or {}) | {
                            "rope_freqs.weight": lambda rng: [1.0] * 8 + [1e30] * 24}, keys=(keys or {}) | {
                            "attention.head_count_kv": [4 if w else 2 for w in windows],
                            "attention.sliding_window": t.WINDOW, "attention.sliding_window_pattern": windows,
                            "attention.key_length_swa": 32, "attention.value_length_swa": 32,
                            "rope.dimension_count_swa": 32, "rope.freq_base_swa": 10000.0,
                            "attention.shared_kv_layers": 0, "embedding_length_per_layer_input": 0,
                            "final_logit_softcapping": 10.0})
    granite_swa = dict(layers=5, embd_scale=1 / 32, gain={"output": 7.5}, keys={
        "attention.scale": 0.25, "embedding_scale": 12.0, "residual_scale": 0.4, "logit_scale": 3.0,
        "attention.sliding_window": t.WINDOW, "attention.sliding_window_pattern": [False, True, True, True, False],
        "attention.rope_pattern": [True, True, False, True, False]})
    scales_of_experts = {f"blk.{i}.ffn_gate_inp.scale": lambda rng: 16 * (1 + 0.1 * rng.standard_normal(256))
                         for i in range(4)}
    scales_of_experts |= {f"blk.{i}.ffn_down_exps.scale": lambda rng: 1 + 0.3 * rng.random(8) for i in range(4)}
    three_axes = {"rope.dimension_sections": [12, 10, 10, 0]}
    return {
        "command-r": t.Family("command-r", [t.attention(), t.gated_ffn], **cohere),
        "command-r-plus": t.Family("command-r", [t.attention(qk_norm="heads"), t.gated_ffn], layers=64, **cohere),
        "olmoe": t.Family("olmoe", [t.attention(qk_norm="all"), t.experts(256)], ff=256, kv_heads=8, rope_dims=None,
                          keys=t.MOE),
        "deepseek": t.Family("deepseek", [t.attention(), t.leading(1, t.gated_ffn, t.experts(256, shared=512))],
                             keys=shared | {"expert_shared_count": 2, "expert_weights_scale": 1.0}),
        "dots1": t.Family("dots1", [t.attention(qk_norm="head"), chosen], kv_heads=8, keys=shared | sigmoid),
        "exaone": t.Family("exaone", [t.attention(), t.gated_ffn], rope_base=5e5,
                           constants={"rope_freqs.weight": t.llama3_factors}),
        "glm4moe": t.Family("glm4moe", [t.attention("qkv", qk_norm="head"), chosen], rope_dims=16,
                            norms=("attn_norm", "post_attention_norm"), keys=shared | sigmoid),
        "minimax-m2": t.Family("minimax-m2", [t.attention(qk_norm="all"), t.experts(256, select_bias=True)], ff=256,
                               rope_dims=16, head_dim=64, rope_base=5e6, keys=mixture | {"expert_gating_func": 2}),
        "bailingmoe2": t.Family("bailingmoe2", [fused_attention_with_norms, chosen], rope_dims=16,
                                keys=shared | sigmoid | {"expert_shared_feed_forward_length": 256,
                                                         "expert_group_count": 4, "expert_group_used_count": 2}),
        "qwen3vl": t.Family("qwen3vl", [t.attention(qk_norm="head"), t.gated_ffn], keys=three_axes, **qwen3),
        "qwen3vlmoe": t.Family("qwen3vlmoe", [t.attention(qk_norm="head"), t.experts(256)], keys=mixture | three_axes,
                               **qwen3),
        "paddleocr": t.Family("paddleocr", [t.attention(), t.gated_ffn], rope_base=5e5, tied=True, keys={
            "rope.dimension_sections": [4, 6, 6, 0]}),
        "hunyuan_vl": t.Family("hunyuan_vl", [t.attention(qk_norm="head"), t.gated_ffn], head_dim=64,
                               keys={"rope.scaling.alpha": 50.0, "rope.dimension_sections": [16, 16, 0, 0]}),
        "minicpm": t.Family("minicpm", [t.attention(), t.gated_ffn], embd_scale=1 / 32, gain={"output": 7.5},
                            keys={"embedding_scale": 12.0, "residual_scale": 0.4, "logit_scale": 3.0}),
        "baichuan": t.Family("baichuan", [t.attention(), t.gated_ffn], kv_heads=8, layers=32, ff=256,
                             gain={"attn_output": 0.5, "ffn_down": 0.5}),
        "baichuan-13b": t.Family("baichuan", [t.attention(), t.gated_ffn], kv_heads=8, layers=40, ff=256,
                                 gain={"attn_output": 0.5, "ffn_down": 0.5}),
        "mpt": t.Family("mpt", [t.fused_attention, ungated_ffn], embd=320, heads=10, kv_heads=10, layer_norm=True,
                        tied=True, rope_dims=None, rope_base=None, keys={"attention.max_alibi_bias": 8.0}),
        "refact": t.Family("refact", [t.attention(), t.gated_ffn], kv_heads=1, rope_dims=None, rope_base=None),
        "bloom": t.Family("bloom", [biased_fused_attention, output_bias, t.plain_ffn], kv_heads=8, tied=True,
                          rope_dims=None, rope_base=None, constants={
                              "token_embd_norm.weight": lambda rng: 1 + positions(rng)[0],
                              "token_embd_norm.bias": lambda rng: positions(rng)[1]}, **biased_norms),
        "olmo": t.Family("olmo", [t.attention(), t.gated_ffn], norms=(), layer_norm=True,
                         keys={"attention.clamp_kqv": 2.0}),
        "dbrx": t.Family("dbrx", [t.fused_attention, t.experts(256)], ff=256, norms=("attn_norm", "attn_output_norm"),
                         layer_norm=True, rope_dims=None, rope_base=5e5, keys=t.MOE | {"attention.clamp_kqv": 2.0}),
        "granitemoe-shared": t.Family("granitemoe", [t.attention(), t.experts(256, shared=384)], rope_dims=None, ff=256,
                                      embd_scale=1 / 32, gain={"output": 7.5}, keys=t.MOE | {
                                          "expert_shared_feed_forward_length": 384, "attention.scale": 0.25,
                                          "embedding_scale": 12.0, "residual_scale": 0.4, "logit_scale": 3.0}),
        "xverse": t.Family("xverse", [t.attention(), t.gated_ffn], kv_heads=8),
        "orion": t.Family("orion", [t.attention(), t.gated_ffn], layer_norm=True, norm_bias=True),
        "qwen": t.Family("qwen", [biased_fused_attention, halved_ffn], kv_heads=8),
        "chatglm": t.Family("chatglm", [biased_fused_attention, t.fused_gated_ffn], rope_dims=16),
        "plamo": t.Family("plamo", [t.attention(), t.gated_ffn], norms=("attn_norm",)),
        "codeshell": t.Family("codeshell", [t.attention("qkvo"), t.plain_ffn], layer_norm=True, norm_bias=True),
        "bailingmoe": t.Family("bailingmoe", [t.attention(), t.experts(256, shared=512)],
                               keys=mixture | {"expert_shared_count": 2, "expert_weights_norm": True}),
        "exaone-moe": t.Family("exaone-moe", [t.attention(qk_norm="head"), chosen], layers=5,
                               keys=shared | sigmoid | {"attention.sliding_window": t.WINDOW}),
        "mellum": t.Family("mellum", [t.attention(qk_norm="head"), t.experts(256)], layers=5, head_dim=64,
                           keys=mixture | t.yarn(4, 64) | {"attention.sliding_window": t.WINDOW}),
        "pangu-embedded": t.Family("pangu-embedded", [t.attention("qkvo"), t.gated_ffn], rope_base=1.6e7),
        "phimoe": t.Family("phimoe", [t.attention("qkvo"), t.experts(256)], ff=256, norm_bias=True, output_bias=True,
                           keys=t.MOE | t.long_rope(32, 32)["keys"], constants=t.long_rope(32, 32)["constants"]),
        "hunyuan-dense": t.Family("hunyuan-dense", [t.attention(qk_norm="head"), t.gated_ffn], head_dim=64,
                                  keys={"rope.scaling.alpha": 50.0}),
        "hunyuan-moe": t.Family("hunyuan-moe", [t.attention(qk_norm="head"), t.experts(256, shared=256)], ff=256,
                                keys=mixture | {"expert_shared_feed_forward_length": 256}),
        "maincoder": t.Family("maincoder", [t.attention(qk_norm="head"), t.gated_ffn]),
        "arcee": t.Family("arcee", [t.attention(), ungated_ffn], keys=t.yarn(4, 64)),
        "apertus": t.Family("apertus", [t.attention("o", qk_norm="head"), ungated_ffn], layers=3, rope_base=5e5,
                            constants={"rope_freqs.weight": t.llama3_factors}, gain={"ffn_up": 2.0}, keys={
                                "xielu.alpha_p": [0.3, -0.8, 2.0], "xielu.alpha_n": [0.5, -0.2, 1.0],
                                "xielu.beta": [0.5, 0.25, 0.75], "xielu.eps": [-1e-6, -0.5, -1e-6]}),
        "nemotron": t.Family("nemotron", [t.attention(), ungated_ffn], rope_dims=16, layer_norm=True, norm_bias=True),
        "jais2": t.Family("jais2", [t.attention("qkvo"), t.plain_ffn], layer_norm=True, norm_bias=True),
        "gpt2": t.Family("gpt2", [biased_fused_attention, output_bias, t.plain_ffn], tied=True, kv_heads=8, constants={
            "position_embd.weight": positions}, rope_dims=None, rope_base=None, **biased_norms),
        "cohere2moe": t.Family("cohere2moe", [t.attention(), t.leading(1, t.gated_ffn, t.experts(256, shared=256))],
                               layers=5, **cohere | {"keys": mixture | {
                                   "logit_scale": 0.25, "leading_dense_block_count": 1, "expert_shared_count": 1,
                                   "expert_weights_norm": True, "attention.sliding_window": t.WINDOW,
                                   "expert_shared_feed_forward_length": 256}}),
        "jais": t.Family("jais", [biased_fused_attention, output_bias, t.gated_ffn, biased_gates], kv_heads=8,
                         rope_dims=None, rope_base=None, keys={"attention.max_alibi_bias": 8.0},
                         gain={"attn_qkv": 3.0}, **biased_norms),
        "starcoder": t.Family("starcoder", [biased_fused_attention, output_bias, t.plain_ffn], kv_heads=1, constants={
            "position_embd.weight": positions}, rope_dims=None, rope_base=None, **biased_norms),
        "gptneox": t.Family("gptneox", [biased_fused_attention, output_bias, t.plain_ffn], kv_heads=8, rope_dims=8,
                            keys={"use_parallel_residual": True}, **biased_norms),
        "gptneox-in-turn": t.Family("gptneox", [biased_fused_attention, output_bias, t.plain_ffn], kv_heads=8,
                                    rope_dims=8, keys={"use_parallel_residual": False}, **biased_norms),
        "falcon": t.Family("falcon", [t.fused_attention, ungated_ffn], kv_heads=1, tied=True, norms=("attn_norm",),
                           layer_norm=True, norm_bias=True, rope_dims=None),
        "falcon-40b": t.Family("falcon", [t.fused_attention, ungated_ffn], norms=("attn_norm", "attn_norm_2"),
                               layer_norm=True, norm_bias=True, rope_dims=None),
        "minicpm3": t.Family("minicpm3", [t.latent_attention(48, 16, 32, kv_rank=64, q_rank=96, split=False),
                                          t.gated_ffn], embd=512, heads=16, kv_heads=16, rope_dims=16,
                             embd_scale=1 / 24, gain={"output": 5.0}, constants=t.long_rope(16, 32)["constants"], keys={
                                 "attention.kv_lora_rank": 64, "attention.q_lora_rank": 96,
                                 "attention.key_length": 64}),
        "plm": t.Family("plm", [t.latent_attention(48, 16, 32, kv_rank=64, split=False), ungated_ffn], kv_heads=8,
                        tied=True, rope_dims=16, keys={"attention.kv_lora_rank": 64, "attention.key_length": 64,
                                                       "attention.value_length": 32}),
        "mistral4": t.Family("mistral4", [t.latent_attention(48, 16, 32, kv_rank=64, q_rank=96), t.leading(
            1, t.gated_ffn, t.experts(256, shared=256))], kv_heads=1, rope_dims=16, keys=t.DEEPSEEK | t.LATENT | {
                "expert_shared_count": 1, "expert_weights_norm": True, "expert_weights_scale": 1.0,
                "attention.q_lora_rank": 96, "rope.scaling.yarn_log_multiplier": 0.1,
                "attention.temperature_scale": 0.5, "attention.temperature_length": 16}),
        "mimo2": t.Family("mimo2", [mimo2_attention, t.leading(1, t.gated_ffn, t.experts(256, select_bias=True))],
                          head_dim=48, rope_dims=16, rope_base=5e6, keys=mixture | {
                              "attention.head_count_kv": [4, 2, 4], "attention.value_length": 32,
                              "attention.sliding_window": t.WINDOW, "rope.freq_base_swa": 10000.0,
                              "attention.sliding_window_pattern": [True, False, True],
                              "attention.value_scale": 0.7, "leading_dense_block_count": 1}),
        "granite-swa": t.Family("granite_swa", [t.attention(), t.sinks, t.gated_ffn], **granite_swa),
        "granite-swa-moe": t.Family("granite_swa", [t.attention(), t.sinks, t.experts(256), fused_shared], ff=256,
                                    **granite_swa | {"keys": granite_swa["keys"] | t.MOE | {
                                        "expert_shared_feed_forward_length": 384}}),
        "deci": t.Family("deci", [varying_layer], layers=5, norms=(), keys={
            "attention.head_count": [8, 0, 8, 0, 8], "attention.head_count_kv": [2, 0, 2, 0, 2],
            "feed_forward_length": [512, 512, 256, 0, 512]}),
        "gemma4": gemma4(),
        "gemma4-moe": gemma4(gemma4_experts, keys=mixture, constants=scales_of_experts),
        "lfm2": lfm2("lfm2", t.gated_ffn),
        "lfm2moe": lfm2("lfm2moe", unshared, **mixture | {"leading_dense_block_count": 1, "expert_gating_func": 2}),
        "granitehybrid": granitehybrid(t.gated_ffn),
        "granitehybrid-moe": granitehybrid(t.experts(256, shared=384), **t.MOE | {
            "expert_shared_feed_forward_length": 384}),
        "granitehybrid-turned": granitehybrid(t.gated_ffn, **{"rope.scaling.finetuned": True}),
        "afmoe": t.Family("afmoe", [t.attention(qk_norm="head"), gated_heads, chosen], layers=5, head_dim=64,
                          norms=t.SANDWICH, **t.GEMMA_SCALES, keys=shared | {
                              "expert_weights_norm": True, "expert_weights_scale": 2.5,
                              "attention.sliding_window": t.WINDOW}),
        "llama4": llama4(4, 16),
        "llama4-far": llama4(4, 4, context_length=16384),
        "llama4-maverick": llama4(4, 128),
        "hy_v3": t.Family("hy_v3", [t.attention(qk_norm="head"), chosen_plain], head_dim=64,
                          keys=shared | {"expert_weights_norm": True, "expert_weights_scale": 2.5}),
    }


def tokens_of(name):
    return [int(token) for token in np.resize(TOKENS, FAR.get(name, len(TOKENS)))]


def write(family, name, path):
    """The CRC-32 of the weights."""
    t = tiny_model()
    lacking, every, add = LACKING.get(family.arch, ()), t.tensors, t.add_key

    def tensors(f):
        return {tensor: shape for tensor, shape in every(f).items() if tensor not in lacking}

    def add_key(writer, key, value):
        add(writer, key.replace(f"{family.arch}.xielu.", "xielu."), value)
    with patch.multiple(t, tensors=tensors, add_key=add_key):
        return f"{t.write(family, name, path, SEED):08x}"


def expectation(logits):
    logits = logits[-len(TOKENS):]
    return {"argmax": logits.argmax(1).tolist(),
            "logits": [[float(f"{x:.6g}") for x in row] for row in logits[np.ix_(POSITIONS, VOCAB)]]}


def main():
    wanted = sys.argv[2:] or list(families())
    found = json.loads(EXPECTED.read_text()) if sys.argv[2:] else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            family = families()[name]
            path = Path(folder) / "tiny.gguf"
            crc = write(family, name, path)
            tokens = tokens_of(name)
            command = [sys.argv[1], path, ",".join(map(str, tokens))]
            logits = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, "<f4")
            found[name] = {"weights_crc32": crc} | expectation(logits.reshape(len(tokens), -1))
    EXPECTED.write_text("{\n" + ",\n".join(f"{json.dumps(n)}: {json.dumps(v)}" for n, v in found.items()) + "\n}\n")


if __name__ == "__main__":
    main()
