"""Vocabularies from tokenizer.json: the same ids as from the GGUF files that hold the same vocabulary."""
import json
import subprocess
from base64 import b64encode

import pytest

gguf = pytest.importorskip("gguf", reason="gguf-py reads the files here")
np = pytest.importorskip("numpy")

import hf_folder  # noqa: E402
from engine import CARAVAN  # noqa: E402
from test_tokenizers import TOKENIZERS, tokenize  # noqa: E402

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def split(expression):
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}


def steps(*all_steps):
    return {"type": "Sequence", "pretokenizers": list(all_steps)}


PRE = {"gpt-2": BYTES | {"use_regex": True}, "llama-bpe": steps(split(LLAMA3), BYTES),
       "qwen2": steps(split(LLAMA3.replace("{1,3}", "")), BYTES),
       "starcoder": steps({"type": "Digits", "individual_digits": True}, BYTES | {"use_regex": True})}


def contents(path):
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items() if
            name.startswith("tokenizer.")}


def merges_of_scores(tokens, scores, types):
    """As Hugging Face's converter makes them: each way to cut a token in two tokens, in the order of the scores."""
    ids = {t: i for i, t in enumerate(tokens) if types[i] in (NORMAL, USER_DEFINED)}
    cuts = [(-scores[ids[t]], ids[t[:i]], ids[t[i:]], [t[:i], t[i:]]) for t in ids for i in range(1, len(t))
            if t[:i] in ids and t[i:] in ids]
    return [cut[3] for cut in sorted(cuts)]


def tokenizer_json(keys, pre):
    tokens, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    added = [{"id": i, "content": t, "special": types[i] in (CONTROL, UNKNOWN)} for i, t in enumerate(tokens)
             if types[i] in (CONTROL, UNKNOWN, USER_DEFINED)]
    model = {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens) if types[i] != UNUSED}}
    if pre is None:
        model |= {"byte_fallback": True, "unk_token": tokens[0],
                  "merges": merges_of_scores(tokens, keys["tokenizer.ggml.scores"], types)}
        normalizer = [{"type": "Prepend", "prepend": "▁"}] if keys.get("tokenizer.ggml.add_space_prefix", True) else []
        normalizer.append({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})
        return {"added_tokens": added, "model": model, "normalizer": {"type": "Sequence", "normalizers": normalizer}}
    return {"added_tokens": added, "pre_tokenizer": pre, "model": model | {"merges": keys["tokenizer.ggml.merges"]}}


def write(folder, keys, pre, **files):
    config, tensors = hf_folder.small_llama(np.random.default_rng(1), 1, vocab=len(keys["tokenizer.ggml.tokens"]))
    config |= {name: keys[f"tokenizer.ggml.{name}"] for name in ("bos_token_id", "eos_token_id")
               if f"tokenizer.ggml.{name}" in keys}
    modules = hf_folder.unconvert(tensors, gguf.MODEL_ARCH.LLAMA, config)
    return hf_folder.write(folder, config, modules, tokenizer__json=tokenizer_json(keys, pre), **files)


@pytest.mark.skipif(not TOKENIZERS.is_dir(), reason=f"no fixtures at {TOKENIZERS}")
@pytest.mark.parametrize("name", [*PRE, "llama-spm", "phi-3"])
def test_same_ids(name, tmp_path):
    path = TOKENIZERS / f"ggml-vocab-{name}.gguf"
    folder = write(tmp_path / "hf", contents(path), PRE.get(name))
    if name == "llama-bpe":
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        tokenizer["model"]["ignore_merges"] = True
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    cases = json.loads((TOKENIZERS / f"{name}.json").read_text())
    texts = [case["text"] for case in cases["cases"]]
    found = tokenize(folder, texts, False)
    assert list(zip(texts, found)) == list(zip(texts, tokenize(path, texts, False)))


ALPHABET = [chr(i) for i in range(33, 127)] + [chr(i) for i in range(161, 173)] + ["Ġ", "Ċ"]


def small_keys(specials=("<s>", "</s>", "<|im_end|>")):
    tokens = [*specials, *ALPHABET, "he", "ll", "hell", "Ġw"]
    types = [CONTROL] * len(specials) + [NORMAL] * (len(tokens) - len(specials))
    return {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types, "tokenizer.ggml.bos_token_id": 0,
            "tokenizer.ggml.eos_token_id": [1, 2], "tokenizer.ggml.merges": ["h e", "l l", "he ll", "Ġ w"]}


def quantized(folder, out):
    result = subprocess.run([CARAVAN, "quantize", folder, out, "f32"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return contents(out)


def test_what_is_put_around(tmp_path):
    """BOS by the post-processor, ids by name or number, the template of the config or of its own file."""
    keys = small_keys()
    folder = write(tmp_path / "hf", keys, PRE["llama-bpe"], tokenizer_config__json={
        "eos_token": {"content": "<|im_end|>"}, "chat_template": [{"name": "tools", "template": "no"},
                                                                  {"name": "default", "template": "yes"}]})
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = [merge.split() for merge in tokenizer["model"]["merges"]]
    tokenizer["post_processor"] = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}]}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    found = quantized(folder, tmp_path / "made.gguf")
    assert found["tokenizer.ggml.bos_token_id"] == 0 and found["tokenizer.ggml.eos_token_id"] == 2
    assert found["tokenizer.ggml.add_bos_token"] is True and found["tokenizer.ggml.add_eos_token"] is False
    assert found["tokenizer.ggml.pre"] == "llama-bpe" and found["tokenizer.chat_template"] == "yes"
    hell = keys["tokenizer.ggml.tokens"].index("hell")
    assert tokenize(folder, ["hell"], True) == [[0, hell]]
    (folder / "chat_template.jinja").write_text("file")
    assert quantized(folder, tmp_path / "made.gguf")["tokenizer.chat_template"] == "file"


def test_refusals(tmp_path):
    keys = small_keys()
    for what, change in {"Lattice": {"model": {"type": "Lattice"}}, "neither of bytes": {"pre_tokenizer": split("x+")},
                         "no vocab": {"model": {"type": "BPE", "merges": []}}, "merge": {"model": {
                             "type": "BPE", "vocab": {"a": 3}, "merges": ["a"]}}}.items():
        folder = write(tmp_path / "hf", keys, PRE["gpt-2"])
        tokenizer = json.loads((folder / "tokenizer.json").read_text()) | change
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        result = subprocess.run([CARAVAN, "debug", "tokenize", folder], capture_output=True, text=True, input="x")
        assert result.returncode == 1 and what in result.stderr, (what, result.stderr)


def charsmap(replacements):
    """SentencePiece's compiled form: a double array with 256 units for the children of each node, then the texts."""
    nodes, units, texts = {b"": 1}, {}, b""
    for key in replacements:
        for end in range(1, len(key) + 1):
            nodes.setdefault(key[:end], len(nodes) + 1)
    places = {b"": 0} | {key: 256 * nodes[key[:-1]] ^ key[-1] for key in nodes if key}
    for key, number in nodes.items():
        leaf = key in replacements
        units[places[key]] = (places[key] ^ 256 * number) << 10 | leaf << 8 | (key[-1] if key else 0)
        if leaf:
            units[256 * number] = 1 << 31 | len(texts)
            texts += replacements[key] + b"\0"
    array = np.zeros(256 * (len(nodes) + 1), "<u4")
    for place, unit in units.items():
        array[place] = unit
    return np.uint32(array.nbytes).tobytes() + array.tobytes() + texts


def best_way(vocab, text, unknown):
    """Ids of the way with the highest sum, tried from every place; text is normalised already."""
    best = [(0.0, [])] + [None] * len(text)
    lowest = min(score for score in vocab.values()) - 10
    for at in range(len(text)):
        ways = [(t, s) for t, s in vocab.items() if text.startswith(t, at)]
        if text[at] not in vocab:
            ways.append((text[at], lowest))
        for token, score in ways if best[at] else []:
            new = (best[at][0] + score, best[at][1] + [list(vocab).index(token) + 3 if token in vocab else unknown])
            end = at + len(token)
            if best[end] is None or new[0] > best[end][0]:
                best[end] = new
    ids = best[-1][1]
    return [token for i, token in enumerate(ids) if not (token == unknown and i and ids[i - 1] == unknown)]


def test_unigram(tmp_path):
    rng = np.random.default_rng(4)
    words = ["▁", *"abcde", "ab", "abc", "▁a", "▁ab", "cd", "de", "bcd", "▁cde", "aa", "é", "▁é"]
    vocab = {word: float(np.float32(-1 - 9 * rng.random())) for word in words}
    special = ["<pad>", "</s>", "<unk>"]
    compiled = b64encode(charsmap({"Ａ".encode(): b"a", "ⅷ".encode(): b"bcd", b"\t": b" ",
                                                      b"e\xcc\x81": "é".encode()})).decode()
    tokenizer = {
        "added_tokens": [{"id": i, "content": t, "special": True} for i, t in enumerate(special)],
        "model": {"type": "Unigram", "unk_id": 2,
                  "vocab": [[t, 0.0] for t in special] + [list(v) for v in vocab.items()]},
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": compiled}]},
        "pre_tokenizer": steps({"type": "WhitespaceSplit"}, {"type": "Metaspace", "prepend_scheme": "always"}),
        "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}},
                                                                    {"SpecialToken": {"id": "</s>"}}]}}
    config, tensors = hf_folder.small_llama(np.random.default_rng(1), 1, vocab=len(special) + len(vocab))
    folder = hf_folder.write(tmp_path / "hf", config | {"eos_token_id": 1}, hf_folder.unconvert(
        tensors, gguf.MODEL_ARCH.LLAMA, config), tokenizer__json=tokenizer)
    texts = ["".join(rng.choice(list("abcdeé z") + ["ab", "cde"], 12)) for _ in range(60)] + [
        "", "  a  b ", "Ａb ⅷ\te\u0301", "日本a"]
    normal = [t.replace("Ａ", "a").replace("ⅷ", "bcd").replace("e\u0301", "é") for t in texts]
    expected = [best_way(vocab, "".join("▁" + word for word in t.split()), 2) for t in normal]
    assert tokenize(folder, texts[:-4], False) == expected[:-4]
    assert tokenize(folder, texts[-3:], True) == [ids + [1] for ids in expected[-3:]]


def test_wordpiece(tmp_path):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "ab", "##b", "##bc", ",", "e", "日"]
    tokenizer = {"added_tokens": [{"id": i, "content": tokens[i], "special": True} for i in range(4)],
                 "model": {"type": "WordPiece", "vocab": {t: i for i, t in enumerate(tokens)}},
                 "normalizer": {"type": "BertNormalizer", "lowercase": True}}
    config, tensors = hf_folder.small_llama(np.random.default_rng(1), 1, vocab=len(tokens))
    folder = hf_folder.write(tmp_path / "hf", config, hf_folder.unconvert(tensors, gguf.MODEL_ARCH.LLAMA, config),
                             tokenizer__json=tokenizer)
    assert tokenize(folder, ["ABbc", "abb abz,a", " É日日e\u0301 "], True) == [
        [2, 5, 7, 3], [2, 5, 6, 1, 8, 4, 3], [2, 9, 10, 10, 9, 3]]
