"""Pulling models from a hub onto one node: names, what goes wrong on the way, what is kept of it."""
import contextlib
import hashlib
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import CARAVAN, ROOT, Home, held_bytes, hubs, shapes, wait_until


def same(path, model):
    return Path(path).read_bytes() == model.read_bytes()


def test_a_pulled_model_is_there_under_its_name(home, hub, repo, model):
    shown = home.json("pull", "org/repo:Q8_0")
    assert shown["name"] == "org/repo:Q8_0" and shown["size_bytes"] == model.stat().st_size
    (listed,) = home.json("list")
    assert listed["name"] == "org/repo:Q8_0" and same(listed["path"], model) and listed["architecture"] == "llama"
    assert hub.served == model.stat().st_size
    assert home.json("show", "org/repo:Q8_0")["path"] == listed["path"]
    home.cli("load", "org/repo:Q8_0", "--context", "256")
    home.cli("rm", "org/repo:Q8_0")
    assert home.json("list") == [] and not list((home.path / "models").iterdir())


def test_one_model_by_many_names_comes_once(home, hub, repo, model):
    names = ["org/repo", "org/repo:q8_0", "hf.co/org/repo", "hf.co/org/repo/m-Q8_0.gguf",
             "https://huggingface.co/org/repo/blob/main/m-Q8_0.gguf"]
    for name in names:
        home.cli("pull", name)
    assert hub.served == model.stat().st_size
    assert {m["name"] for m in home.json("list")} == set(names) and len({m["path"] for m in home.json("list")}) == 1
    for name in names[1:]:
        home.cli("rm", name)
    assert [m["name"] for m in home.json("list")] == names[:1]
    home.cli("show", "hf.co/org/repo")  # the same, said in another way


def test_the_same_bytes_of_another_repository_come_once(home, hub, repo, model):
    hub.add("other/copy", "name.gguf", model)
    home.cli("pull", "org/repo")
    home.cli("pull", "other/copy")
    assert hub.served == model.stat().st_size
    home.cli("rm", "org/repo")
    assert same(home.json("list")[0]["path"], model)


def test_an_address_of_a_file(home, hub, repo, model):
    home.cli("pull", "org/repo")
    address = f"{hub.cdn_url}/{next(iter(hub.links))}"
    assert "no address of a GGUF file" in home.fails("pull", address)
    hub.links["plain.gguf"] = hubs.File(model)
    home.cli("pull", f"{hub.cdn_url}/plain.gguf")
    assert home.json("show", f"{hub.cdn_url}/plain.gguf")["size_bytes"] == model.stat().st_size


def test_split_files_are_one_model(home, hub, tmp_path, model):
    whole = shapes.write_gguf(tmp_path / "w.gguf", layers=5)[0]
    parts = shapes.write_gguf(tmp_path / "m-Q8_0.gguf", layers=5, parts=3)
    for part in parts:
        hub.add("org/split", f"Q8_0/{part.name}", part)
    home.cli("pull", "org/split:Q8_0")
    (listed,) = home.json("list")
    assert listed["format"] == "gguf" and Path(listed["path"]).is_dir()
    assert listed["size_bytes"] == sum(part.stat().st_size for part in parts)
    tokens = ["--tokens", "1,2,3,4,5"]
    run = [CARAVAN, "debug", "logits"]
    alone = subprocess.run([*run, whole, *tokens], capture_output=True, check=True).stdout
    assert subprocess.run([*run, "org/split:Q8_0", *tokens], env=home.env, capture_output=True,
                          check=True).stdout == alone


def test_an_encoder_pools_as_its_own_config_says(home, hub, tmp_path):
    sys.path.append(str(ROOT / "tests/api"))
    from encoder_model import FIRST, Encoder
    encoder, folder = Encoder("bert", FIRST), tmp_path / "encoder"
    encoder.write_folder(folder)
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense/config.json").write_text("{}")
    for path in folder.rglob("*.*"):
        hub.add("org/encoder", str(path.relative_to(folder)), path)
    home.cli("pull", "org/encoder")
    home.start()
    request = urllib.request.Request(f"{home.url}/v1/embeddings", headers={"Content-Type": "application/json"},
                                     data=b'{"model": "org/encoder", "input": [5, 6, 7, 8]}')
    with urllib.request.urlopen(request, timeout=60) as reply:
        (found,) = json.load(reply)["data"]
    assert max(abs(a - b) for a, b in zip(found["embedding"], encoder.embed([5, 6, 7, 8]), strict=True)) < 1e-3


def test_missing_parts_are_told(home, hub, tmp_path):
    for part in shapes.write_gguf(tmp_path / "m.gguf", parts=3)[:2]:
        hub.add("org/split", part.name, part)
    told = home.fails("pull", "org/split")
    assert "only 2 of its 3 parts" in told and "part 3 is missing" in told


def test_which_file_is_meant(home, hub, tmp_path):
    for quant in ("Q2_K", "Q4_K_M", "Q4_K_M_L", "Q8_0"):
        seed = len(quant) + ord(quant[1])
        hub.add("org/many", f"m-{quant}.gguf", shapes.write_gguf(tmp_path / f"m-{quant}.gguf", seed=seed)[0])
    hub.add("org/many", "mmproj-m-Q4_K_M.gguf", b"pictures")
    hub.page = 2  # a list in pages
    assert home.json("pull", "org/many")["path"].endswith("/m-Q4_K_M.gguf")
    assert home.json("pull", "org/many:q2_k")["path"].endswith("/m-Q2_K.gguf")
    error = home.fails("pull", "org/many:Q5_K_M")
    assert "Q5_K_M" in error and "m-Q8_0.gguf" in error and "mmproj" not in error


def test_a_hub_that_only_describes_and_tells_no_sizes(home, hub, repo, model):
    hub.tree = False
    home.cli("pull", "org/repo")
    assert same(home.json("list")[0]["path"], model)


def test_names_that_cannot_be(home, hub):
    for name in ("org/../repo", "hf.co/org/repo/../../x.gguf", "org/repo:..", "org/re po", "../x", "hf.co/org",
                 "ftp://host/x.gguf", "file:///etc/passwd", "nothing-like-it"):
        assert home.fails("pull", name).startswith("caravan: "), name
    assert hub.requests == [] and not list((home.path / "models").iterdir())
    assert "no org/none" in home.fails("pull", "org/none")


def test_gated_models_want_a_token_that_nobody_else_sees(tmp_path, hub, repo, model):
    hub.gated["org/repo"] = "secret-token"
    plain = Home(tmp_path / "plain", hub)
    assert "HF_TOKEN" in plain.fails("pull", "org/repo")
    wrong = Home(tmp_path / "wrong", hub, HF_TOKEN="other-token")
    error = wrong.fails("pull", "org/repo")
    assert "HF_TOKEN does not open it" in error and "other-token" not in error
    hub.requests.clear()
    right = Home(tmp_path / "right", hub, HF_TOKEN="secret-token")
    right.cli("pull", "org/repo")
    cdn = [headers for path, headers in hub.requests if path.startswith("/" + next(iter(hub.links)))]
    assert cdn and not any("Authorization" in headers for headers in cdn)
    for path in Path(right.path).rglob("*"):
        assert path.is_dir() or path.is_socket() or b"secret-token" not in path.read_bytes()


def test_what_is_no_model_is_not_kept(home, hub):
    for name, data in (("archive", b"PK\x03\x04" * 100000), ("short", b"GGUF"), ("text", b"hello " * 100000)):
        hub.add(f"bad/{name}", "m.gguf", data)
        assert "is no model" in home.fails("pull", f"bad/{name}"), name
    assert home.json("list") == [] and not list((home.path / "models").iterdir())


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/"])
def test_redirects_lead_to_the_web_only(home, hub, repo, target):
    hub.redirect = target
    assert home.fails("pull", "org/repo")
    assert home.json("list") == []


def test_passing_troubles_are_ridden_out(home, hub, repo, model):
    fault = hubs.Fault
    hub.hub_faults = [fault("status", status=503), fault("status", status=429, retry_after=1)]
    hub.faults = [fault("status", status=500), fault("cut", 100_000), fault("cut", 0), fault("cut", 3_000_000),
                  fault("status", status=429, retry_after=1), fault("status", status=502)]
    home.cli("pull", "org/repo")
    assert same(home.json("list")[0]["path"], model)
    assert hub.served < 1.02 * model.stat().st_size


def test_a_stalled_connection_is_left(home, hub, repo, model):
    hub.faults = [hubs.Fault("stall", 200_000)]
    begin = time.monotonic()
    home.cli("pull", "org/repo")
    assert same(home.json("list")[0]["path"], model) and time.monotonic() - begin < 40


def test_a_wrong_byte_is_noticed(home, hub, repo, model):
    hub.faults = [hubs.Fault("flip", 1_000_000)]
    home.cli("pull", "org/repo")
    assert same(home.json("list")[0]["path"], model)


def test_a_hub_that_lies_about_the_hash(home, hub, repo):
    hub.repos["org/repo"]["m-Q8_0.gguf"].lie = "ab" * 32
    assert "SHA-256" in home.fails("pull", "org/repo")
    assert home.json("list") == [] and not list((home.path / "models").iterdir())


def test_a_hub_that_lies_about_a_size(home, hub, repo, model):
    """More than there is, less, more than the disk has, than a file can have, than a number; and what is none."""
    home.start()
    file, size = hub.repos["org/repo"]["m-Q8_0.gguf"], model.stat().st_size
    for more, told, ranges in ((1, "was to have", True), (1, "was to have", False), (-1, "was to have", True),
                               (-1, "was to have", False), (1 << 40, "MiB more on the disk", True),
                               (1 << 62, "limit exceeded", True), (1 << 70, "no list of files", True)):
        file.lie_size, hub.ranges = size + more, ranges
        assert told in home.fails("pull", "org/repo"), more
        assert home.json("list") == [] and not list((home.path / "models").iterdir()), more
    hub.ranges = True
    for file.lie_size in (0, -5, -(1 << 63), 1.5, "9", [], {}, False):  # it is asked for
        home.cli("pull", "org/repo")
        assert same(home.json("list")[0]["path"], model), file.lie_size
        home.cli("rm", "org/repo")


def test_a_hub_that_tells_another_models_hash_takes_nothing_from_it(home, hub, repo, model):
    home.cli("pull", repo)
    (path,) = (home.path / "models").glob("*/*.gguf")
    other = hub.add("evil/repo", "m-Q8_0.gguf", b"GGUF" + bytes(1000))
    other.lie = hub.repos[repo]["m-Q8_0.gguf"].sha256
    home.fails("pull", "evil/repo")
    other.lie_size = model.stat().st_size - 1
    home.fails("pull", "evil/repo")
    assert path.read_bytes() == model.read_bytes()
    home.cli("pull", repo, "--check")
    assert [listed["name"] for listed in home.json("list")] == [repo]


def test_a_list_goes_on_at_the_hub_alone(tmp_path, hub, repo, model):
    home = Home(tmp_path / "home", hub, HF_TOKEN="hf_secret")
    hub.gated[repo] = "hf_secret"
    hub.page = 1
    with hubs.Hub() as other:
        hub.next_url = other.url
        home.cli("pull", repo)
        assert other.requests == [] and home.json("list")[0]["size_bytes"] == model.stat().st_size


def test_a_list_without_an_end_is_left(home, hub, repo):
    hub.page = 0
    assert "does not end" in home.fails("pull", repo)


def test_a_file_too_long_for_the_disk_leaves_nothing(home, hub, repo):
    def short_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    result = subprocess.run([CARAVAN, "pull", "org/repo"], env=home.env, capture_output=True, text=True, timeout=60,
                            preexec_fn=short_files)
    assert result.returncode == 1 and "File too large" in result.stderr
    assert not list((home.path / "models").iterdir())


def test_a_host_without_ranges(home, hub, repo, model):
    hub.ranges = False
    home.cli("pull", "org/repo")
    assert same(home.json("list")[0]["path"], model)


def test_a_killed_pull_goes_on_where_it_was(home, hub, repo, model):
    hub.rate, size = 6e6, model.stat().st_size
    home.start()
    home.post("downloads", model="org/repo")
    assert wait_until(lambda: any(d["bytes_done"] > size // 3 for d in home.downloads()), 20)
    home.stop(signal.SIGKILL)
    held, asked, hub.rate = held_bytes(home), hub.asked, 0
    (listed,) = home.json("list")
    assert listed["name"] == "org/repo" and Path(listed["path"]).is_dir()
    assert "only a part" in home.fails("bench", "org/repo", "--json")
    home.cli("pull", "org/repo")
    assert same(home.json("list")[0]["path"], model)
    assert size // 3 <= held and hub.asked - asked <= size - held, (held, hub.asked - asked, size)


def test_bytes_that_change_on_the_disk_come_again(home, hub, repo, model):
    hub.rate, size = 6e6, model.stat().st_size
    home.start()
    home.post("downloads", model="org/repo")
    assert wait_until(lambda: any(d["bytes_done"] > size // 2 for d in home.downloads()), 20)
    home.stop(signal.SIGKILL)
    held, asked, hub.rate = held_bytes(home), hub.asked, 0
    (path,) = (home.path / "models").glob("*/*.gguf")
    with path.open("r+b") as file:
        file.seek(100_000)
        file.write(b"wrong bytes here")
    home.cli("pull", "org/repo")
    assert same(home.json("list")[0]["path"], model)
    assert hub.asked - asked <= size - held + 65536


def test_a_check_finds_what_the_disk_has_changed(home, hub, repo, model):
    assert "nothing of it was pulled" in home.fails("pull", "org/repo", "--check")
    home.cli("pull", "org/repo")
    path, served = Path(home.json("list")[0]["path"]), hub.served
    home.cli("pull", "org/repo", "--check")
    assert hub.served == served
    with path.open("r+b") as file:
        for at in (100, 1_000_000, 5_000_000):
            file.seek(at)
            file.write(b"wrong bytes here")
    home.cli("pull", "org/repo", "--check")
    assert same(path, model) and hub.served == served + 3 * 65536
    assert home.json("list")[0]["path"] == str(path)


def test_pause_go_on_cancel(home, hub, repo, model):
    hub.rate = 4e6
    home.start()
    home.post("downloads", model="org/repo")
    assert wait_until(lambda: any(d["bytes_done"] > 1e6 for d in home.downloads()), 20)
    home.cli("pull", "org/repo", "--pause")
    assert wait_until(lambda: home.downloads()[0]["state"] == "paused", 5)
    served = hub.served
    time.sleep(0.5)
    assert hub.served <= served + 256 * 1024
    home.post("downloads", model="org/repo")
    assert wait_until(lambda: home.downloads()[0]["state"] == "fetching" and hub.served > served, 10)
    home.cli("pull", "org/repo", "--cancel")
    assert wait_until(lambda: home.downloads() == [] and not list((home.path / "models").iterdir()), 5)
    assert "error" in home.post("downloads/pause", model="org/repo")


def test_cancel_takes_nothing_from_a_whole_model(home, hub, repo, model):
    home.start()
    home.cli("pull", "org/repo")
    home.post("downloads/cancel", model="org/repo")
    assert wait_until(lambda: home.downloads() == [], 20)
    assert same(Path(home.json("list")[0]["path"]), model)


def test_who_interrupts_a_pull_keeps_what_came(home, hub, repo, model):
    hub.rate = 4e6
    process = subprocess.Popen([CARAVAN, "pull", "org/repo"], env=home.env, stderr=subprocess.PIPE, text=True)
    assert wait_until(lambda: hub.served > 2e6, 20)
    process.send_signal(signal.SIGINT)
    assert "goes on from here" in process.communicate(timeout=20)[1] and process.returncode == 1
    held, asked, hub.rate = held_bytes(home), hub.asked, 0
    home.cli("pull", "org/repo")
    assert held > 1e6 and hub.asked - asked <= model.stat().st_size - held


@pytest.mark.parametrize("verb", (["load"], ["run", "--max-tokens", "1"]), ids=("load", "run"))
def test_who_interrupts_a_load_stops_its_pull(home, hub, repo, verb):
    hub.rate = 4e6
    home.start()
    process = subprocess.Popen([CARAVAN, *verb, "org/repo"], env=home.env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert wait_until(lambda: hub.served > 1e6, 20)
    process.send_signal(signal.SIGINT)
    assert "`caravan pull org/repo` goes on from here" in process.communicate(timeout=20)[1]
    assert process.returncode == 1 and wait_until(lambda: home.downloads()[0]["state"] == "paused", 5)


def test_load_of_what_is_not_here_pulls_it(home, hub, repo):
    assert "no model" in home.fails("plan", "org/nothing")
    home.start()
    home.cli("load", "org/repo", "--context", "256")
    assert home.json("ps")[0]["model"] == "org/repo" and home.json("list")[0]["name"] == "org/repo"
    assert "org/none" in home.fails("load", "org/none")


@pytest.mark.parametrize("verb", [["pull"], ["load", "--context", "256"], ["run"]])
def test_who_waits_for_a_pull_sees_how_far_it_is(home, hub, repo, verb):
    hub.rate = 2e6
    read, write = pty.openpty()
    process = subprocess.Popen([CARAVAN, *verb, "org/repo", *["hi"] * (verb == ["run"])], env=home.env, stderr=write,
                               stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    os.close(write)
    shown = ""
    while not re.search(r"\] +\d+ %  .* of .*/s", shown):
        shown += os.read(read, 4096).decode()  # an error once nobody writes any more
    hub.rate = 0
    with contextlib.suppress(OSError):
        while piece := os.read(read, 4096):
            shown += piece.decode()
    process.wait(timeout=60)
    os.close(read)
    assert shown.rpartition("\033[K")[2].count("%") == 0, shown  # the line is taken away


def test_two_who_want_the_same_share_one_pull(home, hub, repo, model):
    hub.rate = 8e6
    home.start()
    names = ["org/repo", "org/repo:Q8_0", "org/repo"]
    pulls = [subprocess.Popen([CARAVAN, "pull", name], env=home.env, stderr=subprocess.PIPE) for name in names]
    assert [pull.wait(timeout=60) for pull in pulls] == [0, 0, 0]
    assert hub.served == model.stat().st_size
    assert {m["name"] for m in home.json("list")} == set(names)


def test_quota(home, hub, repo, model):
    home.start("--disk", "4M")
    error = home.fails("pull", "org/repo")
    assert "--disk allows 4 MiB" in error and hub.served < 1e6
    home.stop()
    home.start("--disk", "1G")
    home.cli("pull", "org/repo")
    home.stop()
    home.start("--disk", "4M")
    home.cli("pull", "org/repo")  # it is here: nothing more is needed


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", path], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_full_disk_keeps_what_came(small_disk, hub, repo, model):
    home = Home(small_disk / "home", hub)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(12 << 20))
    assert "MiB more on the disk" in home.fails("pull", "org/repo")  # told before anything is fetched
    assert hub.served == 0
    filler.unlink()
    hub.rate = 6e6
    home.start()
    home.post("downloads", model="org/repo")
    assert wait_until(lambda: any(d["bytes_done"] > 1e6 for d in home.downloads()), 20)
    with filler.open("wb") as file, pytest.raises(OSError):
        while True:
            file.write(bytes(1 << 20))
            file.flush()
    assert wait_until(lambda: home.downloads()[0]["state"] == "failed", 20)
    assert "disk is full" in home.downloads()[0]["error"]
    filler.unlink()
    held, asked, hub.rate = held_bytes(home), hub.asked, 0
    home.cli("pull", "org/repo")
    assert same(home.json("list")[0]["path"], model)
    assert held > 1e6 and hub.asked - asked <= model.stat().st_size - held
    assert home.stop() == 0


def test_links_in_the_place_of_files_are_not_followed(home, hub, repo, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    folder = home.path / "models/org--repo=m-Q8_0.gguf"
    folder.mkdir(parents=True)
    (folder / "m-Q8_0.gguf").symlink_to(outside)
    assert home.fails("pull", "org/repo")
    assert outside.read_bytes() == b"precious"


def test_a_failed_pull_is_told_until_it_is_tried_again_or_removed(home, hub, repo, model):
    home.start()
    files = hub.repos.pop("org/repo")
    for name in ("org/repo", "org/other"):
        home.fails("pull", name)
    assert [(d["model"], d["state"]) for d in home.downloads()] == [("org/repo", "failed"), ("org/other", "failed")]
    assert all("the hub has no org/" in d["error"] for d in home.downloads())
    home.cli("rm", "org/other")
    assert wait_until(lambda: [d["model"] for d in home.downloads()] == ["org/repo"], 20)
    hub.repos["org/repo"] = files
    home.cli("pull", "org/repo")
    assert [(d["state"], d["error"]) for d in home.downloads()] == [("done", None)]
    assert same(home.json("list")[0]["path"], model)
    home.cli("rm", "org/repo")
    assert home.json("list") == []
    assert wait_until(lambda: home.downloads() == [], 20)


def test_a_model_goes_also_where_a_check_of_it_has_failed(home, hub, repo):
    home.start()
    home.cli("pull", "org/repo")
    (listed,) = home.json("list")
    with open(listed["path"], "r+b") as file:
        file.seek(1_000_000)
        file.write(b"wrong bytes here")
    hub.repos.pop("org/repo")
    home.fails("pull", "org/repo", "--check")
    assert home.downloads()[0]["state"] == "failed"
    home.cli("rm", "org/repo")
    assert wait_until(lambda: home.json("list") == [] and home.downloads() == [], 20)
    assert not list((home.path / "models").iterdir())


def test_a_model_goes_also_where_a_pull_of_it_has_failed(home, hub, repo, tmp_path):
    home.start()
    home.cli("pull", "org/repo")
    path, moved = Path(home.json("list")[0]["path"]), tmp_path / "moved"
    path.rename(moved)
    path.symlink_to(moved)
    home.fails("pull", "org/repo")
    assert home.downloads()[0]["state"] == "failed"
    home.cli("rm", "org/repo")
    assert wait_until(lambda: home.json("list") == [] and home.downloads() == [], 20)
    assert not list((home.path / "models").iterdir()) and moved.exists()


def test_events_tell_of_downloads(home, hub, repo):
    home.start()
    command = ["curl", "-sN", "--unix-socket", str(home.path / "run/socket"), "http://localhost/caravan/v1/events"]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    home.cli("pull", "org/repo")
    for line in watcher.stdout:
        if line.startswith("data: ") and '"downloads"' in line and '"done"' in line:
            break
    watcher.kill()
    watcher.wait()


def test_the_hash_is_what_everybody_gets(model):
    assert hubs.File(model).sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
