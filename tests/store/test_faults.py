"""A short pull through random faults; `make faults` has two hundred."""
import os

import faults
import pytest
from conftest import shapes


def test_a_short_pull_through_faults(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    model = shapes.write_gguf(tmp_path / "m-Q8_0.gguf", layers=8, width=768, ff=2048, kv=384, vocab=8000)[0]
    with faults.small_disk(tmp_path / "disk", model.stat().st_size + faults.SPARE) as why_not:
        kinds = [kind for kind in faults.KINDS if kind != "fill" or not why_not]
        again = faults.story(tmp_path / "disk", model, 10, 2026, kinds, print)
    assert again < faults.AGAIN_MAX
