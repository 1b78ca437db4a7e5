"""Folders in Hugging Face's form are run as they lie, with the bits that their GGUF files give."""
import subprocess

import pytest

gguf = pytest.importorskip("gguf", reason="gguf-py knows the names")
np = pytest.importorskip("numpy")

import hf_folder  # noqa: E402
from engine import CARAVAN, TINY_MODEL, logits, nmse, run, tiny_model  # noqa: E402
from more_families import families, write  # noqa: E402
from test_hf import CONFIGS, config_of, values  # noqa: E402

TOKENS = [1, 5, 3, 7, 2, 30, 8, 8, 9]


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """The same weights as a GGUF file, a folder with one shard and one with three."""
    root = tmp_path_factory.mktemp("hf-run")
    config, tensors = hf_folder.small_llama(np.random.default_rng(2), embd=256, ff=512, vocab=64)
    modules = hf_folder.unconvert(tensors, gguf.MODEL_ARCH.LLAMA, config)
    writer = gguf.GGUFWriter(root / "tiny.gguf", "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    for name, x in tensors.items():
        writer.add_tensor(name, x)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return (root / "tiny.gguf", hf_folder.write(root / "one", config, modules),
            hf_folder.write(root / "three", config, modules, shards=3))


def test_one_and_three_shards(llama):
    expected, one, three = (logits(path, TOKENS) for path in llama)
    assert np.isfinite(expected).all() and expected.std() > 0.1
    assert (one == expected).all() and (three == expected).all()


@pytest.mark.parametrize("kind", ["bf16", "q8_0", "q4_k_m", "q4_0"])
def test_quantised_as_it_is_read(llama, tmp_path, kind):
    """The bits of the file that `caravan quantize` writes, from a folder, from a GGUF file, and by the model's name."""
    made = run("quantize", llama[0], tmp_path / "made.gguf", kind)
    assert made.returncode == 0, made.stderr
    expected = logits(tmp_path / "made.gguf", TOKENS)
    for path in llama:
        assert (logits(path, TOKENS, quantize=kind) == expected).all()
        assert (logits(f"{path}@{kind}", TOKENS) == expected).all()


@pytest.mark.skipif(not TINY_MODEL.exists(), reason=f"no {TINY_MODEL}")
@pytest.mark.parametrize("name", ["llama-tied", "qwen3", "gemma3", "phi3", "olmo2", "stablelm"])
def test_families(name, tmp_path):
    family = tiny_model().FAMILIES[name]
    tiny_model().write(family, name, tmp_path / "tiny.gguf")
    tensors = {t.name: values(t) for t in gguf.GGUFReader(tmp_path / "tiny.gguf").tensors}
    config = config_of(name, family, tensors)
    arch = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == family.arch)
    folder = hf_folder.write(tmp_path / CONFIGS[name][0], config, hf_folder.unconvert(tensors, arch, config), shards=3)
    assert nmse(logits(folder, TOKENS), logits(tmp_path / "tiny.gguf", TOKENS)) < 1e-10


def test_bench(llama):
    result = run("bench", llama[2], "--quantize", "q8_0", "--prompt", 8, "--generate", 4, "--repeat", 1, "--json")
    assert result.returncode == 0, result.stderr


def test_unknown_recipe(llama):
    result = subprocess.run([CARAVAN, "bench", llama[1], "--quantize", "q9_9"], capture_output=True, text=True)
    assert result.returncode == 2 and "q9_9" in result.stderr and "q4_k_m" in result.stderr


@pytest.mark.skipif(not TINY_MODEL.exists(), reason=f"no {TINY_MODEL}")
def test_a_bias_of_queries_keys_and_values_is_read_in_three(tmp_path):
    family = families()["starcoder"]
    write(family, "starcoder", tmp_path / "tiny.gguf")
    assert run("quantize", tmp_path / "tiny.gguf", tmp_path / "made.gguf", "f16").returncode == 0
    assert (logits(f"{tmp_path}/tiny.gguf@f16", TOKENS) == logits(tmp_path / "made.gguf", TOKENS)).all()
