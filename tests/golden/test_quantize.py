"""`caravan quantize`: files that others read, no worse than the formats allow, and clear words for bad input."""
import os
import subprocess
from pathlib import Path

import pytest

gguf = pytest.importorskip("gguf", reason="gguf-py reads the files here")
np = pytest.importorskip("numpy")

CARAVAN = Path(__file__).resolve().parent.parent.parent / "build/caravan"
LAYERS, EMBD, FF, VOCAB = 8, 256, 512, 96
# Root of the mean squared error relative to normal values, about 2 % above what a good search reaches.
ERRORS = {"F16": 3e-4, "BF16": 2e-3, "Q4_0": 0.084, "Q4_1": 0.073, "Q5_0": 0.042, "Q5_1": 0.036, "Q8_0": 0.0055,
          "Q2_K": 0.28, "Q3_K": 0.151, "Q4_K": 0.073, "Q5_K": 0.036, "Q6_K": 0.018, "IQ4_NL": 0.078, "IQ4_XS": 0.078,
          "MXFP4": 0.115}
# By the name of the recipe: the types of blk.0.ffn_up, blk.0.attn_v, blk.1.ffn_down, output.
TYPES = {"f16": "F16 F16 F16 F16", "bf16": "BF16 BF16 BF16 BF16", "q8_0": "Q8_0 Q8_0 Q8_0 Q8_0",
         "q6_k": "Q6_K Q6_K Q6_K Q6_K", "q5_k_m": "Q5_K Q6_K Q5_K Q6_K", "q5_1": "Q5_1 Q5_1 Q5_1 Q6_K",
         "q5_0": "Q5_0 Q5_0 Q5_0 Q6_K", "Q4_K_M": "Q4_K Q6_K Q4_K Q6_K", "q4_k": "Q4_K Q6_K Q4_K Q6_K",
         "q4_k_s": "Q4_K Q5_K Q4_K Q6_K", "q4_1": "Q4_1 Q4_1 Q4_1 Q6_K", "q4_0": "Q4_0 Q4_0 Q4_0 Q6_K",
         "iq4_nl": "IQ4_NL Q5_K IQ4_NL Q6_K", "iq4_xs": "IQ4_XS Q5_K IQ4_XS Q6_K", "mxfp4": "MXFP4 MXFP4 MXFP4 Q6_K",
         "q3_k_l": "Q3_K Q5_K Q5_K Q6_K", "q3_k_m": "Q3_K Q5_K Q4_K Q6_K", "q3_k_s": "Q3_K Q3_K Q3_K Q6_K",
         "q2_k": "Q2_K Q4_K Q3_K Q6_K"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small F32 model: its path and its tensors by name."""
    path = tmp_path_factory.mktemp("quantize") / "tiny.gguf"
    rng = np.random.default_rng(3)
    shapes = {"token_embd.weight": (VOCAB, EMBD), "output.weight": (VOCAB, EMBD), "output_norm.weight": (EMBD,)}
    for i in range(LAYERS):
        shapes |= {f"blk.{i}.attn_norm.weight": (EMBD,), f"blk.{i}.attn_v.weight": (64, EMBD),
                   f"blk.{i}.ffn_up.weight": (FF, EMBD), f"blk.{i}.ffn_down.weight": (EMBD, FF),
                   f"blk.{i}.odd.weight": (3, 40), f"blk.{i}.ffn_gate_inp.weight": (4, EMBD)}
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_head_count(8)
    writer.add_head_count_kv(2)
    writer.add_file_type(0)
    writer.add_token_list(["ä", "b"])
    writer.add_array("made.up", [1.5, 2.5])
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, tensors


def quantize(source, out, kind):
    return subprocess.run([CARAVAN, "quantize", source, out, kind], capture_output=True, text=True, timeout=60,
                          env=os.environ | {"CARAVAN_HOME": str(Path(out).parent / "home")})


def read(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


@pytest.mark.parametrize("recipe", TYPES)
def test_types_and_errors(model, tmp_path, recipe):
    source, original = model
    out = tmp_path / "out.gguf"
    result = quantize(source, out, recipe)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "" and [p.name for p in tmp_path.glob("*")] == ["out.gguf"]
    made = read(out)
    assert list(made) == list(original)
    chosen = ["blk.0.ffn_up.weight", "blk.0.attn_v.weight", "blk.1.ffn_down.weight", "output.weight"]
    assert [made[name].tensor_type.name for name in chosen] == TYPES[recipe].split()
    for name, tensor in made.items():
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        values = values.reshape(original[name].shape)
        error = np.sqrt(np.mean((values - original[name]) ** 2) / np.mean(original[name] ** 2))
        if name.endswith("_norm.weight") or "gate_inp" in name:
            assert tensor.tensor_type.name == "F32" and error == 0
        else:
            assert error <= ERRORS[tensor.tensor_type.name], (name, tensor.tensor_type.name, error)


def test_metadata(model, tmp_path):
    out = tmp_path / "out.gguf"
    assert quantize(model[0], out, "q4_k_m").returncode == 0
    fields = gguf.GGUFReader(out).fields
    assert fields["general.file_type"].contents() == 15 and fields["general.quantization_version"].contents() == 2
    assert fields["general.architecture"].contents() == "llama" and fields["llama.block_count"].contents() == LAYERS
    assert fields["tokenizer.ggml.tokens"].contents() == ["ä", "b"] and fields["made.up"].contents() == [1.5, 2.5]


def test_again_and_back(model, tmp_path):
    """A quantised file is a source too; its own type is a copy; the output may be the input."""
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    assert quantize(model[0], first, "q8_0").returncode == 0
    assert quantize(first, second, "q8_0").returncode == 0
    assert first.read_bytes() == second.read_bytes()
    assert quantize(second, second, "f32").returncode == 0
    assert {t.tensor_type.name for t in read(second).values()} == {"F32"}


def test_refusals(model, tmp_path):
    out = tmp_path / "out.gguf"
    unknown = quantize(model[0], out, "q9_k")
    assert unknown.returncode == 2 and "q9_k" in unknown.stderr and "q4_k_m" in unknown.stderr
    absent = quantize(tmp_path / "absent.gguf", out, "q8_0")
    assert absent.returncode == 1 and "absent.gguf" in absent.stderr
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model[0].read_bytes()[:-1000])
    assert quantize(cut, out, "q8_0").returncode == 1
    nowhere = quantize(model[0], tmp_path / "no" / "folder.gguf", "q8_0")
    assert nowhere.returncode == 1 and "folder.gguf" in nowhere.stderr
    assert sorted(p.name for p in tmp_path.glob("*")) == ["cut.gguf"]
