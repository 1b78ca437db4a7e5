"""What tokenizer.json files in the wild do to a text before byte pairs are merged, and texts of many scripts.

With the library `tokenizers` 0.23.3 at hand `hf_pre.py` writes hf_pre.json anew: a checksum of the ids of each text."""
import collections
import functools
import json
import random
import zlib
from pathlib import Path

EXPECTED = Path(__file__).with_suffix(".json")
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
GPT2 = BYTES | {"use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
END = r"|\s+(?!\S)|\s+"
CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PREFIX = r"[^\r\n\p{L}\p{N}]?"
CL100K = CONTRACTION + "|" + PREFIX + r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+" + END
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def cased(contraction, digits):
    return (f"{PREFIX}{UPPER}*{LOWER}+{contraction}|{PREFIX}{UPPER}+{LOWER}*{contraction}|{digits}"
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+" + END)


def split(expression, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": behavior, "invert": invert}


def steps(*all_steps):
    return {"type": "Sequence", "pretokenizers": list(all_steps)}


BLOOM = split(r" ?[^(\s|[.,!?…。，、।۔،])]+")
POSSESSIVE = PREFIX + r"+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]" + END
ASCII_SIGNS = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"
PRE = {
    "gpt-2": GPT2, "bytes": BYTES, "starcoder": steps(DIGITS, GPT2), "llama-3": steps(split(CL100K), BYTES),
    "qwen-2": steps(split(CL100K.replace("{1,3}", "")), BYTES),
    "qwen-3.5": steps(split(CL100K.replace("{1,3}", "").replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(
        r"\s\p{L}\p{N}", r"\s\p{L}\p{M}\p{N}")), BYTES),
    "gpt-4o": steps(split(cased(CONTRACTION + "?", r"\p{N}{1,3}")), BYTES),
    "tekken": steps(split(cased("", r"\p{N}")), BYTES),
    "phi-4": steps(split(CONTRACTION + "|" + POSSESSIVE, "Removed", True), BYTES),
    "ling": steps(split("'(?i:[sdmt]|ll|ve|re)|" + POSSESSIVE.replace("{1,3}", "")), BYTES),
    "seed-coder": steps(split("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|" + PREFIX +
                              r"\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+" + END), BYTES),
    "deepseek-v3": steps(split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"), split(
        ASCII_SIGNS + r"[A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+" +
        END), BYTES),
    "deepseek-coder": steps(split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"),
                            split("[一-龥ࠀ-一가-\ud7ff]+"), DIGITS, BYTES),
    "deepseek-llm": steps(split(r"[\r\n]"), split("\\s?[A-Za-zµÀ-ÖØ-öø-ƺͰ-ͳͶͷΑ-ώА-я]+"), split(
        "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+"), split(r"\s+$"), split("[一-龥ࠀ-一가-\ud7ff]+"), DIGITS, BYTES),
    "falcon": steps({"type": "Punctuation", "behavior": "Contiguous"}, GPT2,
                    {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")),
    "bloom": steps(BLOOM, BYTES), "viking": steps(BLOOM, DIGITS, BYTES),
    "superbpe": steps(split(r"\p{N}+"), split(r"(?=(\d{3})+(?!\d))"), BYTES),
    "chameleon": steps(split("<sentinel:[0-9]+>"), split("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"),
                       split(r"([\t\n]|    |  )"), split(r"\p{N}"), {"type": "Punctuation", "behavior": "Isolated"},
                       GPT2),
    "youtu": steps(split("[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+"),
                   split(PREFIX + r"[\p{L}\p{M}]+(?i:'s|'t)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+" + END),
                   BYTES),
    "scripts": steps(split(r"[\p{Han}\u3040-\u30ff]+|[^\p{Han}\s]+|\s+"), BYTES),
    "whitespace": steps({"type": "Whitespace"}, BYTES), "white space apart": steps({"type": "WhitespaceSplit"}, BYTES),
    "previous": steps(split(" ", "MergedWithPrevious"), BYTES), "next": steps(split(r"[\s.]", "MergedWithNext"), BYTES),
    "contiguous": steps(split(r"[\s\d]", "Contiguous"), BYTES), "removed": steps(split("[,.]+", "Removed"), BYTES),
    "inverted": steps(split(r"\p{L}+", "MergedWithPrevious", True), BYTES),
    "text": steps({"type": "Split", "pattern": {"String": "a."}, "behavior": "Isolated", "invert": False}, BYTES),
    "signs before": steps({"type": "Punctuation", "behavior": "MergedWithPrevious"}, BYTES),
    "signs behind": steps({"type": "Punctuation", "behavior": "MergedWithNext"}, GPT2),
}
NORMALIZERS = {
    "nfc": {"type": "NFC"}, "nfd": {"type": "NFD"}, "nfkd": {"type": "NFKD"}, "strip": {
        "type": "Strip", "strip_left": True, "strip_right": True},
    "nfkc, strip left": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {
        "type": "Strip", "strip_left": True, "strip_right": False}]},
    "replace, prepend": {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {
        "String": "``"}, "content": '"'}, {"type": "Prepend", "prepend": " x"}]},
}
SPECIALS = [{"content": "<s>"}, {"content": "</s>"}, {"content": "<|user|>", "rstrip": True},
            {"content": "<mask>", "lstrip": True}, {"content": "<tool>", "special": False}]
RANGES = [(0x20, 0x7e)] * 6 + [
    (0x9, 0xd), (0x80, 0xff), (0x100, 0x24f), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x4ff), (0x590, 0x5ff),
    (0x600, 0x6ff), (0x900, 0x97f), (0xe00, 0xe7f), (0x1100, 0x11ff), (0x1e00, 0x1eff), (0x2000, 0x206f),
    (0x2070, 0x209f), (0x2160, 0x218f), (0x2460, 0x24ff), (0x3000, 0x30ff), (0x4e00, 0x4e80), (0xac00, 0xad00),
    (0xfb00, 0xfb4f), (0xff00, 0xffef), (0x1d400, 0x1d7ff), (0x1f300, 0x1f64f), (0x10400, 0x1044f), (0x180a, 0x180e)]
ODD = [" ", "  ", "\n", "\r\n", "'s", "'LL", "'ſ", " 123456", "a.", "``", "IMGIMGABZ", "\t", "\xa0", "\u3000", "\u180e",
       "\x85", "e\u0301", "Ⅷ", "½", "२३४", "İstanbul", "ǅ", "don't", "WE'RE", " I'M", "\u200b", "\ufeff"]


def random_text(rng, runs):
    out = ""
    for _ in range(runs):
        first, last = rng.choice(RANGES)
        out += "".join(chr(rng.randint(first, last)) for _ in range(rng.randrange(1, 6)))
        out += rng.choice(ODD) if rng.random() < 0.5 else ""
    return out


def texts():
    rng = random.Random(7)
    plain = [random_text(rng, rng.randrange(1, 16)) for _ in range(50)]
    plain += ["hello world", " hello", "  a  b  ", " ", "\n x", ""]
    marked = [f"{random_text(rng, 3)} <|user|> \n{random_text(rng, 2)} \u3000<mask> {random_text(rng, 1)}<tool> x"
              for _ in range(10)]
    return plain + marked


def alphabet():
    """The characters of byte-level BPE, by byte."""
    kept = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = [b for b in range(256) if b not in kept]
    return {b: chr(b) for b in kept} | {b: chr(0x100 + i) for i, b in enumerate(others)}


@functools.cache
def merges(raw):
    """The most frequent pairs of the texts as a whole, so that words show that end within one."""
    characters = alphabet()
    lines = [list(text.replace(" ", "▁")) if raw else [characters[b] for b in text.encode()] for text in texts()]
    found = []
    while len(found) < 200:
        pairs = collections.Counter(pair for line in lines for pair in zip(line, line[1:]))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        found.append(best)
        for line in lines:
            for i in range(len(line) - 1, 0, -1):
                if i < len(line) and (line[i - 1], line[i]) == best:
                    line[i - 1:i + 1] = ["".join(best)]
    return found


def tokenizer_json(pre, normalizer=None, ignore_merges=False):
    joined = [list(pair) for pair in merges(raw=False)]
    tokens = list(dict.fromkeys([t["content"] for t in SPECIALS] + sorted(alphabet().values()) +
                                ["".join(pair) for pair in joined]))
    added = [{"id": i, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} | t
             for i, t in enumerate(SPECIALS)]
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": ignore_merges,
             "vocab": {t: i for i, t in enumerate(tokens)}, "merges": joined}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer,
            "pre_tokenizer": pre, "post_processor": None, "decoder": BYTES, "model": model}


def metaspace(scheme, cuts):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cuts}


SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
RAW = {  # normalizer, pre-tokenizer
    "prepended": ([{"type": "Prepend", "prepend": "▁"}, SPACES], None),
    "gemma": ([SPACES], {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
                         "invert": False}),
    "first": ([], metaspace("first", False)), "always": ([], metaspace("always", False)),
    "never": ([], metaspace("never", True)), "first, cut": ([], metaspace("first", True)),
    "nfkc, prepended": ([{"type": "NFKC"}, {"type": "Prepend", "prepend": "▁"}, SPACES], None),
    "stripped": ([{"type": "Strip", "strip_left": True, "strip_right": True}, SPACES], None),
    "digits, cut": ([], steps(DIGITS, metaspace("first", True))),
}


def raw_json(normalizers, pre):
    """BPE over characters, which falls back on bytes."""
    joined = [list(pair) for pair in merges(raw=True)]
    characters = sorted({c for pair in joined for c in "".join(pair)} | {chr(i) for i in range(33, 127)} | {"▁"})
    tokens = list(dict.fromkeys(["<unk>"] + [t["content"] for t in SPECIALS] + [f"<0x{i:02X}>" for i in range(256)] +
                                characters + ["".join(pair) for pair in joined]))
    made = tokenizer_json(pre, {"type": "Sequence", "normalizers": normalizers})
    made["added_tokens"] = [t | {"id": t["id"] + 1} for t in made["added_tokens"]]
    made["model"] |= {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "merges": joined,
                      "vocab": {t: i for i, t in enumerate(tokens)}}
    return made | {"decoder": None}


UNIGRAM = {  # normalizer, pre-tokenizer
    "words": ([], steps({"type": "WhitespaceSplit"}, metaspace("always", True))),
    "squeezed": ([{"type": "Strip", "strip_left": False, "strip_right": True}, {
        "type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}], metaspace("always", True)),
    "first": ([{"type": "NFC"}], metaspace("first", False)), "never": ([], metaspace("never", True)),
    "small": ([{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}], metaspace("always", True)),
    "digits": ([], steps(metaspace("always", True), DIGITS)),
}


def unigram_json(normalizers, pre, fallback):
    """The tokens of raw BPE, each with a score of its own."""
    made = raw_json(normalizers, pre)
    scores = [[token, -2 - i / 64] for token, i in made["model"]["vocab"].items()]
    return made | {"model": {"type": "Unigram", "unk_id": 0, "vocab": scores, "byte_fallback": fallback}}


def cases():
    for name, pre in PRE.items():
        yield name, tokenizer_json(pre)
    for name, normalizer in NORMALIZERS.items():
        yield name, tokenizer_json(GPT2, normalizer)
    yield "ignore merges", tokenizer_json(GPT2, ignore_merges=True)
    for name, (normalizers, pre) in RAW.items():
        yield name, raw_json(normalizers, pre)
    for name, (normalizers, pre) in UNIGRAM.items():
        yield f"unigram, {name}", unigram_json(normalizers, pre, False)
        yield f"unigram, {name}, bytes", unigram_json(normalizers, pre, True)


def checksum(ids):
    return f"{zlib.crc32(json.dumps(ids).encode()):08x}"


def main():
    from tokenizers import Tokenizer
    found = {name: [checksum(e.ids) for e in Tokenizer.from_str(json.dumps(made)).encode_batch(
        texts(), add_special_tokens=False)] for name, made in cases()}
    EXPECTED.write_text("{\n" + ",\n".join(f"{json.dumps(n)}: {json.dumps(v)}" for n, v in found.items()) + "\n}\n")


if __name__ == "__main__":
    main()
