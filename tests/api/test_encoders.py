"""Encoding models of the BERT kind: embeddings as NumPy computes them, and nothing else."""
import json
import random
import urllib.error
import urllib.request

import numpy as np
import ollama
import openai
import pytest

from conftest import Node
from encoder_model import CONTEXT, FIRST, MEAN, TRAITS, Encoder, Gemma, Modern, Plain, hf_folder, vocabulary
from test_two_homes import states, wait_for

ENCODERS = {"bert-mean": Encoder("bert", MEAN), "bert-first": Encoder("bert", FIRST, seed=2),
            "nomic": Encoder("nomic-bert", MEAN), "xlm": Encoder("bert", FIRST, seed=3, words="unigram"),
            "modern": Modern(), "modern-silu": Modern("silu"), "eurobert": Plain("eurobert"),
            "nomic-moe": Encoder("nomic-bert-moe", MEAN)}
ALL = ENCODERS | {"gemma": Gemma(), "llama-embed": Plain("llama-embed")}
ALL |= {name: Encoder(name, MEAN) for name in TRAITS if name.startswith("jina")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    for name, encoder in ALL.items():
        encoder.write(folder / f"{name}.gguf")
    for name, encoder in ENCODERS.items():
        encoder.write_folder(folder / f"{name}-folder")
    return folder


@pytest.fixture(scope="module")
def node(tmp_path_factory, folder):
    node = Node(tmp_path_factory.mktemp("home"), "--threads", "2")
    node.env["CARAVAN_MODELS"] = str(folder)
    node.start()
    yield node
    assert node.stop() == 0


def ids(length, seed=0):
    return random.Random(length * 1000 + seed).choices(range(5, len(vocabulary())), k=length)


def embed(node, model, texts):
    return [item.embedding for item in node.client().embeddings.create(model=model, input=texts).data]


@pytest.mark.parametrize("name", ALL)
def test_as_numpy_computes_them(node, name):
    texts = [ids(length) for length in (1, 2, 7, 61, 130, 512, CONTEXT)]
    for tokens, found in zip(texts, embed(node, name, texts)):
        # Many tokens hide rounding, but not the tanh form of GELU.
        limit = 3e-5 if name.startswith("bert") and len(tokens) > 500 else 1e-3
        assert np.abs(np.array(found) - ALL[name].embed(tokens)).max() < limit, len(tokens)


def test_a_text_is_cut_as_bert_does_it(node):
    pieces = "[CLS] ▁the ▁cat s ▁sat [UNK] ▁c a f e ▁! [SEP]".split()
    tokens = [vocabulary().index(piece) for piece in pieces]
    reply = node.client().embeddings.create(model="bert-mean", input="The CATS sat λ Café!")
    assert reply.usage.prompt_tokens == len(tokens)
    assert np.abs(np.array(reply.data[0].embedding) - ENCODERS["bert-mean"].embed(tokens)).max() < 1e-3


def test_a_text_is_cut_as_xlm_roberta_does_it(node):
    pieces = "<s> \u2581the \u2581cat s \u2581sat <unk> \u2581do ing </s>".replace("do ", "d o ").split()
    tokens = [vocabulary("unigram").index(piece) for piece in pieces]
    reply = node.client().embeddings.create(model="xlm", input="the cats  sat\u03bb doing")
    assert reply.usage.prompt_tokens == len(tokens)
    assert np.abs(np.array(reply.data[0].embedding) - ENCODERS["xlm"].embed(tokens)).max() < 1e-3


@pytest.mark.parametrize("name", ENCODERS)
def test_a_folder_is_as_good_as_a_file(node, name, folder):
    texts = ["The cats sat on the mat!", "a dog"]
    assert embed(node, f"{name}-folder", texts) == embed(node, name, texts)
    node.cli("stop", f"{name}-folder")


def test_a_folder_must_say_from_which_positions(node, tmp_path):
    Encoder("bert", MEAN).write_folder(tmp_path / "model")
    (tmp_path / "model/1_Pooling/config.json").unlink()
    result = node.cli("plan", tmp_path / "model", check=False)
    assert result.returncode == 1 and "1_Pooling/config.json" in result.stderr


def test_a_folder_that_sees_both_sides_is_no_decoder(node, tmp_path):
    config = {"model_type": "gemma3_text", "use_bidirectional_attention": True, "num_hidden_layers": 1}
    hf_folder.write(tmp_path / "model", config, {"norm.weight": np.ones(8, np.float32)})
    result = node.cli("plan", tmp_path / "model", check=False)
    assert result.returncode == 1 and "use_bidirectional_attention is not supported" in result.stderr


def test_the_same_bits_alone_in_company_and_on_one_thread(node, tmp_path, folder):
    texts = [ids(length, seed) for seed in range(6) for length in (3, 90, 300)]
    together = {name: embed(node, name, texts) for name in ALL}
    again = {name: [embed(node, name, [text])[0] for text in texts] for name in ALL}
    assert again == together
    one = Node(tmp_path, "--threads", "1")
    one.env["CARAVAN_MODELS"] = str(folder)
    one.start()
    assert {name: embed(one, name, texts) for name in ALL} == together
    assert one.stop() == 0


def test_the_same_bits_from_a_ring(node, tmp_path, folder):
    one, two = Node(tmp_path / "one", "--name", "one"), Node(tmp_path / "two", "--name", "two")
    one.env["CARAVAN_MODELS"] = two.env["CARAVAN_MODELS"] = str(folder)
    two.cli("join", one.cli("code").stdout.strip())
    one.start()
    two.flags += ["--peer", "127.0.0.1:" + one.json("nodes")[0]["address"].rpartition(":")[2]]
    two.start()
    wait_for(lambda: states(one) == states(two) == {"one": "up", "two": "up"}, 20)
    one.cli("load", "nomic", "--nodes", "2", "--split", "pipeline")
    texts = [ids(length, seed) for seed in range(3) for length in (3, 90, CONTEXT)]
    assert embed(two, "nomic", texts) == embed(node, "nomic", texts)
    assert one.cli("plan", "nomic", "--nodes", "2", "--split", "tensor", check=False).returncode == 1
    assert one.stop() == two.stop() == 0


def test_a_text_that_begins_like_another_is_not_taken_for_it(node):
    long, short = ids(200), ids(200)[:130]
    embed(node, "nomic", [long])
    assert np.abs(np.array(embed(node, "nomic", [short])[0]) - ENCODERS["nomic"].embed(short)).max() < 1e-3


def test_ollama(node):
    client = ollama.Client(host=f"http://127.0.0.1:{node.port}")
    shown = client.show("nomic")
    assert shown.capabilities == ["embedding"]
    several = client.embed(model="nomic", input=["the cat", "a dog"])
    assert len(several.embeddings) == 2 and np.linalg.norm(several.embeddings[0]) == pytest.approx(1, abs=1e-6)
    assert client.embeddings(model="nomic", prompt="a dog").embedding == pytest.approx(several.embeddings[1], abs=1e-6)


def test_who_wants_words_is_told_what_the_model_does(node):
    with pytest.raises(openai.BadRequestError, match="makes embeddings, it does not write") as caught:
        node.client().chat.completions.create(model="bert-mean", messages=[{"role": "user", "content": "hello"}])
    assert caught.value.param == "model"
    with pytest.raises(openai.BadRequestError, match="makes embeddings"):
        node.client().completions.create(model="bert-mean", prompt="hello")
    request = urllib.request.Request(f"http://127.0.0.1:{node.port}/v1/messages", method="POST", data=json.dumps(
        {"model": "nomic", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}).encode())
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 400 and b"makes embeddings" in refused.value.read()
    result = node.cli("debug", "logits", node.env["CARAVAN_MODELS"] + "/nomic.gguf", "--tokens=1", check=False)
    assert result.returncode == 1 and "makes embeddings, not text" in result.stderr


def test_a_text_that_is_too_long_is_an_error_with_both_numbers(node):
    with pytest.raises(openai.BadRequestError, match=f"{CONTEXT + 1} tokens.* {CONTEXT}"):
        node.client().embeddings.create(model="bert-first", input=[ids(CONTEXT + 1)])


def test_a_text_is_cut_for_who_asks_for_it(node):
    client = ollama.Client(host=f"http://127.0.0.1:{node.port}")
    text = "cat " * (CONTEXT + 100)
    with pytest.raises(ollama.ResponseError, match=f"{CONTEXT + 102} tokens"):
        client.embed(model="bert-mean", input=text)
    cut = client.embed(model="bert-mean", input=text, truncate=True)
    tokens = [vocabulary().index(piece) for piece in ["[CLS]", *["\u2581cat"] * (CONTEXT - 2), "[SEP]"]]
    assert cut.prompt_eval_count == CONTEXT
    assert np.abs(np.array(cut.embeddings[0]) - ENCODERS["bert-mean"].embed(tokens)).max() < 1e-3


def test_what_a_file_lacks_is_named(node, tmp_path):
    for missing in ("position_embd.weight", "token_embd_norm.weight", "blk.2.layer_output_norm.weight"):
        encoder = Encoder("bert", MEAN)
        tensors = encoder.tensors()
        del tensors[missing]
        encoder.tensors = lambda: tensors
        encoder.write(tmp_path / "lacks.gguf")
        result = node.cli("plan", tmp_path / "lacks.gguf", check=False)
        assert result.returncode == 1 and missing.rpartition(".2.")[2].split(".")[0] in result.stderr
