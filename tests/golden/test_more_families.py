"""Logits of tiny models of families beyond those of the fixtures, as llama.cpp computes them, and one arithmetic."""
import json
from dataclasses import replace

import numpy as np
import pytest

from engine import TINY_MODEL, isa_levels, logits, nmse, run, tiny_model
from more_families import EXPECTED, FAR, POSITIONS, TOKENS, VOCAB, families, tokens_of
from more_families import write as write_tiny

pytestmark = pytest.mark.skipif(not TINY_MODEL.exists(), reason=f"no writer of tiny models at {TINY_MODEL}")

GOLDEN = json.loads(EXPECTED.read_text())
# llama.cpp looks GELU up in a table of half precision.
GELU_BY_TABLE = {"codeshell", "gpt2", "starcoder", "gptneox", "gptneox-in-turn", "falcon", "falcon-40b", "mpt",
                 "bloom", "gemma4", "gemma4-moe"}


def write(name, folder, family=None):
    path = folder / f"{name}.gguf"
    return path, write_tiny(family or families()[name], name, path)


@pytest.mark.parametrize("name", FAR)
def test_as_llama_cpp_after_many_tokens(name, tmp_path):
    path, crc = write(name, tmp_path)
    assert crc == GOLDEN[name]["weights_crc32"]
    found = logits(path, tokens_of(name), kv="f32")[-len(TOKENS):]
    assert nmse(found[np.ix_(POSITIONS, VOCAB)], GOLDEN[name]["logits"]) <= 1e-9
    assert found.argmax(1).tolist() == GOLDEN[name]["argmax"]


@pytest.mark.parametrize("name", [name for name in GOLDEN if name not in FAR])
def test_as_llama_cpp(name, tmp_path):
    golden = GOLDEN[name]
    path, crc = write(name, tmp_path)
    assert crc == golden["weights_crc32"], "the writer does not give the weights of the expected values"
    found = logits(path, TOKENS, kv="f32")
    assert nmse(found[np.ix_(POSITIONS, VOCAB)], golden["logits"]) <= (1e-6 if name in GELU_BY_TABLE else 1e-9)
    assert found.argmax(1).tolist() == golden["argmax"]
    truth = logits(path, TOKENS, isa_levels()[-1])
    for isa in isa_levels():
        assert logits(path, TOKENS, isa, chunk=5, threads=2).tobytes() == truth.tobytes(), isa


def test_qwen2vl_reads_text_as_qwen2(tmp_path):
    t = tiny_model()
    parts, keys = [t.attention("qkv"), t.gated_ffn], {"rope.dimension_sections": [8, 4, 4, 0]}
    common = dict(rope_dims=None, rope_base=1e6)
    plain, _ = write("plain", tmp_path, t.Family("qwen2", parts, **common))
    axes, _ = write("axes", tmp_path, t.Family("qwen2vl", parts, keys=keys, **common))
    assert logits(axes, TOKENS).tobytes() == logits(plain, TOKENS).tobytes()


def test_first_files_of_minicpm_leave_scales_out(tmp_path):
    t = tiny_model()
    small = dict(parts=[t.attention(), t.gated_ffn], embd=512, heads=16, embd_scale=1 / 32, gain={"output": 7.5})
    scales = {"embedding_scale": 12.0, "residual_scale": 1.4 / 3 ** 0.5, "logit_scale": 2.0}
    said, _ = write("said", tmp_path, t.Family("minicpm", keys=scales, **small))
    unsaid, _ = write("unsaid", tmp_path, t.Family("minicpm", **small))
    assert logits(unsaid, TOKENS).tobytes() == logits(said, TOKENS).tobytes()


def test_bias_of_the_choice_may_have_no_suffix(tmp_path):
    t = tiny_model()

    def moved(name):
        ffn = t.leading(1, t.gated_ffn, t.experts(256, shared=256))
        return t.Family("hy_v3", [t.attention(qk_norm="head"), ffn], layers=2, keys=t.MOE | {
            "expert_feed_forward_length": 256}, constants={
            "blk.1." + name: lambda rng: np.linspace(-0.5, 0.5, t.EXPERTS)})
    with_suffix, _ = write("with", tmp_path, moved("exp_probs_b.bias"))
    without, _ = write("without", tmp_path, moved("exp_probs_b"))
    assert logits(without, TOKENS).tobytes() == logits(with_suffix, TOKENS).tobytes()


def assert_refused(name, keys, tmp_path, reason):
    """The family's model with other keys, for that reason."""
    family = families()[name]
    path, _ = write("odd", tmp_path, replace(family, keys=family.keys | keys))
    result = run("debug", "logits", path, "--tokens=1")
    assert result.returncode == 1 and reason in result.stderr


@pytest.mark.parametrize("keys, reason", [
    ({"attention.head_count_kv": [0, 0, 2, 0, 4]}, b"KV heads of block 4"),
    ({"attention.head_count_kv": [0] * 5}, b"without KV heads"),
    ({"attention.head_count_kv": [0, 0, 2]}, b"KV heads of block 3"),
    ({"attention.sliding_window": 16}, b"beside a window of 16"),
    ({"shortconv.l_cache": 0}, b"shortconv.l_cache")])
def test_convolutions_that_are_not_known(tmp_path, keys, reason):
    assert_refused("lfm2", keys, tmp_path, reason)


def test_each_layer_has_its_curve(tmp_path):
    family = families()["apertus"]
    path, _ = write("short", tmp_path, replace(family, keys=family.keys | {"xielu.beta": [0.5, 0.5]}))
    result = run("debug", "logits", path, "--tokens=1")
    assert result.returncode == 1 and b"key xielu.beta does not give block 2 a number" in result.stderr
    path, _ = write("one", tmp_path, replace(family, keys=family.keys | {"xielu.beta": 0.5}))
    each, _ = write("each", tmp_path, replace(family, keys=family.keys | {"xielu.beta": [0.5] * 3}))
    assert logits(path, TOKENS).tobytes() == logits(each, TOKENS).tobytes()


def test_a_gate_where_none_is_known_is_refused(tmp_path):
    t = tiny_model()
    path, _ = write("gated", tmp_path, t.Family("arcee", [t.attention(), t.gated_ffn]))
    result = run("debug", "logits", path, "--tokens=1")
    assert result.returncode == 1 and b"a gate in block 0 of a arcee model is not supported" in result.stderr


def beyond(layers_beyond):
    """A model of four layers, some of which only predict further tokens and have more tensors."""
    t = tiny_model()

    def more(f, layer):
        return {"nextn.eh_proj.weight": (f.embd, 2 * f.embd)} if layer >= 4 - layers_beyond else {}
    return t.Family("glm4moe", [t.attention("qkv"), t.gated_ffn, more], layers=4, rope_dims=16,
                    norms=("attn_norm", "post_attention_norm"), keys={"nextn_predict_layers": layers_beyond})


def test_layers_that_predict_further_tokens_are_left_out(tmp_path):
    t = tiny_model()
    three = t.Family("glm4moe", [t.attention("qkv"), t.gated_ffn], rope_dims=16,
                     norms=("attn_norm", "post_attention_norm"))
    plain, _ = write("plain", tmp_path, three)
    longer, _ = write("longer", tmp_path, beyond(1))
    assert logits(longer, TOKENS).tobytes() == logits(plain, TOKENS).tobytes()


def test_at_least_one_layer_is_run(tmp_path):
    path, _ = write("none", tmp_path, beyond(4))
    result = run("debug", "logits", path, "--tokens=1")
    assert result.returncode == 1 and b"nextn_predict_layers is 4, of 4 layers" in result.stderr


@pytest.mark.parametrize("keys, reason", [
    ({"attention.shared_kv_layers": 2}, b"2 layers without keys of their own"),
    ({"embedding_length_per_layer_input": 32}, b"32 channels of embeddings for each layer"),
    ({"attention.head_count_kv": [4, 4, 2, 2]}, b"KV heads of block 3: 2, of others of its kind 4"),
    ({"attention.head_count_kv": [4, 4, 3, 4]}, b"KV heads of block 2 are not known, or do not divide 8"),
    ({"attention.sliding_window_pattern": [True] * 4}, b"KV heads of block 2"),
    ({"attention.key_length_swa": 36}, b"multiples of 8")])
def test_heads_of_windows_that_are_not_known(tmp_path, keys, reason):
    assert_refused("gemma4", keys, tmp_path, reason)


@pytest.mark.parametrize("keys, reason", [
    ({"attention.head_count": [8, 0, 4, 0, 8]}, b"block 2 has 4 heads and 2 KV heads, others 8"),
    ({"attention.head_count_kv": [2, 0, 0, 0, 2]}, b"block 2 has 8 heads and 0 KV heads"),
    ({"attention.head_count": [8, 0]}, b"attention.head_count does not tell of block 2"),
    ({"feed_forward_length": [0] * 5}, b"feed_forward_length: none in any block")])
def test_variations_that_are_not_known(tmp_path, keys, reason):
    assert_refused("deci", keys, tmp_path, reason)
