"""What the golden tests of the engine share: logits of `caravan debug logits`, and how close they are to others'."""
import functools
import importlib.util
import os
import subprocess
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
CARAVAN = ROOT / "build/caravan"
FIXTURES = Path(os.environ.get("CARAVAN_FIXTURES") or ROOT.parent / "shared/fixtures")
TINY_MODEL = FIXTURES.parent / "tools/tiny_model.py"

DATA = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
HOME = Path(os.environ.get("CARAVAN_HOME") or os.path.join(DATA, "caravan"))  # tools/get-default-model's
PEERS = Path(os.environ.get("CARAVAN_PEERS") or Path.home() / ".cache/caravan-peers")
SMOLLM2, GEMMA3 = HOME / "models/smollm2-135m.gguf", PEERS / "models/gemma3-270m.gguf"


@functools.cache
def tiny_model():
    """The writer of tiny models as a module."""
    spec = importlib.util.spec_from_file_location("tiny_model", TINY_MODEL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments, isa=None):
    environment = dict(os.environ, **({"CARAVAN_ISA": isa} if isa else {}))
    return subprocess.run([CARAVAN, *map(str, arguments)], capture_output=True, timeout=170, env=environment)


def logits(model, tokens, isa=None, **options):
    """Logits after each token, [tokens, vocab]."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    result = run("debug", "logits", model, "--tokens=" + ",".join(map(str, tokens)), *arguments, isa=isa)
    assert result.returncode == 0, result.stderr.decode()
    return np.frombuffer(result.stdout, "<f4").reshape(len(tokens), -1)


def nmse(found, expected):
    """Mean squared difference in units of the expected values' mean square."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return np.mean((found - expected) ** 2) / np.mean(expected ** 2)


def log_softmax(rows):
    rows = np.asarray(rows, np.float64)
    rows = rows - rows.max(-1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(-1, keepdims=True))


@functools.cache
def isa_levels():
    """The instruction sets of this CPU, the plain one first."""
    flags = set(Path("/proc/cpuinfo").read_text().split()) if Path("/proc/cpuinfo").exists() else set()
    needed = {"avx2": {"avx2", "fma", "f16c"}, "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"}}
    return ["ref"] + [name for name, wanted in needed.items() if wanted <= flags]
