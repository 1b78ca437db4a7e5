"""Folders in Hugging Face's form become the GGUF files that a converter makes of them: keys, names, order of rows."""
import os
import subprocess
from pathlib import Path

import pytest

gguf = pytest.importorskip("gguf", reason="gguf-py knows the names")
np = pytest.importorskip("numpy")

import hf_folder  # noqa: E402
from more_families import families  # noqa: E402
from engine import TINY_MODEL, logits, tiny_model  # noqa: E402

CARAVAN = Path(__file__).resolve().parent.parent.parent / "build/caravan"

GEMMA = {"head_dim": 64}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LONG = {"type": "longrope", "long_factor": None, "short_factor": None}
MOE = {"num_experts_per_tok": 2}
GRANITE = {"attention_multiplier": 0.25, "embedding_multiplier": 12.0, "residual_multiplier": 0.4,
           "logits_scaling": 3.0}
DEEPSEEK = MOE | {
    "kv_lora_rank": 64, "q_lora_rank": 96, "qk_nope_head_dim": 48, "qk_rope_head_dim": 16, "v_head_dim": 32,
    "n_routed_experts": 8, "n_shared_experts": 1, "n_group": 4, "topk_group": 2, "first_k_dense_replace": 1,
    "moe_intermediate_size": 256, "routed_scaling_factor": 2.5, "norm_topk_prob": True, "scoring_func": "sigmoid",
    "rope_theta": 10000.0, "rope_scaling": {"type": "yarn", "factor": 8, "original_max_position_embeddings": 64,
                                            "mscale_all_dim": 1.0}}
SIGMOID = MOE | {"n_routed_experts": 8, "n_shared_experts": 1, "first_k_dense_replace": 1, "moe_intermediate_size": 256,
                 "routed_scaling_factor": 2.5, "norm_topk_prob": True}
# Family of tiny_model.py or more_families.py -> model_type and what config.json says beyond the common keys.
CONFIGS = {
    "llama": ("llama", {"rope_theta": 10000.0}),
    "llama-tied": ("llama", {"rope_theta": 10000.0, "tie_word_embeddings": True}),
    "llama-bias": ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
    "llama-linear": ("llama", {"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 4.0}}),
    "llama-yarn": ("llama", {"rope_parameters": YARN | {"rope_theta": 10000.0}}),
    "llama3-rope": ("llama", {"rope_theta": 5e5, "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}}),
    "mistral": ("mistral", {"rope_theta": 1e6, "head_dim": 64, "sliding_window": None}),
    "mixtral": ("mixtral", MOE | {"rope_theta": 1e6, "num_local_experts": 8}),
    "qwen2": ("qwen2", {"rope_theta": 1e6, "use_sliding_window": False, "sliding_window": 4096}),
    "qwen2moe": ("qwen2_moe", MOE | {"rope_theta": 1e6, "num_experts": 8, "moe_intermediate_size": 256,
                                     "shared_expert_intermediate_size": 512}),
    "qwen3": ("qwen3", {"rope_theta": 1e6, "head_dim": 64}),
    "qwen3moe": ("qwen3_moe", MOE | {"rope_theta": 1e6, "head_dim": 64, "num_experts": 8,
                                     "moe_intermediate_size": 256}),
    "gemma": ("gemma", GEMMA),
    "gemma2": ("gemma2", GEMMA | {"sliding_window": 16, "attn_logit_softcapping": 6.0,
                                  "final_logit_softcapping": 10.0}),
    "gemma3": ("gemma3_text", GEMMA | {"rope_theta": 1e6, "rope_local_base_freq": 10000.0, "sliding_window": 16,
                                       "rope_scaling": {"rope_type": "linear", "factor": 8.0},
                                       "tie_word_embeddings": True}),
    "phi2": ("phi", {"partial_rotary_factor": 12 / 32}),
    "phi3": ("phi3", {"rope_theta": 10000.0, "original_max_position_embeddings": 256, "sliding_window": 2047}),
    "phi3-longrope": ("phi3", {"rope_theta": 10000.0, "original_max_position_embeddings": 32, "rope_scaling": LONG}),
    "phi4": ("phi3", {"rope_theta": 250000.0, "original_max_position_embeddings": 256, "sliding_window": None}),
    "glm4": ("glm4", {"rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
    "olmo2": ("olmo2", {"rope_theta": 5e5}),
    "olmo3": ("olmo3", {"rope_theta": 5e5, "rope_scaling": YARN, "sliding_window": 16, "layer_types": [
        "sliding_attention", "sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]}),
    "granite": ("granite", GRANITE | {"rope_theta": 10000.0}),
    "granitemoe": ("granitemoe", GRANITE | MOE | {"rope_theta": 10000.0, "num_local_experts": 8}),
    "cohere2": ("cohere2", {"rope_theta": 10000.0, "sliding_window": 16, "logit_scale": 0.25}),
    "smollm3": ("smollm3", {"rope_theta": 5e6, "tie_word_embeddings": True}),
    "starcoder2": ("starcoder2", {"rope_theta": 10000.0}),
    "stablelm": ("stablelm", {"use_parallel_residual": False, "partial_rotary_factor": 0.25}),
    "stablelm-12b": ("stablelm", {"use_parallel_residual": True, "partial_rotary_factor": 0.25}),
    "exaone4": ("exaone4", {"rope_theta": 1e6, "tie_word_embeddings": True, "sliding_window": None}),
    "seed-oss": ("seed_oss", {"rope_theta": 1e7, "head_dim": 64}),
    "ernie4_5": ("ernie4_5", {"rope_theta": 5e5, "head_dim": 64, "tie_word_embeddings": True}),
    "deepseek2-unsplit": ("deepseek_v3", DEEPSEEK),
    "command-r": ("cohere", {"rope_theta": 10000.0, "logit_scale": 0.25}),
    "command-r-plus": ("cohere", {"rope_theta": 10000.0, "logit_scale": 0.25}),
    "olmoe": ("olmoe", MOE | {"rope_theta": 10000.0, "num_experts": 8}),
    "arcee": ("arcee", {"rope_parameters": YARN | {"rope_theta": 10000.0}}),
    "nemotron": ("nemotron", {"rope_theta": 10000.0, "partial_rotary_factor": 0.5, "norm_eps": 1e-3}),
    "minicpm": ("minicpm", {"rope_theta": 10000.0, "scale_emb": 12, "scale_depth": 0.4 * 3 ** 0.5,
                            "dim_model_base": 256 / 3}),
    "hunyuan-dense": ("hunyuan_v1_dense", {"head_dim": 64, "rope_theta": 10000.0, "rope_scaling": {
        "type": "dynamic", "alpha": 50.0, "factor": 1.0}}),
    "glm4moe": ("glm4_moe", SIGMOID | {"rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
    "dots1": ("dots1", SIGMOID | {"rope_theta": 10000.0}),
}
# Keys that tiny_model.py writes and a config of this kind does not lead to, or the other way round.
FAMILIES = tiny_model().FAMILIES | families() if TINY_MODEL.exists() else {}
DERIVED = {"rope.dimension_count", "rope.freq_base", "attention.key_length", "attention.value_length",
           "rope.scaling.type", "rope.scaling.alpha"}


def config_of(name, family, tensors):
    kind, more = CONFIGS[name]
    eps = {"layer_norm_eps" if family.layer_norm else "rms_norm_eps": tiny_model().EPSILON}
    config = {"model_type": kind, "num_hidden_layers": family.layers, "hidden_size": family.embd,
              "intermediate_size": family.ff, "num_attention_heads": family.heads, "vocab_size": tiny_model().VOCAB,
              "num_key_value_heads": family.kv_heads, "max_position_embeddings": tiny_model().CONTEXT} | eps | more
    if "rope_factors_long.weight" in tensors:
        config["rope_scaling"] = config["rope_scaling"] | {
            "long_factor": tensors["rope_factors_long.weight"].tolist(),
            "short_factor": tensors["rope_factors_short.weight"].tolist()}
    return config


def quantize(source, out, kind="f32"):
    result = subprocess.run([CARAVAN, "quantize", source, out, kind], capture_output=True, text=True, timeout=60,
                            env=os.environ | {"CARAVAN_HOME": str(out.parent / "home")})
    assert result.returncode == 0, result.stderr
    reader = gguf.GGUFReader(out)
    return {t.name: t for t in reader.tensors}, {k: f.contents() for k, f in reader.fields.items()}


def values(tensor):
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape([int(n) for n in tensor.shape[::-1]])


@pytest.mark.skipif(not TINY_MODEL.exists(), reason=f"no {TINY_MODEL}")
@pytest.mark.parametrize("name", CONFIGS)
def test_every_family(name, tmp_path):
    family = FAMILIES[name]
    tiny_model().write(family, name, tmp_path / "tiny.gguf")
    reader = gguf.GGUFReader(tmp_path / "tiny.gguf")
    expected = {t.name: values(t) for t in reader.tensors}
    architecture = {v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}[family.arch]
    config = config_of(name, family, expected)
    folder = hf_folder.write(tmp_path / "hf", config, hf_folder.unconvert(expected, architecture, config),
                             shards=3 if name in ("llama", "qwen3moe") else 1)
    found, keys = quantize(folder, tmp_path / "out.gguf")
    assert sorted(found) == sorted(expected)
    for tensor, x in expected.items():
        y = values(found[tensor])
        assert y.shape == x.shape, tensor
        added = config["model_type"].startswith("gemma") or config["model_type"] == "nemotron"
        exact = not (added and "norm" in tensor or tensor == "rope_freqs.weight")
        assert (y == x).all() if exact else np.allclose(y, x, rtol=1e-5, atol=1e-6), tensor
    if name in ("qwen2moe", "qwen3moe", "deepseek2-unsplit"):  # read from the folder, in parts, it is the same model
        tokens = range(1, 40)
        assert (logits(folder, tokens, quantize="f32") == logits(tmp_path / "out.gguf", tokens)).all()
    original = {k: f.contents() for k, f in reader.fields.items() if k.startswith(family.arch + ".")}
    assert keys["general.architecture"] == family.arch
    for key, value in original.items():
        short = key.split(".", 1)[1]
        if short == "rope.scaling.attn_factor":  # sqrt(1 + ln(context / original) / ln(original))
            value = np.sqrt(1 + np.log(256 / 32) / np.log(32))
        if short == "rope.freq_base" and "hunyuan-dense.rope.scaling.alpha" in original:  # in the base of other files
            value *= 50 ** (64 / 62)
        if key in keys or short not in DERIVED:
            assert keys.get(key) == (pytest.approx(value, rel=1e-3) if isinstance(value, float) else value), key


@pytest.fixture(scope="module")
def llama():
    config, tensors = hf_folder.small_llama(np.random.default_rng(1))
    return config, tensors, hf_folder.unconvert(tensors, gguf.MODEL_ARCH.LLAMA, config)


def test_types_and_shards(llama, tmp_path):
    """BF16 and F16 weights in one or many shards give the same; a recipe applies."""
    config, tensors, modules = llama
    folder = hf_folder.write(tmp_path / "bf16", config, modules, shards=4, as_bf16=True)
    found, _ = quantize(folder, tmp_path / "f32.gguf")
    cut = {n: (x.view(np.uint32) & 0xffff0000).view(np.float32) for n, x in tensors.items()}
    assert all((values(found[n]) == x).all() for n, x in cut.items())
    one = hf_folder.write(tmp_path / "one", config, modules, as_bf16=True)
    for kind in ("bf16", "q8_0", "q4_k_m"):
        quantize(folder, tmp_path / "many.gguf", kind)
        quantize(one, tmp_path / "one.gguf", kind)
        quantize(tmp_path / "f32.gguf", tmp_path / "again.gguf", kind)
        assert (tmp_path / "many.gguf").read_bytes() == (tmp_path / "one.gguf").read_bytes()
        again = gguf.GGUFReader(tmp_path / "again.gguf").tensors
        made = {t.name: t.data.tobytes() for t in gguf.GGUFReader(tmp_path / "one.gguf").tensors}
        assert {t.name: t.data.tobytes() for t in again} == made


def refusal(folder, tmp_path):
    result = subprocess.run([CARAVAN, "quantize", folder, tmp_path / "no.gguf", "q8_0"], capture_output=True, text=True,
                            timeout=60, env=os.environ | {"CARAVAN_HOME": str(tmp_path / "home")})
    assert result.returncode == 1 and not (tmp_path / "no.gguf").exists()
    return result.stderr


def test_refusals(llama, tmp_path):
    config, _, modules = llama
    (tmp_path / "empty").mkdir()
    assert "config.json" in refusal(tmp_path / "empty", tmp_path)
    write = lambda name, c=config, m=modules, **files: hf_folder.write(tmp_path / name, c, m, **files)  # noqa: E731
    assert "hyena" in refusal(write("type", config | {"model_type": "hyena"}), tmp_path)
    assert "num_hidden_layers" in refusal(write("layers", config | {"num_hidden_layers": -1}), tmp_path)
    assert "dynamic" in refusal(write("rope", config | {"rope_scaling": {"type": "dynamic", "factor": 2}}), tmp_path)
    strange = {"model.layers.0.strange.weight": np.zeros((4, 4), np.float32)}
    assert "strange" in refusal(write("tensor", m=modules | strange), tmp_path)
    whole = write("cut")
    file = whole / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "model.safetensors" in refusal(whole, tmp_path)
    outside = write("outside", shards=2)
    index = outside / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00001", "../model-00001"))
    assert "file's name" in refusal(outside, tmp_path)
    broken = write("broken")
    (broken / "config.json").write_text("{")
    assert "config.json: line 1" in refusal(broken, tmp_path)
