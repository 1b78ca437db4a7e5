"""Normalizers, pre-tokenizers and added tokens of tokenizer.json: the ids that Hugging Face's own library gives."""
import json
import subprocess

import pytest

gguf = pytest.importorskip("gguf", reason="gguf-py reads the files here")
np = pytest.importorskip("numpy")

import hf_folder  # noqa: E402
import hf_pre  # noqa: E402
from engine import CARAVAN  # noqa: E402
from test_tokenizers import tokenize  # noqa: E402

EXPECTED = json.loads(hf_pre.EXPECTED.read_text())
CASES = dict(hf_pre.cases())


def write(folder, tokenizer):
    config, tensors = hf_folder.small_llama(np.random.default_rng(1), 1, vocab=len(tokenizer["model"]["vocab"]))
    modules = hf_folder.unconvert(tensors, gguf.MODEL_ARCH.LLAMA, config)
    return hf_folder.write(folder, config | {"bos_token_id": 0, "eos_token_id": 1}, modules, tokenizer__json=tokenizer)


@pytest.mark.parametrize("name", EXPECTED)
def test_same_ids(name, tmp_path):
    texts = hf_pre.texts()
    found = tokenize(write(tmp_path / "hf", CASES[name]), texts, True)
    assert len(texts) == len(EXPECTED[name])
    wrong = [(text, ids) for text, ids, crc in zip(texts, found, EXPECTED[name]) if hf_pre.checksum(ids) != crc]
    assert not wrong


def test_all_cases_are_expected():
    assert list(CASES) == list(EXPECTED)


def test_quantized_file_says_the_same(tmp_path):
    """What GGUF has no key for is in keys of our own."""
    folder = write(tmp_path / "hf", CASES["falcon"])
    result = subprocess.run([CARAVAN, "quantize", folder, tmp_path / "made.gguf", "f32"], capture_output=True)
    assert result.returncode == 0, result.stderr
    assert tokenize(tmp_path / "made.gguf", hf_pre.texts(), True) == tokenize(folder, hf_pre.texts(), True)


@pytest.mark.parametrize("what, pre", [
    ("UnicodeScripts", {"type": "UnicodeScripts"}), ("Split", hf_pre.split("a", "Sometimes")),
    ("is no expression that can be run", hf_pre.split("(")), ("is not supported", hf_pre.split("[a&&[^b]]")),
    ("ByteLevel", hf_pre.BYTES | {"add_prefix_space": True})])
def test_what_is_not_known_is_refused(what, pre, tmp_path):
    folder = write(tmp_path / "hf", hf_pre.tokenizer_json(hf_pre.steps(pre, hf_pre.BYTES)))
    result = subprocess.run([CARAVAN, "debug", "tokenize", folder], capture_output=True, text=True, input="x")
    assert result.returncode == 1 and what in result.stderr, result.stderr


def test_normalizers_that_are_not_known_are_refused(tmp_path):
    folder = write(tmp_path / "hf", hf_pre.tokenizer_json(hf_pre.GPT2, {"type": "Nmt"}))
    result = subprocess.run([CARAVAN, "debug", "tokenize", folder], capture_output=True, text=True, input="x")
    assert result.returncode == 1 and "its normalizer Nmt is not supported" in result.stderr
