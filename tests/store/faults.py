"""A pull through random faults: killed nodes, answers that end, stall or are none, spoilt bytes, a full disk.

    .venv/bin/python tests/store/faults.py [--faults N] [--seed N]

A seed gives the same faults at the same bytes; it is printed. In the end every byte must be right, and few may have
come twice. Bytes that turn wrong before their chunk is hashed are not among the faults: a hub tells the hash of a
whole file alone, so all of it comes again (test_a_wrong_byte_is_noticed). Which chunk of a peer is wrong is known
(test_cluster.py).
"""
import argparse
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from conftest import Home, held_chunks, hubs, shapes, wait_until

RATE = 12e6  # what is in the air when somebody is killed comes twice: not much
AGAIN_MAX = 0.02  # of the bytes may come twice
NAME = "org/repo"
SPARE = 96 << 20  # bytes of the disk beyond the model: a pull leaves 64 MiB free
PROGRESS_S = 90  # a stalled stream is left after 10 s


@contextmanager
def small_disk(path, size):
    """A file system of so many bytes, or why there is none."""
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True,
                             text=True)
    try:
        yield mounted.stderr.strip() if mounted.returncode else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", path], check=True)


class Pull:
    """One model on its way to one home, and what can happen to it."""

    def __init__(self, disk, hub, model, rng):
        self.disk, self.hub, self.model, self.rng = disk, hub, model, rng
        self.size = model.stat().st_size
        self.home = Home(disk / "home", hub)

    def go_on(self):
        if self.home.process is None or self.home.process.poll() is not None:
            self.home.start()
        self.home.post("downloads", model=NAME)

    def state(self):
        (download,) = self.home.downloads()
        return download

    def reach(self, done):
        def reached_or_failed():
            now = self.state()
            return now if now["bytes_done"] >= done or now["state"] == "failed" else None
        found = wait_until(reached_or_failed, PROGRESS_S)
        assert found and found["state"] != "failed", f"no progress to {done}: {found or self.state()}"

    def kill(self):
        self.home.stop(signal.SIGKILL)
        self.go_on()

    def spoil(self):
        """A byte of a hashed chunk changes while nobody looks."""
        self.home.stop(signal.SIGKILL)
        (path,) = (self.home.path / "models").glob("*/*.gguf")
        held = held_chunks(path.with_name(f".{path.name}.map"))
        chunk = max(have for have, _ in held)
        hashed = [i for i, (have, is_hashed) in enumerate(held) if is_hashed and have == chunk]
        with path.open("r+b") as file:
            at = self.rng.choice(hashed) * chunk + self.rng.randrange(chunk)
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))
        self.go_on()

    def fill(self):
        """Something else takes all the disk for a while."""
        filler = self.disk / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 20))
        except OSError:
            pass
        full = wait_until(lambda: self.state()["state"] in ("failed", "done"), PROGRESS_S)
        failed = self.state()
        filler.unlink()
        assert full and (failed["state"] == "done" or re.search(" disk |No space left", failed["error"])), failed
        self.go_on()

    def answer(self, kind):
        status, after = self.rng.choice([429, 500, 503]), self.rng.randrange(1 << 20)
        self.hub.faults.append(hubs.Fault(kind, after, status, retry_after=0))

    def cut(self):
        self.answer("cut")

    def stall(self):
        self.answer("stall")

    def refuse(self):
        self.answer("status")


KINDS = ["kill", "spoil", "fill", "cut", "stall", "refuse"]


def story(disk, model, faults, seed, kinds=KINDS, say=lambda line: None):
    """The part of the bytes that came twice, after so many faults; asserts that every byte is right."""
    rng = random.Random(seed)
    with hubs.Hub(rate=RATE) as hub:
        hub.add(NAME, "m-Q8_0.gguf", model)
        pull = Pull(disk, hub, model, rng)
        try:
            pull.go_on()
            for i in range(faults):
                pull.reach(pull.size * (i + 1) // (faults + 2))
                kind = rng.choice(kinds)
                say(f"{kind} at {pull.state()['bytes_done']}")
                getattr(pull, kind)()
            pull.home.cli("pull", NAME, timeout=300)
            assert Path(pull.home.json("list")[0]["path"]).read_bytes() == model.read_bytes()
            return (hub.served - pull.size) / pull.size
        finally:
            if pull.home.process and pull.home.process.poll() is None:
                pull.home.stop(signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        folder, begin = Path(folder), time.monotonic()
        model = shapes.write_gguf(folder / "m-Q8_0.gguf", layers=15, width=2048, ff=8192, kv=512, vocab=32000)[0]
        size = model.stat().st_size
        with small_disk(folder / "disk", size + SPARE) as why_not:
            kinds = [k for k in KINDS if k != "fill" or not why_not]
            if why_not:
                print(f"no full disks: {why_not}")
            again = story(folder / "disk", model, options.faults, options.seed, kinds, print)
        print(f"{options.faults} faults, {size / 1e6:.0f} MB: every byte is right, {100 * again:.2f} % came twice"
              f" ({time.monotonic() - begin:.0f} s)")
    return 0 if again < AGAIN_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
