"""The official clients for Node, unmodified: each script in node/ goes through streams, tools, structured output,
errors and leaving, with a model that recites."""
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT

SCRIPTS = Path(__file__).resolve().parent / "node"
PLACE = ROOT / "build/node-clients"


@pytest.fixture(scope="module")
def clients():
    """The packages, in the build's folder; they come from the registry once."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm")
    PLACE.mkdir(parents=True, exist_ok=True)
    wanted = (SCRIPTS / "package.json").read_text()
    if not (PLACE / "installed").exists() or (PLACE / "installed").read_text() != wanted:
        shutil.copy(SCRIPTS / "package.json", PLACE)
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            subprocess.run(command, cwd=PLACE, check=True, capture_output=True, timeout=180)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"npm cannot get the clients: {(error.stderr or b'').decode()[-200:]}")
        (PLACE / "installed").write_text(wanted)
    for script in SCRIPTS.glob("*.mjs"):
        shutil.copy(script, PLACE)
    return PLACE


@pytest.mark.parametrize("client", ["openai", "anthropic", "ollama"])
def test_clients_for_node(clients, reciter, client):
    model = "script:latest" if client == "ollama" else "script"
    command = ["node", f"{client}.mjs", f"http://127.0.0.1:{reciter.port}", model]
    result = subprocess.run(command, cwd=clients, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and result.stdout.strip() == "ok", result.stdout + result.stderr
