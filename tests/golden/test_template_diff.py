"""Templates and expressions against Jinja2 itself, set up as transformers does it: same text, or an error from both."""
import datetime
import json
import random
import subprocess
from pathlib import Path

import pytest

jinja2 = pytest.importorskip("jinja2", reason="Jinja2 is the truth here")
from jinja2 import nodes  # noqa: E402
from jinja2.ext import Extension  # noqa: E402
from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: E402

CARAVAN = Path(__file__).resolve().parent.parent.parent / "build/caravan"
NOW = "2026-11-22T10:30:05"
VARIABLES = {
    "s": "Hello, World", "empty": "", "space": "  \tpadded\n ", "multi": "one\ntwo\n\nthree", "uni": "Grüße 日本 ß 🦙",
    "quote": "it's \"so\"", "csv": "a,b,,c", "i": 7, "z": 0, "neg": -3, "f": 2.5, "big": 1e20, "tiny": 0.00001,
    "t": True, "no": False, "none_": None, "l": [3, 1, 2], "words": ["pear", "Apple", "fig", "apple"],
    "mixed": [1, "two", None, 2.0, True, [1], {"k": "v"}], "d": {"b": 2, "a": 1, "C": 3},
    "nested": {"x": {"y": [10, {"z": "deep"}]}}, "html": "<a href='x'>&</a>", "items_": {"items": 1, "keys": 2},
    "people": [{"name": "Bo", "age": 30, "tags": ["x"]}, {"name": "al", "age": 25},
               {"name": "Cy", "age": 30, "tags": []}],
    "tree": [{"n": 1, "c": [{"n": 2, "c": []}]}, {"n": 3, "c": []}],
}


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


ENVIRONMENT = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                            extensions=[Generation, jinja2.ext.loopcontrols])
ENVIRONMENT.filters["tojson"] = tojson
ENVIRONMENT.globals |= {"raise_exception": raise_exception,
                        "strftime_now": lambda form: datetime.datetime.fromisoformat(NOW).strftime(form)}


def expected(template):
    """The text, or None for any error."""
    try:
        return ENVIRONMENT.from_string(template).render(**VARIABLES, add_generation_prompt=True)
    except Exception:
        return None


def rendered(template):
    request = json.dumps(VARIABLES | {"template": template, "now": NOW}).encode()
    result = subprocess.run([CARAVAN, "debug", "template"], input=request, capture_output=True, timeout=20)
    assert result.returncode in (0, 1), result.stderr
    return result.stdout.decode() if result.returncode == 0 else None


def check(template):
    assert rendered(template) == expected(template), template


# One template per line: each alone, and neighbours together as templates of several lines.
LINES = (Path(__file__).parent / "templates.txt").read_text().splitlines()


@pytest.mark.parametrize("template", LINES)
def test_one_line(template):
    check(template)


def test_neighbouring_lines_together():
    for size in (2, 3, 4):
        for at in range(0, len(LINES) - size):
            template = "\n".join(LINES[at:at + size])
            if expected(template) is not None:
                check(template)


# No literals alone: Jinja computes what is constant beforehand, by rules of its own.
WORDS = ["s", "i", "f", "l", "d", "t", "none_", "missing", "words", "people", "uni", "empty", "neg", "z", "mixed",
         "nested", "csv", "big", "no", "html", "[i, 'a']", "{'k': f}", "(1, i)", "range(i)"]
FILTERS = ["upper", "lower", "trim", "length", "list", "first", "last", "join('-')", "string", "int", "float", "abs",
           "title", "capitalize", "reverse", "sort", "unique", "sum", "min", "max", "default('D')",
           "default('D', true)", "tojson", "replace('a', 'b')", "round(1)", "items", "dictsort", "map('string')",
           "select", "reject('none')", "batch(2)", "map(attribute='name')", "selectattr('age', 'gt', 26)",
           "indent(2)", "wordcount", "count", "slice(2)"]
TESTS = ["defined", "none", "string", "number", "mapping", "sequence", "iterable", "true", "odd", "even", "integer",
         "float", "boolean", "undefined", "eq 1", "in [1, 's', none]", "divisibleby 2", "callable", "gt 1", "lower"]
METHODS = ["upper()", "strip()", "split(',')", "items()", "get('a')", "keys() | list", "startswith('H')", "name",
           "x.y", "format(1)", "title()", "splitlines()", "index(1)", "count('l')", "a", "0"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
INDEXES = ["0", "-1", "1:", ":2", "::-1", "'a'", "'name'", "5", "1:3", "::2", "-2:"]


def expression(rng, depth):
    kind = rng.randrange(9) if depth > 0 else 0
    inner = lambda: expression(rng, depth - 1)  # noqa: E731
    if kind == 0:
        return rng.choice(WORDS)
    if kind in (1, 2):
        return f"({inner()} {rng.choice(OPERATORS)} {inner()})"
    if kind == 3:
        return f"({inner()} | {rng.choice(FILTERS)})"
    if kind == 4:
        return f"({inner()} is {rng.choice(['', 'not '])}{rng.choice(TESTS)})"
    if kind == 5:
        return f"({inner()}).{rng.choice(METHODS)}"
    if kind == 6:
        return f"({inner()})[{rng.choice(INDEXES)}]"
    if kind == 7:
        return f"({inner()} if {inner()} else {inner()})"
    return f"[{inner()}, {inner()}]" if rng.random() < 0.5 else f"(not {inner()})"


def comparable(text):
    """Python prints addresses of objects and has integers without bounds: neither is for templates."""
    return text is None or ("t 0x" not in text.lower() and "built-in" not in text and "bound method" not in text
                            and "<function" not in text and "<class" not in text and "e+" not in text)


@pytest.mark.parametrize("seed", range(40))
def test_random_expressions(seed):
    rng = random.Random(seed)
    for _ in range(5):
        parts = ["{{ " + expression(rng, 3) + " }}" for _ in range(12)]
        good = [p for p in parts if expected(p) is not None and comparable(expected(p))]
        check("|".join(good))
        for part in parts:
            if comparable(expected(part)) and part not in good:
                check(part)
                break
