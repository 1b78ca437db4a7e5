"""`caravan perplexity` against the same sum over `caravan debug logits`, and against llama-perplexity's figures."""
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from engine import CARAVAN, SMOLLM2, log_softmax, logits

gguf = pytest.importorskip("gguf", reason="gguf-py writes the models here")

TEXT = Path("/usr/share/common-licenses/GPL-3")
WINDOW = 64
# llama-perplexity 0.3.36, context 512, on the file's weights as F32 and on the file itself.
LLAMA_F32, LLAMA = 18.299, 18.391


def perplexity(model, text, *options):
    result = subprocess.run([CARAVAN, "perplexity", model, text, "--json", *map(str, options)], capture_output=True,
                            text=True, timeout=170)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model whose vocabulary is bytes, with BOS before every text."""
    path = tmp_path_factory.mktemp("perplexity") / "tiny.gguf"
    rng = np.random.default_rng(5)
    embd, ff, tokens = 64, 96, ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(embd)
    writer.add_feed_forward_length(ff)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_types([2, 3, 3] + [6] * 256)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_add_space_prefix(False)
    shapes = {"token_embd": (len(tokens), embd), "output_norm": (embd,), "blk.0.attn_norm": (embd,),
              "blk.0.ffn_norm": (embd,), "blk.0.ffn_gate": (ff, embd), "blk.0.ffn_up": (ff, embd),
              "blk.0.ffn_down": (embd, ff)} | {f"blk.0.attn_{n}": (embd, embd) for n in ("q", "k", "v", "output")}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", (rng.standard_normal(shape) / 4).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_second_halves_of_windows(model, tmp_path):
    text = tmp_path / "text"
    text.write_bytes(bytes(range(32, 127)) * 2)
    ids = [1] + [3 + b for b in text.read_bytes()]
    surprise = []
    for begin in range(0, len(ids) - WINDOW + 1, WINDOW):
        window = ids[begin:begin + WINDOW]
        rows = log_softmax(logits(model, [1] + window[1:]))
        surprise += [-rows[i, window[i + 1]] for i in range(WINDOW // 2, WINDOW - 1)]
    found = perplexity(model, text, "--context", WINDOW)
    assert found["perplexity"] == pytest.approx(np.exp(np.mean(surprise)), rel=1e-6)
    assert found["tokens"] == len(surprise) and found["windows"] == 2


def test_too_short(model, tmp_path):
    (tmp_path / "text").write_text("short")
    result = subprocess.run([CARAVAN, "perplexity", model, tmp_path / "text"], capture_output=True, text=True)
    assert result.returncode == 1 and "6 tokens" in result.stderr


@pytest.mark.skipif(not TEXT.exists(), reason=f"no {TEXT}")
@pytest.mark.skipif(not SMOLLM2.exists(), reason=f"no model at {SMOLLM2}")
def test_default_model():
    found = perplexity(SMOLLM2, TEXT)["perplexity"]
    assert abs(found / LLAMA_F32 - 1) <= 0.006
    assert abs(found / LLAMA_F32 - LLAMA / LLAMA_F32) <= 0.0015


@pytest.mark.skipif(not TEXT.exists(), reason=f"no {TEXT}")
@pytest.mark.skipif(not SMOLLM2.exists(), reason=f"no model at {SMOLLM2}")
def test_its_copy_in_f32(tmp_path):
    copy = tmp_path / "copy.gguf"
    subprocess.run([CARAVAN, "quantize", SMOLLM2, copy, "f32"], check=True, capture_output=True, timeout=60)
    assert abs(perplexity(copy, TEXT)["perplexity"] / LLAMA_F32 - 1) <= 0.0002
