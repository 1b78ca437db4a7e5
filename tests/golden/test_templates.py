"""Chat templates as Jinja2 renders them: models' own templates over many conversations."""
import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CARAVAN = ROOT / "build/caravan"
FIXTURES = Path(os.environ.get("CARAVAN_FIXTURES") or ROOT.parent / "shared/fixtures") / "chat_templates"
CASE_KEYS = ("messages", "tools", "add_generation_prompt", "enable_thinking")


def cases():
    for path in sorted(FIXTURES.glob("*.json")):
        model = json.loads(path.read_text())
        for number, case in enumerate(model["cases"]):
            shared = {key: model[key] for key in ("template", "bos_token", "eos_token", "now")}
            given = {key: case[key] for key in CASE_KEYS if key in case}
            yield pytest.param(shared | given, case["expected"], id=f"{path.stem}-{case.get('name', number)}")


def render(request):
    return subprocess.run([CARAVAN, "debug", "template"], input=json.dumps(request).encode(), capture_output=True,
                          timeout=20)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no fixtures at {FIXTURES}")
@pytest.mark.parametrize("request_, expected", list(cases()))
def test_renders_as_jinja(request_, expected):
    result = render(request_)
    if "error" in expected:
        assert result.returncode == 1 and result.stderr and result.stdout == b""
    else:
        assert result.returncode == 0, result.stderr.decode()
        assert result.stdout.decode() == expected["text"]
