"""Rules of the cluster broken on purpose: the simulator must notice each of them.

The cluster and the simulator are compiled once into a temporary folder; for each rule one source file is compiled again
with one line changed, and the seeds must find a violation.
"""
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("src/base", "src/wire", "src/cluster", "tests/sim")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.c"))]
SEEDS = "500"

# what is broken -> file, the rule as it stands, the rule broken
MUTANTS = {
    "memory is promised twice": ("slices.c", "if (bytes <= unused && n->slice_count", "if (n->slice_count"),
    "leases never end": ("slices.c", "if (!node__due(n, s->lease_us)) return;", "if (n) return;"),
    "a job's end is kept from its client": ("jobs.c", "if (!j->orphan) tell_end(n, j->gateway, &end);", "(void)end;"),
    "a silent peer stays": ("peers.c", "if (node__due(n, p->heard_us + silence_us(p)))", "if (false)"),
    "two instances of a model stay": ("instances.c", "if (give_way(n, i)) return;", ""),
    "jobs outlive the link to their coordinator": (
        "jobs.c", "if (j->state != JOB_RUNNING || j->coordinator != coordinator) continue;", "continue;"),
    "another attempt is not where the last one ended": (
        "jobs.c", "j->next += t->count;", "j->next = t->first + t->count - (t->attempt > 1);"),
    "an older part is not counted": ("slices.c", "bytes = bytes > held ? bytes - held : 0;", "bytes = 0;"),
    "an older part stays beside the new one": ("slices.c", "s = drop_older(n, s);", ""),
    "nobody takes over from a lost coordinator": (
        "recovery.c", "bool mine = !n->draining && node__due(n, turn_us);", "bool mine = false;"),
    "a successor keeps the epoch": ("recovery.c", "i->epoch = (struct wire_epoch){++n->epoch_number, n->id};", ""),
    "what failed does not come back": ("recovery.c", "if (i->state == WIRE_FAILED && i->again_us == 0)", "if (false)"),
    "replicas are not grown": ("growing.c", "if (!recovery_grow(n, i)) ", "if (false) "),
    "replicas end each other": ("instances.c", " && !instances_side_by_side(i, mine)", ""),
    "a loss is not minded": ("instances.c", "if (coordinated_here(n, i) && member && !i->planning) {", "if (false) {"),
}


def compile_one(source, out, text=None):
    command = ["cc", "-O1", "-std=gnu11", "-D_GNU_SOURCE", f"-I{ROOT}/src", f"-I{ROOT}/tests/sim", "-c", "-o", str(out)]
    if text is None:
        command.append(str(source))
    else:
        command += [f"-I{source.parent}", "-x", "c", "-"]
    subprocess.run(command, input=text, text=True, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Every source compiled as it stands: source -> object."""
    folder = tmp_path_factory.mktemp("sim")
    outs = [folder / f"{path.parent.name}-{path.stem}.o" for path in SOURCES]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_one, SOURCES, outs))
    return dict(zip(SOURCES, outs))


def link(objects, out):
    subprocess.run(["cc", "-o", str(out), *map(str, objects.values()), "-lm"], check=True, capture_output=True)
    return out


def test_the_rules_hold_as_they_stand(objects, tmp_path):
    result = subprocess.run([link(objects, tmp_path / "sim"), SEEDS], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and result.stdout.endswith(f"{SEEDS} seeds, 0 violations\n"), result.stdout[-2000:]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_noticed(objects, tmp_path, name):
    file, rule, broken = MUTANTS[name]
    source = ROOT / "src/cluster" / file
    text = source.read_text()
    assert text.count(rule) == 1, f"the rule has moved: {rule}"
    mutant = objects | {source: compile_one(source, tmp_path / "mutant.o", text.replace(rule, broken))}
    command = [link(mutant, tmp_path / "sim"), SEEDS, "1", "stop"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1 and "breaks the rule" in result.stdout, "nobody noticed"
