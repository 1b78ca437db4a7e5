"""Token ids as the models' own tokenizers and llama.cpp give them, for vocabularies of every kind."""
import json
import subprocess

import pytest

from engine import CARAVAN, FIXTURES, GEMMA3, SMOLLM2

TOKENIZERS = FIXTURES / "tokenizers"
MODELS = {"smollm2-135m.gguf": SMOLLM2, "gemma3-270m-q4_k_m.gguf": GEMMA3}


def groups():
    for path in sorted(TOKENIZERS.glob("*.json")):
        vocabulary = json.loads(path.read_text())
        yield pytest.param(vocabulary["vocab"], vocabulary, id=path.stem)
        if "special_cases" in vocabulary:
            yield pytest.param(vocabulary["vocab"], vocabulary["special_cases"], id=f"{path.stem}-special")


def find(vocab):
    place = MODELS.get(vocab, TOKENIZERS / vocab)
    return place if place.exists() else pytest.skip(f"no model at {place}")


def tokenize(model, texts, special):
    command = [CARAVAN, "debug", "tokenize", model] + ["--special"] * special
    result = subprocess.run(command, input=b"".join(t.encode() + b"\0" for t in texts), capture_output=True, timeout=60)
    assert result.returncode == 0, result.stderr.decode()
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.skipif(not TOKENIZERS.is_dir(), reason=f"no fixtures at {TOKENIZERS}")
@pytest.mark.parametrize("vocab, group", list(groups()))
def test_ids(vocab, group):
    assert group["add_special"] == group["parse_special"]
    texts = [case["text"] for case in group["cases"]]
    found = tokenize(find(vocab), texts, group["add_special"])
    assert list(zip(texts, found)) == [(case["text"], case["ids"]) for case in group["cases"]]
