"""Logits of tiny models of every family and format as llama.cpp computes them (fixtures/golden/README.md has the
tolerances), and the same bits at every instruction set, chunk size and number of threads."""
import json
import statistics

import numpy as np
import pytest

from engine import FIXTURES, TINY_MODEL, isa_levels, logits, nmse, tiny_model

GOLDEN = FIXTURES / "golden"
GELU = ("gemma", "phi2", "starcoder2")
EXPERTS = ("mixtral", "qwen2moe", "qwen3moe", "granitemoe", "gpt-oss", "deepseek2")
UNROUNDED = ("f32", "f16", "bf16")  # weight types that are computed in float32

pytestmark = pytest.mark.skipif(not (GOLDEN.is_dir() and TINY_MODEL.exists()), reason=f"no fixtures at {GOLDEN}")


def names():
    return [path.stem for path in sorted(GOLDEN.glob("*.json"))]


class Golden:
    def __init__(self, name, folder):
        data = json.loads((GOLDEN / f"{name}.json").read_text())
        self.path, self.tokens, self.type = folder / f"{name}.gguf", data["tokens"], data["type"]
        family = tiny_model().FAMILIES[data["family"]]
        crc = tiny_model().write(family, name, self.path, data["seed"], data["type"])
        assert f"{crc:08x}" == data["weights_crc32"], "the writer does not give the weights of the fixture"
        self.expected = data.get("dequantized_f32", data)
        self.rounded = data["type"] not in UNROUNDED or family.expert_type is not None
        self.median = data.get("nmse_vs_dequantized_f32_median")
        self.gelu, self.experts = data["family"].startswith(GELU), data["family"].startswith(EXPERTS)

    def sample(self, found):
        """What was found where the fixture has samples, and these."""
        sample = self.expected["logits_sample"]
        return found[np.ix_(sample["positions"], sample["vocab"])], sample["logits"]

    def check_last(self, found, limit):
        assert nmse(found[-1], self.expected["logits_last"]) <= limit

    def check_argmax(self, found, margin):
        expected, margins = np.array(self.expected["argmax"]), np.array(self.expected["margin"])
        sure = margins > margin
        assert (found.argmax(1)[sure] == expected[sure]).all()


@pytest.fixture(scope="module", params=names())
def golden(request, tmp_path_factory):
    model = Golden(request.param, tmp_path_factory.mktemp("tiny"))
    yield model
    model.path.unlink()


def test_f32_cache(golden):
    found = logits(golden.path, golden.tokens, kv="f32")
    sample, expected = golden.sample(found)
    if golden.rounded and golden.experts:  # a choice of experts that flips moves its position by tens of percents
        assert statistics.median(map(nmse, sample, expected)) <= 5 * golden.median
        return
    limit = 2 * golden.median if golden.rounded else 2e-6 if golden.gelu else 1e-9
    assert nmse(sample, expected) <= limit
    golden.check_last(found, 5 * golden.median if golden.rounded else limit)
    golden.check_argmax(found, 1 if golden.rounded else 0.01)
    if not golden.rounded:
        sums = np.log(np.exp(found.astype(np.float64)).sum(1))
        assert np.abs(sums - golden.expected["logsumexp"]).max() <= (5e-3 if golden.gelu else 2e-4)


def test_f16_cache(golden):
    """The cache's own rounding, seen against the same model with a float32 cache."""
    found, exact = logits(golden.path, golden.tokens, kv="f16"), logits(golden.path, golden.tokens, kv="f32")
    positions = [nmse(a, b) for a, b in zip(found, exact)]
    if golden.experts:
        assert statistics.median(positions) <= (5 * golden.median if golden.rounded else 3e-5)
    elif golden.rounded:
        assert nmse(found, exact) <= 5 * golden.median  # a rounded activation flips now and then
    else:
        assert nmse(found, exact) <= 3e-5


def test_q8_0_cache(golden):
    """Eight bits and a scale for 32 channels: the middle position within 1e-3 of the float32 cache, 5e-3 where it may
    flip a choice of experts, five times the fixture's own rounding where activations are rounded too; same bits."""
    found, exact = logits(golden.path, golden.tokens, kv="q8_0"), logits(golden.path, golden.tokens, kv="f32")
    limit = 5 * golden.median if golden.rounded else 5e-3 if golden.experts else 1e-3
    assert statistics.median(nmse(a, b) for a, b in zip(found, exact)) <= limit
    for isa in isa_levels()[:2]:
        assert logits(golden.path, golden.tokens, isa, kv="q8_0", chunk=7).tobytes() == found.tobytes(), isa


def test_same_bits(golden):
    """One arithmetic: nothing depends on the instruction set, on how tokens are fed or on who computes."""
    truth = logits(golden.path, golden.tokens, isa_levels()[-1], kv="f16", threads=1)
    for isa in isa_levels():
        for chunk, threads in ((1, 2), (7, 1), (48, 2)):
            found = logits(golden.path, golden.tokens, isa, chunk=chunk, threads=threads)
            assert found.tobytes() == truth.tobytes(), f"{isa}, {chunk} tokens at a time, {threads} threads"


@pytest.mark.parametrize("family, kind", [("deepseek2", "q8_0"), ("deepseek2-unsplit", "q8_0"), ("qwen2moe", "q4_k"),
                                          ("deepseek2-lite", "q4_k")])
def test_rounded_mixtures(family, kind, tmp_path):
    """Quantised experts and latent heads: near their float32 values, and one arithmetic."""
    path, exact, tokens = tmp_path / "q.gguf", tmp_path / "f32.gguf", [(7 * i + 3) % 512 for i in range(100)]
    for target, dequantize in ((path, False), (exact, True)):
        tiny_model().write(tiny_model().FAMILIES[family], family, target, 5, kind, dequantize)
    truth = logits(path, tokens, isa_levels()[-1], threads=1)
    positions = [nmse(a, b) for a, b in zip(truth, logits(exact, tokens))]
    assert statistics.median(positions) <= 5e-3
    for isa in isa_levels()[-2:]:
        for chunk, threads in ((1, 2), (33, 2)):
            found = logits(path, tokens, isa, chunk=chunk, threads=threads)
            assert found.tobytes() == truth.tobytes(), f"{isa}, {chunk} tokens at a time, {threads} threads"
