"""Model files that are broken: one clear message on stderr, exit status 1, nothing on stdout, never a crash."""
import random
import struct

import gguf
import numpy as np
import pytest

from engine import run

EMBD, VOCAB = 64, 32
MATRICES = {"attn_q": (EMBD, EMBD), "attn_k": (EMBD, EMBD), "attn_v": (EMBD, EMBD), "attn_output": (EMBD, EMBD),
            "ffn_gate": (EMBD, EMBD), "ffn_up": (EMBD, EMBD), "ffn_down": (EMBD, EMBD)}

EXPERTS = {"expert_count": 4, "expert_used_count": 2}
ROUTED = {"blk.0.ffn_gate_inp.weight": (4, EMBD), "blk.0.ffn_gate_exps.weight": (4, EMBD, EMBD),
          "blk.0.ffn_up_exps.weight": (4, EMBD, EMBD)}


def write_model(path, architecture="llama", keys=(), left_out="", shapes=(), kind=None):
    """A model of one layer that works unless something is changed."""
    writer = gguf.GGUFWriter(path, architecture)
    values = {"block_count": 1, "embedding_length": EMBD, "feed_forward_length": EMBD, "attention.head_count": 2,
              "context_length": 64, "attention.layer_norm_rms_epsilon": 1e-5} | dict(keys)
    for key, value in values.items():
        if value is not None:
            add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}[type(value)]
            add(f"{architecture}.{key}", value)
    tensors = {"token_embd.weight": (VOCAB, EMBD), "output_norm.weight": (EMBD,), "blk.0.attn_norm.weight": (EMBD,),
               "blk.0.ffn_norm.weight": (EMBD,)} | {f"blk.0.{name}.weight": shape for name, shape in MATRICES.items()}
    for name, shape in (tensors | dict(shapes)).items():
        if name == left_out:
            continue
        data = np.full(shape, 0.01, np.float32)
        if kind is not None and len(shape) == 2:
            per_block, size = gguf.GGML_QUANT_SIZES[kind]
            writer.add_tensor(name, np.zeros((shape[0], shape[1] // per_block * size), np.uint8), raw_dtype=kind)
        else:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def refused(path, *words):
    for verb in (["debug", "logits", path, "--tokens=1,2,3"], ["bench", path, "--prompt=1", "--generate=1"]):
        result = run(*verb)
        message = result.stderr.decode()
        assert result.returncode == 1, message
        assert result.stdout == b"" and message.startswith("caravan: ") and message.count("\n") == 1
        for word in (str(path), *words):
            assert word in message


def test_the_good_one_works(tmp_path):
    model = write_model(tmp_path / "good.gguf")
    assert len(run("debug", "logits", model, "--tokens=1,2,3").stdout) == 3 * VOCAB * 4
    assert run("debug", "logits", model, "--tokens=1,2,32").returncode == 1  # no such token
    assert run("debug", "logits", model, "--tokens=" + "1," * 64 + "1").returncode == 1  # 65 in a context of 64
    assert run("debug", "logits", model, "--tokens=1,x").returncode == 2


@pytest.mark.parametrize("change, words", [
    (dict(architecture="telepathy"), ["telepathy", "supported are"]),
    (dict(keys={"block_count": None}), ["llama.block_count is missing"]),
    (dict(keys={"block_count": "one"}), ["llama.block_count"]),
    (dict(keys={"block_count": 2}), ["blk.1."]),
    (dict(keys={"embedding_length": 128}), ["expected [128"]),
    (dict(keys={"attention.head_count": 0}), ["llama.attention.head_count is 0"]),
    (dict(keys={"attention.layer_norm_rms_epsilon": float("nan")}), ["positive number"]),
    (dict(keys={"rope.scaling.type": "wormhole"}), ["wormhole"]),
    (dict(left_out="blk.0.ffn_up.weight"), ["blk.0.ffn_up.weight is missing"]),
    (dict(shapes={"blk.0.ffn_up.weight": (EMBD, EMBD, 2)}), ["blk.0.ffn_up.weight has shape"]),
    (dict(shapes={"blk.0.extra.weight": (EMBD,)}), ["blk.0.extra.weight is not known"]),
    (dict(kind=gguf.GGMLQuantizationType.Q8_1), ["Q8_1"]),
    (dict(keys={"expert_count": 4}), ["llama.expert_used_count is missing"]),
    (dict(keys=EXPERTS | {"expert_used_count": 5}), ["it must be 1 to 4"]),
    (dict(keys=EXPERTS | {"expert_group_count": 3, "expert_group_used_count": 1}), ["cannot be chosen"]),
    (dict(keys=EXPERTS | {"expert_feed_forward_length": 24}), ["multiples of 16"]),
    (dict(keys=EXPERTS, shapes={"blk.0.ffn_gate_inp.weight": (4, EMBD)}), ["blk.0.ffn_gate_exps.weight is missing"]),
    (dict(keys=EXPERTS, shapes=ROUTED | {"blk.0.ffn_down_exps.weight": (3, EMBD, EMBD)}), ["expected [64, 64, 4]"]),
    (dict(architecture="deepseek2"), ["deepseek2.attention.kv_lora_rank is missing"]),
    (dict(keys={"attention.key_length": 1024}), ["multiples of 8 up to 576"]),
], ids=lambda value: "-".join(map(str, value)) if isinstance(value, list) else "")
def test_wrong_models(tmp_path, change, words):
    refused(write_model(tmp_path / "bad.gguf", **change), *words)


def test_damaged_files(tmp_path):
    good = write_model(tmp_path / "good.gguf").read_bytes()
    bad = tmp_path / "bad.gguf"
    for data, word in ((b"", "past the end"), (b"GGUF", ""), (b"PK\3\4" + good[4:], "not a GGUF"),
                       (good[:-1], "is the file whole?"), (good[:100], "past the end"),
                       (good[:8] + struct.pack("<Q", 1 << 60) + good[16:], "more than any model"),
                       (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + b"\xff" * 64, "")):
        bad.write_bytes(data)
        refused(bad, word)
    refused(tmp_path / "absent.gguf", "No such file")
    refused(tmp_path, "")


def test_random_damage_never_crashes(tmp_path):
    good = bytearray(write_model(tmp_path / "good.gguf").read_bytes())
    bad, dice = tmp_path / "bad.gguf", random.Random(1)
    for _ in range(100):
        data = good.copy()
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(1200)] = dice.randrange(256)
        bad.write_bytes(data)
        assert run("debug", "logits", bad, "--tokens=1,2").returncode in (0, 1)
