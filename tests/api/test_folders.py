"""Models in Hugging Face's form on real nodes: loaded by name or path, quantised or not, each member its own slice."""
import sys
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("gguf", reason="gguf-py knows the names")

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))
import gguf  # noqa: E402
import hf_folder  # noqa: E402
from conftest import MODEL_FILE, Node  # noqa: E402

LAYERS, TOKENS = 8, "1,5,3,7"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of models with one of them, of which 4/5 are layers."""
    root = tmp_path_factory.mktemp("folders")
    config, tensors = hf_folder.small_llama(np.random.default_rng(3), layers=LAYERS, embd=256, ff=1024, vocab=512)
    hf_folder.write(root / "Tiny-Llama", config, hf_folder.unconvert(tensors, gguf.MODEL_ARCH.LLAMA, config), shards=3)
    return root


def with_folders(node, folders):
    node.env["CARAVAN_MODELS"] = str(folders)
    return node.start()


@pytest.fixture
def pair(folders, tmp_path):
    """Two nodes of one cluster."""
    first = with_folders(Node(tmp_path / "first"), folders)
    second = Node(tmp_path / "second")
    second.env["CARAVAN_MODELS"] = str(folders)
    for node in (first, second):  # its header would be read as well
        (node.home / "models" / MODEL_FILE).unlink()
    code = first.cli("code").stdout.strip()
    second.cli("join", code)
    address = first.json("nodes")[0]["address"]
    second.flags += ["--peer", address]
    second.start()
    yield first, second
    assert first.stop() == 0 and second.stop() == 0



def test_listed_and_loaded_by_name(folders, tmp_path):
    node = with_folders(Node(tmp_path / "home"), folders)
    (listed,) = [m for m in node.json("list") if m["name"] == "Tiny-Llama"]
    assert listed["format"] == "safetensors" and listed["architecture"] == "llama"
    node.cli("load", "Tiny-Llama", "--quantize", "q8_0")
    (loaded,) = node.json("ps")
    assert loaded["model"] == "Tiny-Llama@q8_0" and loaded["state"] == "ready"
    node.cli("load", "Tiny-Llama")  # is loaded already
    node.cli("load", folders / "Tiny-Llama")
    assert len(node.json("ps")) == 1
    here = node.cli_bytes("debug", "logits", folders / "Tiny-Llama", "--tokens", TOKENS, "--quantize", "q8_0")
    assert node.cli_bytes("debug", "logits", "Tiny-Llama", "--tokens", TOKENS, "--cluster") == here
    node.cli("stop", "Tiny-Llama")
    assert node.json("ps") == []
    assert node.cli("rm", "Tiny-Llama", check=False).returncode == 1
    assert node.stop() == 0


def test_what_fits_is_the_default(folders, tmp_path):
    """Of a model of 32 MiB, a node with 24 MiB loads the Q8_0 form."""
    node = with_folders(Node(tmp_path / "home", "--memory", "24M"), folders)
    node.cli("load", folders / "Tiny-Llama", "--context", 64, "--parallel", 1)
    assert node.json("ps")[0]["model"] == "Tiny-Llama@q8_0"
    assert node.stop() == 0


def bytes_read(node):
    lines = Path(f"/proc/{node.process.pid}/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])


def test_members_read_their_slices(folders, pair):
    """Each its own layers' bytes, and each finds the other's files by the recipe in the model's name."""
    layer = sum(x.nbytes for name, x in hf_folder.small_llama(np.random.default_rng(3), LAYERS, 256, ff=1024)[1].items()
                if name.startswith("blk.0."))
    before = [bytes_read(node) for node in pair]
    pair[0].cli("load", folders / "Tiny-Llama", "--nodes", 2, "--quantize", "q8_0")
    (loaded,) = pair[1].json("ps")
    stages = loaded["stages"]
    assert len(stages) == 2
    ends = 2 * 512 * 256 * 4
    expected = sorted(layer * (s["layers"][1] - s["layers"][0]) + (ends if s["layers"][0] == 0 else 0) for s in stages)
    read = sorted(bytes_read(node) - b for node, b in zip(pair, before))
    assert all(e <= r < 1.02 * e + 256 * 1024 for r, e in zip(read, expected)), (read, expected)
    here = pair[0].cli_bytes("debug", "logits", f"{folders / 'Tiny-Llama'}@q8_0", "--tokens", TOKENS)
    assert pair[1].cli_bytes("debug", "logits", "Tiny-Llama", "--tokens", TOKENS, "--cluster") == here
