"""What is on a node without a pull: the catalog, folders, the caches of other programs, and keeping house."""
import contextlib
import hashlib
import json
import os
import subprocess
import time
import urllib.request
import zipfile
from pathlib import Path

import hanging
import pytest
from conftest import CARAVAN, Home, shapes, wait_until


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model of a megabyte."""
    return shapes.write_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf", layers=2, vocab=256)[0]


def names(home):
    return [model["name"] for model in home.json("list")]


def put(path, model):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.read_bytes())
    return path


def test_the_catalog_tells_where_models_would_fit(home):
    home.start("--memory", "6G")
    (self,) = home.json("nodes")
    offers = {offer["name"]: offer for offer in home.json("list", "--catalog")}
    assert list(offers)[0] == "smollm2:135m" and "deepseek-r1:671b" in offers
    small, big = offers["llama3.2:1b"], offers["llama3.1:405b"]
    assert small["fits"] == [self["id"]] and small["fits_cluster"] and not small["here"]
    assert big["fits"] == [] and not big["fits_cluster"] and big["needs_bytes"] > big["size_bytes"]
    shown = home.cli("list", "--catalog").stdout
    assert "llama3.2:1b" in shown and "1 machine " in shown and "needs 24" in shown


# ---- the caches of other programs ----

def ollama(root, name, model, media="application/vnd.ollama.image.model"):
    """A model as Ollama keeps it; name: "registry.ollama.ai/library/tiny/1b"."""
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    put(root / "blobs" / f"sha256-{digest}", model)
    manifest = root / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    layers = [{"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:" + 64 * "0", "size": 5},
              {"mediaType": media, "digest": f"sha256:{digest}", "size": model.stat().st_size}]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return manifest


def hub_cache(root, repo, file, model, revision="0123abcd", main=True):
    """A file as huggingface_hub keeps it: a link to a blob."""
    folder = root / ("models--" + repo.replace("/", "--"))
    blob = put(folder / "blobs" / hashlib.sha256(model.read_bytes()).hexdigest(), model)
    link = folder / "snapshots" / revision / file
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    if main:
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs/main").write_text(revision)
    return link


def test_caches_are_used_in_place(home, tiny, tmp_path):
    user = home.path
    for name in ("registry.ollama.ai/library/tiny/1b", "registry.ollama.ai/someone/theirs/latest",
                 "hf.co/org/repo/Q8_0"):
        ollama(user / ".ollama/models", name, tiny)
    hub_cache(user / ".cache/huggingface/hub", "org/cached", "sub/tiny-Q4_K_M.gguf", tiny)
    hub_cache(user / ".cache/huggingface/hub", "org/cached", "plain.gguf", tiny)
    hub_cache(user / ".cache/huggingface/hub", "org/cached", "old-Q2_K.gguf", tiny, revision="beef", main=False)
    hub_cache(user / ".cache/huggingface/hub", "org/cached", "mmproj-F16.gguf", tiny)
    put(user / ".lmstudio/models/studio/repo/tiny.Q5_0.gguf", tiny)
    put(user / ".cache/llama.cpp/org_flat_dir_tiny.gguf", tiny)
    put(user / ".cache/llama.cpp/alone.gguf", tiny)
    (user / ".cache/llama.cpp/manifest=org=flat=Q6_K.json").write_text(
        json.dumps({"ggufFile": {"rfilename": "dir/tiny.gguf"}}))
    expected = {"tiny:1b", "someone/theirs:latest", "hf.co/org/repo:Q8_0", "org/cached:Q4_K_M",
                "hf.co/org/cached/plain.gguf", "studio/repo:Q5_0", "org/flat:Q6_K", "alone"}
    assert set(names(home)) == expected
    for model in home.json("list"):
        assert model["read_only"] and Path(model["path"]).exists() and model["architecture"] == "llama"
    home.start()
    for name in ("tiny:1b", "org/cached:q4_k_m", "hf.co/org/flat:Q6_K"):
        home.cli("load", name, "--context", "64")
        home.cli("stop", name)
    assert "read-only" in home.fails("rm", "tiny:1b")
    kinds = {folder["kind"]: folder["models"] for folder in home.json("models", "folders")}
    assert kinds == {"own": 0, "ollama": 3, "hub": 2, "lmstudio": 1, "llamacpp": 2}
    assert not list((user / "models").iterdir())


def test_what_lies_in_a_cache_is_not_pulled_again(home, hub, tiny):
    hub.add("org/cached", "tiny-Q8_0.gguf", tiny)
    hub_cache(home.path / ".cache/huggingface/hub", "org/cached", "tiny-Q8_0.gguf", tiny)
    for name in ("org/cached:Q8_0", "hf.co/org/cached:q8_0"):
        home.cli("pull", name)
    assert hub.requests == [] and not list((home.path / "models").iterdir())
    home.cli("pull", "org/cached")  # whichever is the usual one: that is for the hub to say
    assert hub.requests != []


def test_folders_of_tensors_in_the_hub_cache(home, tiny):
    folder = home.path / ".cache/huggingface/hub/models--org--tensors"
    put(folder / "blobs/weights", tiny)
    (folder / "blobs/config").write_text("{}")
    snapshot = folder / "snapshots/one"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to("../../blobs/weights")
    (snapshot / "config.json").symlink_to("../../blobs/config")
    home.start()
    found = {entry["kind"]: entry["models"] for entry in home.json("models", "folders")}
    assert found["hub"] == 1  # not a model that can be read, but it was taken for what it says it is
    assert "org/tensors" not in names(home)


def test_where_caches_are_is_as_their_programs_say(tmp_path, hub, tiny):
    ollama(tmp_path / "a", "registry.ollama.ai/library/tiny/1b", tiny)
    hub_cache(tmp_path / "b", "org/first", "x-Q8_0.gguf", tiny)
    hub_cache(tmp_path / "c/hub", "org/second", "x-Q8_0.gguf", tiny)
    put(tmp_path / "d/other.gguf", tiny)
    moved = Home(tmp_path / "one", hub, OLLAMA_MODELS=str(tmp_path / "a"), HF_HUB_CACHE=str(tmp_path / "b"),
                 HF_HOME=str(tmp_path / "c"), LLAMA_CACHE=str(tmp_path / "d"))
    assert names(moved) == ["org/first:Q8_0", "other", "tiny:1b"]
    assert names(Home(tmp_path / "two", hub, HF_HOME=str(tmp_path / "c"))) == ["org/second:Q8_0"]


def test_nothing_outside_of_a_cache_is_taken_for_its(home, tiny, tmp_path):
    cache = home.path / ".cache/huggingface/hub/models--org--evil"
    snapshot = cache / "snapshots/one"
    snapshot.mkdir(parents=True)
    (snapshot / "x-Q8_0.gguf").symlink_to(tiny)
    (snapshot / "sub").mkdir()
    (snapshot / "sub/config.json").write_text("{}")
    (snapshot / "sub/model.safetensors").symlink_to(tiny)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text("../../../../..")
    root = home.path / ".ollama/models"
    manifest = ollama(root, "registry.ollama.ai/library/linked/1b", tiny)
    (blob,) = (root / "blobs").iterdir()
    blob.unlink()
    blob.symlink_to(tiny)
    layers = [{"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:../../../{tiny.name}"}]
    (manifest.parent / "2b").write_text(json.dumps({"layers": layers}))
    (manifest.parent / "3b").write_text("[" * 5000)
    assert names(home) == []
    assert {entry["kind"]: entry["models"] for entry in home.json("models", "folders")} == {
        "own": 0, "ollama": 0, "hub": 0}


def test_sizes_that_caches_lie_about(home, tiny):
    """Nobody believes a manifest's size; a file that ends early is told as one."""
    ollamas, flat = home.path / ".ollama/models", home.path / ".cache/llama.cpp"
    good = put(flat / "org_repo_tiny.gguf", tiny)
    for i, size in enumerate((-1, 0, 1 << 62, 0.5, "9")):
        manifest = ollama(ollamas, f"registry.ollama.ai/library/tiny/{i}b", tiny)
        told = json.loads(manifest.read_text())
        told["layers"][1]["size"] = size
        manifest.write_text(json.dumps(told))
        (flat / f"manifest=org=repo=Q{i}.json").write_text(
            json.dumps({"ggufFile": {"rfilename": "tiny.gguf", "size": size}}))
    listed = {model["name"]: model["size_bytes"] for model in home.json("list")}
    assert listed == {name: tiny.stat().st_size for i in range(5) for name in (f"tiny:{i}b", f"org/repo:Q{i}")}
    (blob,) = (ollamas / "blobs").iterdir()
    for path in (blob, good):
        os.truncate(path, 5000)
    assert names(home) == []
    for name in ("tiny:0b", "org/repo:Q0"):
        assert "is the file whole?" in home.fails("show", name)


# ---- folders ----

def test_folders_are_added_and_dropped(home, tiny, tmp_path):
    nas = tmp_path / "nas"
    put(nas / "a/b/deep.gguf", tiny)
    put(nas / "top.gguf", tiny)
    parts = shapes.write_gguf(tmp_path / "split.gguf", layers=3, parts=2)
    for part in parts:
        put(nas / "several" / part.name, part)
    home.start()
    assert names(home) == []
    home.cli("models", "add", str(nas) + "/")
    assert names(home) == ["deep", "split", "top"]
    assert "already" in home.fails("models", "add", nas)
    assert "no folder" in home.fails("models", "add", tmp_path / "none")
    assert "no absolute path" in home.fails("models", "add", "relative/none")
    assert home.fails("models", "drop", tmp_path)
    home.cli("load", "split", "--context", "64")
    assert "read-only" in home.fails("rm", "top") and (nas / "top.gguf").exists()
    home.stop()
    home.start()
    assert names(home) == ["deep", "split", "top"]
    home.cli("models", "drop", nas)
    assert names(home) == [] and (nas / "top.gguf").exists()


def test_the_first_part_means_all_of_them(home, hub, tiny, tmp_path):
    whole = shapes.write_gguf(tmp_path / "w.gguf", layers=3)[0]
    parts = [put(tmp_path / "nas" / part.name, part)
             for part in shapes.write_gguf(tmp_path / "split.gguf", layers=3, parts=3)]
    put(tmp_path / "nas/other.gguf", tiny)  # its folder is no model
    link = tmp_path / "cache" / parts[0].name
    for part in parts:
        link.parent.mkdir(exist_ok=True)
        (link.parent / part.name).symlink_to(put(tmp_path / "blobs" / part.stem[-14:], part))
    tokens = ["--tokens", "1,2,3,4,5"]
    alone = subprocess.run([CARAVAN, "debug", "logits", whole, *tokens], capture_output=True, check=True).stdout
    for first in (parts[0], link):
        assert subprocess.run([CARAVAN, "debug", "logits", first, *tokens], capture_output=True,
                              check=True).stdout == alone
    home.start()
    for first in (parts[0], link):
        shown = home.json("show", first)
        assert [Path(file["path"]).name for file in shown["files"]] == [part.name for part in parts]
        home.cli("pull", first)  # it is here
        home.cli("load", first, "--context", "64")
        assert len(home.json("ps")) == 1
        home.cli("stop", first)
    assert "part 2 of 3: name the first" in home.fails("load", parts[1])
    parts[1].unlink()
    for verb in ("pull", "load", "show"):
        assert "part 2 of 3 is missing" in home.fails(verb, parts[0]), verb
    assert hub.served == 0


def request(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=20) as reply:
        return json.loads(reply.read())


def test_the_page_can_add_a_folder(home, tiny, tmp_path):
    put(tmp_path / "nas/x.gguf", tiny)
    url = f"{home.start().url}/caravan/v1/folders"
    folders = request(url, {"path": str(tmp_path / "nas")})
    assert [(f["kind"], f["models"], f["state"]) for f in folders] == [("own", 0, "ok"), ("added", 1, "ok")]
    assert folders == request(url)
    for wrong in ({"path": "nas"}, {"path": 5}, {}, {"path": str(tmp_path / "no")}):
        with pytest.raises(urllib.error.HTTPError) as error:
            request(url, wrong)
        assert error.value.code in (400, 404) and b"message" in error.value.read()
    assert len(request(f"{url}/rm", {"path": str(tmp_path / "nas")})) == 1


def test_a_mount_that_hangs_hangs_nothing_else(home, tiny, tmp_path):
    put(home.path / "models/here.gguf", tiny)
    dead = tmp_path / "dead"
    dead.mkdir()
    put(dead / "there.gguf", tiny)
    home.start()
    home.cli("models", "add", dead)
    assert names(home) == ["here", "there"]
    with hanging.mount(dead) as end:
        if end is None:
            pytest.skip("nobody may mount here")
        assert names(home) == ["here", "there"]  # as it was last seen
        states = {folder["path"]: folder["state"] for folder in home.json("models", "folders")}
        assert states[str(dead)] == "hangs" and states[str(home.path / "models")] == "ok"
        assert "does not answer" in home.fails("load", "there")
        for _ in range(8):  # more than there are threads in the pool
            assert "does not answer" in home.fails("show", "there")
        home.cli("load", "here", "--context", "64")
        home.cli("rm", "here")
        assert names(home) == ["there"]
        home.cli("models", "drop", dead)
        assert names(home) == []
        assert "does not answer" in home.fails("models", "add", dead)
        end()
        assert home.fails("models", "add", dead)
    assert home.stop() == 0


def test_mounts_that_hang_are_waited_for_together(home, tiny, tmp_path):
    put(home.path / "models/here.gguf", tiny)
    dead = [tmp_path / f"dead{i}" for i in range(5)]
    home.start()
    for i, folder in enumerate(dead):
        put(folder / f"there{i}.gguf", tiny)
        home.cli("models", "add", folder)
    with contextlib.ExitStack() as mounts:
        if None in [mounts.enter_context(hanging.mount(folder)) for folder in dead]:
            pytest.skip("nobody may mount here")
        begin = time.monotonic()
        first = home.cli("list")
        took = time.monotonic() - begin
        assert 2 <= took < 6, took  # not 2 s for each
        for folder in dead:
            assert f"{folder} does not answer" in first.stderr
        assert sum(line.startswith("there") for line in first.stdout.splitlines()) == 5
        begin = time.monotonic()
        assert "does not answer" in home.fails("show", "there3") and "does not answer" in home.cli("list").stderr
        assert time.monotonic() - begin < 2  # it is known by now
    assert wait_until(lambda: home.cli("list").stderr == "", 20)


def test_a_node_starts_where_a_mount_hangs(home, tiny, tmp_path):
    put(home.path / "models/here.gguf", tiny)
    dead = tmp_path / "dead"
    dead.mkdir()
    with hanging.mount(dead) as end:
        if end is None:
            pytest.skip("nobody may mount here")
        home.env["CARAVAN_MODELS"] = str(dead)
        # Looking for leaks stops all threads first, and one that the mount holds does not stop.
        home.env["ASAN_OPTIONS"] = "detect_leaks=0"
        assert names(home) == ["here"]
        subprocess.run([CARAVAN, "debug", "logits", "here", "--tokens", "1,2"], env=home.env, check=True, timeout=60,
                       stdout=subprocess.DEVNULL)
        home.start()
        home.cli("load", "here", "--context", "64")
        assert home.stop() == 0


# ---- files that are none ----

def test_what_poses_as_a_model_is_none(home, tiny, tmp_path):
    folder = home.path / "models"
    put(folder / "good.gguf", tiny)
    with zipfile.ZipFile(folder / "archive.gguf", "w") as archive:
        archive.write(tiny, "tiny.gguf")
    (folder / "empty.gguf").write_bytes(b"")
    (folder / "text.gguf").write_text("GGUF is a format")
    put(folder / "cut.gguf", tiny)
    os.truncate(folder / "cut.gguf", 5000)
    os.mkfifo(folder / "pipe.gguf")
    (folder / "folder.gguf").mkdir()
    put(folder / "two\nlines.gguf", tiny)
    put(folder / "\x1b[31mred.gguf", tiny)
    put(folder / ".hidden.gguf", tiny)
    put(folder / "..gguf", tiny)
    (folder / "up.gguf").symlink_to("../../../../../../../../etc/passwd")
    (folder / "dangling.gguf").symlink_to("nothing")
    (folder / "self.gguf").symlink_to("self.gguf")
    home.start()
    assert names(home) == ["good"]
    assert "GGUF" in home.fails("show", "archive") and "GGUF" in home.fails("show", "text")
    for name in ("empty", "cut", "pipe", "folder", "up", "dangling", "self", "../models/good", "..", "."):
        assert home.fails("show", name).startswith("caravan: "), name
    home.cli("rm", "up")
    assert Path("/etc/passwd").exists() and not (folder / "up.gguf").is_symlink()


def test_a_file_that_changes_is_read_again(home, tiny):
    path = put(home.path / "models/m.gguf", tiny)
    home.start()
    (before,) = home.json("list")
    shapes.write_gguf(path, layers=3, vocab=256)
    assert home.json("list")[0]["parameters"] > before["parameters"]
    path.write_bytes(b"no model")
    assert names(home) == []
    put(path, tiny)
    assert home.json("list")[0]["parameters"] == before["parameters"]


def test_an_index_that_is_broken_is_made_anew(home, tiny):
    put(home.path / "models/m.gguf", tiny)
    assert names(home) == ["m"]
    index = home.path / "index.json"
    for text in ("", "{", "[]", '{"version": 5, "files": 7}', '{"version": "0.1.0", "files": [1, {}, {"path": 3}]}'):
        index.write_text(text)
        assert names(home) == ["m"]


# ---- keeping house ----

def test_show_tells_what_a_model_needs_and_where_it_lies(home, hub, tmp_path):
    model = shapes.write_gguf(tmp_path / "m-Q8_0.gguf", layers=4, width=256, kv=128)[0]
    hub.add("org/repo", "m-Q8_0.gguf", model)
    home.start()
    home.cli("pull", "org/repo")
    shown = home.json("show", "org/repo")
    assert shown["quantization"] == "unknown" and shown["licence"] is None and shown["template"] is None
    assert shown["layers"] == 4 and shown["context_length"] == 2048 and shown["whole"] and shown["loaded"] == []
    (file,) = shown["files"]
    assert file["path"] == shown["path"] and file["size_bytes"] == file["bytes_here"] == model.stat().st_size
    (need,) = shown["needs"]
    assert need["context"] == 2048 and need["bytes"] > 4 * 2048 * 2 * 128 * 2
    home.cli("load", "org/repo", "--context", "64")
    (loaded,) = home.json("show", "org/repo")["loaded"]
    assert loaded["stages"][0]["layers"] == [0, 4]
    text = home.cli("show", "org/repo").stdout
    assert "layers 0 to 3 on node" in text and "2048 tokens of one session" in text


def test_the_licence_comes_from_the_file(home, tmp_path):
    (home.path / "models").mkdir(parents=True)
    shapes.llama_405b(home.path / "models/big.gguf")
    shown = home.json("show", "big")
    assert shown["licence"] == "llama3.1" and "m.content" in shown["template"] and shown["parameters"] > 400e9
    assert [need["context"] for need in shown["needs"]] == [2048, 8192, 32768, 131072]


def test_prune(home, hub, tmp_path):
    models = home.path / "models"
    model = shapes.write_gguf(tmp_path / "m-Q8_0.gguf", layers=6, width=384, ff=1024, vocab=800)[0]
    other = shapes.write_gguf(tmp_path / "o-Q8_0.gguf", layers=6, width=384, ff=1024, vocab=800, seed=2)[0]
    hub.add("org/repo", "m-Q8_0.gguf", model)
    hub.add("org/slow", "o-Q8_0.gguf", other)
    home.start()
    home.cli("pull", "org/repo")
    put(models / "copy.gguf", model)
    put(models / "unlike.gguf", other)
    (models / "nowhere.gguf").symlink_to("nothing")
    (models / "empty").mkdir()
    hub.rate = 100e3
    home.post("downloads", model="org/slow")
    assert wait_until(lambda: any(d["bytes_done"] > 0 for d in home.downloads() if d["model"] == "org/slow"), 20)
    busy = home.json("prune")  # what is under way stays
    assert {Path(r["path"]).name for r in busy["removed"]} == {"nowhere.gguf", "empty"}
    assert [Path(r["path"]).name for r in busy["linked"]] and busy["freed_bytes"] >= model.stat().st_size
    copy, pulled = models / "copy.gguf", Path(home.json("show", "org/repo")["path"])
    assert copy.stat().st_ino == pulled.stat().st_ino and copy.read_bytes() == model.read_bytes()
    assert (models / "unlike.gguf").stat().st_nlink == 1
    home.cli("pull", "org/slow", "--pause")
    dry = home.json("prune", "--dry-run")
    assert [r["why"] for r in dry["removed"]] == ["a pull that was left unfinished"] and dry["linked"] == []
    folder = Path(dry["removed"][0]["path"])
    assert folder.is_dir()
    assert "removed" in home.cli("prune").stdout
    assert wait_until(lambda: not folder.exists(), 20)
    assert names(home) == ["copy", "org/repo", "unlike"]
    assert home.json("prune") == {"removed": [], "linked": [], "freed_bytes": 0, "errors": []}
    home.cli("rm", "org/repo")
    assert copy.read_bytes() == model.read_bytes()


def test_a_home_that_cannot_be_written(home, tiny, tmp_path):
    """A read-only disk: what is there can be used, what cannot be done is told, and nothing is lost."""
    put(home.path / "models/m.gguf", tiny)
    home.start()
    if not read_only(home.path / "models"):
        pytest.skip("nobody may mount here")
    try:
        assert names(home) == ["m"]
        home.cli("load", "m", "--context", "64")
        assert "Read-only file system" in home.fails("rm", "m")
        assert names(home) == ["m"]
    finally:
        subprocess.run(["umount", home.path / "models"], check=True)


def read_only(path):
    """Mount it over itself, read only."""
    if subprocess.run(["mount", "--bind", path, path], capture_output=True).returncode != 0:
        return False
    if subprocess.run(["mount", "-o", "remount,bind,ro", path], capture_output=True).returncode == 0:
        return True
    subprocess.run(["umount", path], check=True)
    return False


def test_two_programs_on_one_home(home, tiny):
    """A second node is refused, and the command line goes to the first."""
    put(home.path / "models/m.gguf", tiny)
    home.start()
    second = subprocess.run([CARAVAN, "serve", "--port", "0"], env=home.env, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and "another node (pid" in second.stderr
    lists = [subprocess.Popen([CARAVAN, "list", "--json"], env=home.env, stdout=subprocess.PIPE) for _ in range(6)]
    for one in lists:
        out, _ = one.communicate(timeout=60)
        assert one.returncode == 0 and [m["name"] for m in json.loads(out)] == ["m"]
