"""Small encoders with random weights, as their GGUF files, and what they make of a text, computed with NumPy.

BERT as Devlin et al. have it (arXiv:1810.04805), with GELU by the error function; Nomic BERT with rotations,
gates and no biases (arXiv:2402.01613), later with every second layer a mixture (arXiv:2502.07972); Jina's with ALiBi to
both sides and gates (arXiv:2310.19923), later with rotations (arXiv:2409.10173). RoBERTa (arXiv:1907.11692) and XLM-R
(arXiv:1911.02116) are BERTs whose words are cut in other ways, and whose folders keep rows for padding in front of
their positions."""
import json
import math
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gguf
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))
import hf_folder  # noqa: E402

EMBD, HEADS, LAYERS, FF, CONTEXT = 64, 4, 3, 128, 1500
EPSILON, ROPE_BASE = 1e-12, 1000.0
EXPERTS, EXPERTS_USED = 8, 2
# What tells the kin of BERT apart.
TRAITS = {"bert": {"positions", "biases"}, "nomic-bert": {"rotates", "gated", "fused"},
          "nomic-bert-moe": {"rotates", "biases", "fused", "experts"}, "jina-bert-v2": {"leans", "biases", "gated"},
          "jina-bert-v3": {"rotates", "biases", "fused"}}
MEAN, FIRST = gguf.PoolingType.MEAN, gguf.PoolingType.CLS

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)] + [str(d) for d in range(10)] + list(".,!?'\"-()")
WORDS = ["the", "cat", "dog", "sat", "on", "mat", "of", "and", "in", "house", "sun"]


# Hugging Face's names of what GGUF calls otherwise.
BERT_NAMES = {
    "token_embd": "embeddings.word_embeddings", "token_types": "embeddings.token_type_embeddings",
    "position_embd": "embeddings.position_embeddings", "token_embd_norm": "embeddings.LayerNorm",
    "blk": "encoder.layer", "attn_q": "attention.self.query", "attn_k": "attention.self.key",
    "attn_v": "attention.self.value", "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm", "ffn_up": "intermediate.dense", "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm"}
MODERN_NAMES = {
    "token_embd": "embeddings.tok_embeddings", "token_embd_norm": "embeddings.norm", "output_norm": "final_norm",
    "blk": "layers", "attn_qkv": "attn.Wqkv", "attn_output": "attn.Wo", "ffn_norm": "mlp_norm", "ffn_up": "mlp.Wi",
    "ffn_down": "mlp.Wo"}
NOMIC_NAMES = BERT_NAMES | {
    "token_embd_norm": "emb_ln", "blk": "encoder.layers", "attn_qkv": "attn.Wqkv", "attn_output": "attn.out_proj",
    "attn_output_norm": "norm1", "ffn_up": "mlp.fc11", "ffn_gate": "mlp.fc12", "ffn_down": "mlp.fc2",
    "layer_output_norm": "norm2"}
NOMIC_MOE_NAMES = NOMIC_NAMES | {
    "ffn_up": "mlp.fc1", "ffn_gate_inp": "mlp.router.layer", "ffn_up_exps": "mlp.experts.mlp.w1",
    "ffn_down_exps": "mlp.experts.mlp.w2"}
EURO_NAMES = {
    "token_embd": "embed_tokens", "output_norm": "norm", "blk": "layers", "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"} | {f"attn_{c}": f"self_attn.{c}_proj" for c in "qkv"}


def vocabulary(words="wordpiece"):
    """As a converter writes them: what begins a word begins with U+2581. Of the same size whatever the words are."""
    begin = [f"\u2581{piece}" for piece in [*LETTERS, *WORDS]]
    plain = begin + LETTERS + ["ing", "ed"]
    if words == "wordpiece":
        return SPECIALS + plain
    return ROBERTA_SPECIALS + plain


def scores(tokens):
    """The longer, the likelier."""
    return [-20.0 + len(token) for token in tokens]


def renamed(tensors, names):
    return {".".join(names.get(part, part) for part in name.split(".")): value for name, value in tensors.items()}


def random_matrix(rng, rows, columns):
    return (rng.standard_normal((rows, columns)) * 1.5 / np.sqrt(columns)).astype(np.float32)


def of_layer(tensors, layer):
    front = f"blk.{layer}."
    return {name[len(front):]: value for name, value in tensors.items() if name.startswith(front)}


def finish(writer, tensors):
    for name, value in tensors.items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_pooling(path, pooling):
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling/config.json").write_text(json.dumps(
        {"pooling_mode_cls_token": pooling == FIRST, "pooling_mode_mean_tokens": pooling == MEAN}))


@dataclass
class Encoder:
    architecture: str
    pooling: gguf.PoolingType
    seed: int = 1
    words: str = "wordpiece"  # or "unigram"

    def has(self, trait):
        return trait in TRAITS[self.architecture]

    @property
    def nomic(self):
        return self.architecture == "nomic-bert"

    def tensors(self):
        rng = np.random.default_rng([self.seed, len(self.architecture)])
        matrix = partial(random_matrix, rng)

        def vector(size, around):
            return (around + 0.1 * rng.standard_normal(size)).astype(np.float32)

        def norm(name):
            return {f"{name}.weight": vector(EMBD, 1), f"{name}.bias": vector(EMBD, 0)}

        out = {"token_embd.weight": matrix(len(vocabulary()), EMBD), "token_types.weight": matrix(2, EMBD)}
        out |= norm("token_embd_norm")
        if self.has("positions"):
            out["position_embd.weight"] = matrix(CONTEXT, EMBD)
        for layer in range(LAYERS):
            mixed = self.has("experts") and layer % 2 == 1
            shapes = {"attn_output": (EMBD, EMBD)}
            shapes |= {} if mixed else {"ffn_up": (FF, EMBD), "ffn_down": (EMBD, FF)}
            shapes |= {"attn_qkv": (3 * EMBD, EMBD)} if self.has("fused") else {
                f"attn_{x}": (EMBD, EMBD) for x in "qkv"}
            shapes |= {"ffn_gate": (FF, EMBD)} if self.has("gated") else {}
            block = {f"{name}.weight": matrix(*shape) for name, shape in shapes.items()}
            if self.has("biases"):
                unbiased = ("ffn_gate", "ffn_up") if self.has("gated") else ()
                block |= {f"{name}.bias": vector(shape[0], 0) for name, shape in shapes.items() if name not in unbiased}
            if mixed:
                block["ffn_gate_inp.weight"] = 2 * matrix(EXPERTS, EMBD)
                for name, shape in (("ffn_up_exps", (FF, EMBD)), ("ffn_down_exps", (EMBD, FF))):
                    block[f"{name}.weight"] = np.stack([matrix(*shape) for _ in range(EXPERTS)])
            block |= norm("attn_output_norm") | norm("layer_output_norm")
            out |= {f"blk.{layer}.{name}": value for name, value in block.items()}
        return out

    def write(self, path):
        w = gguf.GGUFWriter(str(path), self.architecture)
        w.add_context_length(CONTEXT)
        w.add_embedding_length(EMBD)
        w.add_block_count(LAYERS)
        w.add_feed_forward_length(FF)
        w.add_head_count(HEADS)
        w.add_layer_norm_eps(EPSILON)
        w.add_causal_attention(False)
        w.add_pooling_type(self.pooling)
        if self.has("rotates"):
            w.add_rope_freq_base(ROPE_BASE)
        if self.has("experts"):
            w.add_moe_every_n_layers(2)
            w.add_expert_count(EXPERTS)
            w.add_expert_used_count(EXPERTS_USED)
        w.add_token_type_count(2)
        self.write_words(w)
        finish(w, self.tensors())

    def write_words(self, w):
        tokens, specials = vocabulary(self.words), SPECIALS + ROBERTA_SPECIALS
        unigram = self.words == "unigram"
        w.add_tokenizer_model("t5" if unigram else "bert")
        w.add_token_list(tokens)
        w.add_token_types([gguf.TokenType.CONTROL if t in specials else gguf.TokenType.NORMAL for t in tokens])
        ids = {"unk": "<unk>", "bos": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>"} if unigram else {
            "unk": "[UNK]", "bos": "[CLS]", "sep": "[SEP]", "pad": "[PAD]"}
        for key, token in ids.items():
            getattr(w, f"add_{key}_token_id")(tokens.index(token))
        if unigram:
            w.add_token_scores(scores(tokens))
            w.add_add_bos_token(True)
            w.add_add_eos_token(True)
            w.add_add_sep_token(True)
            w.add_add_space_prefix(True)
            w.add_remove_extra_whitespaces(True)

    def write_folder(self, path):
        mixed = self.has("experts")
        names = NOMIC_MOE_NAMES if mixed else NOMIC_NAMES if self.nomic else BERT_NAMES
        tensors = renamed(self.tensors(), names)
        if self.nomic or mixed:
            config = {"model_type": "nomic_bert", "n_layer": LAYERS, "n_embd": EMBD, "n_inner": FF, "n_head": HEADS,
                      "n_positions": CONTEXT, "layer_norm_epsilon": EPSILON, "rotary_emb_base": ROPE_BASE}
            if mixed:
                config |= {"moe_every_n_layers": 2, "num_experts": EXPERTS, "moe_top_k": EXPERTS_USED}
                tensors = self.experts_in_one(tensors)
        else:
            config = {"model_type": "bert", "num_hidden_layers": LAYERS, "hidden_size": EMBD, "intermediate_size": FF,
                      "num_attention_heads": HEADS, "max_position_embeddings": CONTEXT, "layer_norm_eps": EPSILON,
                      "position_embedding_type": "absolute"}
            tensors = {f"bert.{name}": value for name, value in tensors.items()}
            tensors["bert.pooler.dense.weight"] = np.zeros((EMBD, EMBD), np.float32)
        if self.words == "unigram":
            padding = np.full((2, EMBD), 1000, np.float32)
            positions = "bert.embeddings.position_embeddings.weight"
            tensors[positions] = np.concatenate([padding, tensors[positions]])
            tensors = {name.replace("bert.", "roberta."): value for name, value in tensors.items()}
            config |= {"model_type": "xlm-roberta", "max_position_embeddings": CONTEXT + 2, "pad_token_id": 1}
        config["vocab_size"] = len(vocabulary())
        hf_folder.write(path, config, tensors, **self.tokenizer_files())
        write_pooling(path, self.pooling)

    def experts_in_one(self, tensors):
        """All experts' rows in one matrix; those of the way down are what goes in."""
        out = {"encoder.layers.1.mlp.experts.bias": np.zeros(EMBD, np.float32)}
        for name, value in tensors.items():
            if ".experts." in name:
                value = value if ".w1" in name else value.swapaxes(1, 2)
                name, value = name.removesuffix(".weight"), value.reshape(-1, EMBD)
            out[name] = value
        return out

    def tokenizer_files(self):
        tokens = vocabulary(self.words)
        added = [{"id": i, "content": t, "special": True} for i, t in enumerate(tokens[:5])]
        if self.words == "unigram":
            model = {"type": "Unigram", "unk_id": 3, "vocab": [list(pair) for pair in zip(tokens, scores(tokens))]}
            return {"tokenizer__json": {
                "added_tokens": added, "model": model,
                "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                    {"type": "WhitespaceSplit"},
                    {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"}]},
                "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}},
                "tokenizer_config__json": {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}}
        vocab = {t if t in SPECIALS else t[1:] if t[0] == "\u2581" else f"##{t}": i for i, t in enumerate(tokens)}
        return {"tokenizer__json": {
            "added_tokens": added, "normalizer": {"type": "BertNormalizer", "lowercase": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": vocab}}}

    def embed(self, ids):
        """Of norm 1."""
        t = {name: value.astype(np.float64) for name, value in self.tensors().items()}
        x = t["token_embd.weight"][ids] + t["token_types.weight"][0]
        if self.has("positions"):
            x = x + t["position_embd.weight"][:len(ids)]
        x = normed(x, t, "token_embd_norm")
        for layer in range(LAYERS):
            of = of_layer(t, layer)
            x = normed(x + self.attend(x, of), of, "attn_output_norm")
            x = normed(x + self.feed(x, of), of, "layer_output_norm")
        pooled = x[0] if self.pooling == FIRST else x.mean(0)
        return pooled / np.linalg.norm(pooled)

    def attend(self, x, of):
        if self.has("fused"):
            q, k, v = np.split(project(x, of, "attn_qkv"), 3, axis=1)
        else:
            q, k, v = (project(x, of, f"attn_{name}") for name in "qkv")
        q, k, v = (y.reshape(len(x), HEADS, -1).swapaxes(0, 1) for y in (q, k, v))
        if self.has("rotates"):
            q, k = rotated(q), rotated(k)
        slopes = 2.0 ** (-8 / HEADS * (1 + np.arange(HEADS))) if self.has("leans") else np.zeros(HEADS)
        return project(attended(q, k, v, slopes=slopes), of, "attn_output")

    def feed(self, x, of):
        if "ffn_gate_inp.weight" in of:
            return np.stack([self.mix(row, of) for row in x])
        up = project(x, of, "ffn_up")
        gate = project(x, of, "ffn_gate") if self.has("gated") else up
        active = silu(gate) if self.nomic else gelu(gate)
        return project(active * up if self.has("gated") else active, of, "ffn_down")

    def mix(self, row, of):
        weights = np.exp(of["ffn_gate_inp.weight"] @ row)
        weights /= weights.sum()
        chosen = np.argsort(-weights)[:EXPERTS_USED]
        up, down = of["ffn_up_exps.weight"], of["ffn_down_exps.weight"]
        return sum(weights[e] * (down[e] @ gelu(up[e] @ row)) for e in chosen)


@dataclass
class Gemma:
    """EmbeddingGemma (arXiv:2509.20354): Gemma 3 whose layers see both sides, five of six no further than half of
    WINDOW, and whose mean passes two matrices. Its tokenizer is not needed: texts are given as token ids."""
    seed: int = 1

    KV, DIM, FF, WIDE, WINDOW, DEPTH = 2, 32, 96, 160, 256, 6
    BASE, LOCAL_BASE, EPSILON = 100000.0, 10000.0, 1e-6

    def tensors(self):
        rng = np.random.default_rng([self.seed, 7])
        matrix = partial(random_matrix, rng)

        def norm(size=EMBD):
            return (1 + 0.1 * rng.standard_normal(size)).astype(np.float32)

        out = {"token_embd": matrix(len(vocabulary()), EMBD) / 8, "output_norm": norm(),
               "dense_2": matrix(self.WIDE, EMBD), "dense_3": matrix(EMBD, self.WIDE)}
        for layer in range(self.DEPTH):
            block = {"attn_norm": norm(), "attn_q": matrix(HEADS * self.DIM, EMBD),
                     "attn_k": matrix(self.KV * self.DIM, EMBD), "attn_v": matrix(self.KV * self.DIM, EMBD),
                     "attn_output": matrix(EMBD, HEADS * self.DIM), "attn_q_norm": norm(self.DIM),
                     "attn_k_norm": norm(self.DIM), "post_attention_norm": norm(), "ffn_norm": norm(),
                     "ffn_gate": matrix(self.FF, EMBD), "ffn_up": matrix(self.FF, EMBD),
                     "ffn_down": matrix(EMBD, self.FF), "post_ffw_norm": norm()}
            out |= {f"blk.{layer}.{name}": value for name, value in block.items()}
        return {f"{name}.weight": value for name, value in out.items()}

    def write(self, path):
        w = gguf.GGUFWriter(str(path), "gemma-embedding")
        w.add_context_length(CONTEXT)
        w.add_embedding_length(EMBD)
        w.add_block_count(self.DEPTH)
        w.add_feed_forward_length(self.FF)
        w.add_head_count(HEADS)
        w.add_head_count_kv(self.KV)
        w.add_key_length(self.DIM)
        w.add_value_length(self.DIM)
        w.add_layer_norm_rms_eps(self.EPSILON)
        w.add_rope_freq_base(self.BASE)
        w.add_sliding_window(self.WINDOW)
        w.add_pooling_type(MEAN)
        w.add_uint32("gemma-embedding.dense_2_feat_out", self.WIDE)
        w.add_uint32("gemma-embedding.dense_3_feat_in", self.WIDE)
        tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *vocabulary()[5:]]
        w.add_tokenizer_model("llama")
        w.add_token_list(tokens)
        w.add_token_scores(scores(tokens))
        w.add_token_types([gguf.TokenType.CONTROL if i < 5 else gguf.TokenType.NORMAL for i in range(len(tokens))])
        finish(w, self.tensors())

    def embed(self, ids):
        """Of norm 1."""
        t = {name[:-len(".weight")]: value.astype(np.float64) for name, value in self.tensors().items()}
        x = t["token_embd"][ids] * np.sqrt(EMBD)
        for layer in range(self.DEPTH):
            of = of_layer(t, layer)
            seen = self.attend(rms(x, of["attn_norm"], self.EPSILON), of, local=(layer + 1) % 6 != 0)
            x = x + rms(seen, of["post_attention_norm"], self.EPSILON)
            inside = rms(x, of["ffn_norm"], self.EPSILON)
            gate = inside @ of["ffn_gate"].T
            active = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate ** 3)))
            x = x + rms(active * (inside @ of["ffn_up"].T) @ of["ffn_down"].T, of["post_ffw_norm"], self.EPSILON)
        pooled = t["dense_3"] @ (t["dense_2"] @ rms(x, t["output_norm"], self.EPSILON).mean(0))
        return pooled / np.linalg.norm(pooled)

    def attend(self, x, of, local):
        def heads(name, norm=None):
            y = (x @ of[name].T).reshape(len(x), -1, self.DIM).swapaxes(0, 1)
            return rotated(rms(y, of[norm], self.EPSILON), self.LOCAL_BASE if local else self.BASE) if norm else y

        q, k, v = heads("attn_q", "attn_q_norm"), heads("attn_k", "attn_k_norm"), heads("attn_v")
        k, v = (np.repeat(y, HEADS // self.KV, axis=0) for y in (k, v))
        return attended(q, k, v, self.WINDOW // 2 if local else len(x)) @ of["attn_output"].T


@dataclass
class Modern:
    """ModernBERT (arXiv:2412.13663): norms in front, none in the first layer but the embedding's; two of three layers
    see no further than half of WINDOW; gated by GELU, or by SiLU as IBM's Granite Embedding has it."""
    activation: str = "gelu"

    FF, WINDOW, DEPTH, BASE, LOCAL_BASE = 96, 128, 5, 160000.0, 10000.0

    def tensors(self):
        rng = np.random.default_rng(11)
        matrix = partial(random_matrix, rng)

        def norm():
            return (1 + 0.1 * rng.standard_normal(EMBD)).astype(np.float32)

        out = {"token_embd": matrix(len(vocabulary()), EMBD), "token_embd_norm": norm(), "output_norm": norm()}
        for layer in range(self.DEPTH):
            block = {"attn_norm": norm(), "attn_qkv": matrix(3 * EMBD, EMBD), "attn_output": matrix(EMBD, EMBD),
                     "ffn_norm": norm(), "ffn_up": matrix(2 * self.FF, EMBD), "ffn_down": matrix(EMBD, self.FF)}
            out |= {f"blk.{layer}.{name}": value for name, value in block.items() if (layer, name) != (0, "attn_norm")}
        return {f"{name}.weight": value for name, value in out.items()}

    def write(self, path):
        w = gguf.GGUFWriter(str(path), "modern-bert")
        w.add_context_length(CONTEXT)
        w.add_embedding_length(EMBD)
        w.add_block_count(self.DEPTH)
        w.add_feed_forward_length(self.FF)
        w.add_head_count(HEADS)
        w.add_layer_norm_eps(EPSILON)
        w.add_rope_freq_base(self.BASE)
        w.add_sliding_window(self.WINDOW)
        w.add_sliding_window_pattern(3)
        w.add_pooling_type(FIRST)
        w.add_string("modern-bert.hidden_activation", self.activation)
        Encoder("modern-bert", FIRST).write_words(w)
        finish(w, self.tensors())

    def write_folder(self, path):
        config = {"model_type": "modernbert", "num_hidden_layers": self.DEPTH, "hidden_size": EMBD,
                  "intermediate_size": self.FF, "num_attention_heads": HEADS, "max_position_embeddings": CONTEXT,
                  "norm_eps": EPSILON, "global_rope_theta": self.BASE, "local_rope_theta": self.LOCAL_BASE,
                  "local_attention": self.WINDOW, "global_attn_every_n_layers": 3, "vocab_size": len(vocabulary()),
                  "hidden_activation": self.activation}
        tensors = {f"model.{name}": value for name, value in renamed(self.tensors(), MODERN_NAMES).items()}
        hf_folder.write(path, config, tensors, **Encoder("modern-bert", FIRST).tokenizer_files())
        write_pooling(path, FIRST)

    def embed(self, ids):
        """Of norm 1."""
        t = {name: value.astype(np.float64) for name, value in self.tensors().items()}
        t |= {name.replace(".weight", ".bias"): 0 for name in t if "norm" in name}
        x = normed(t["token_embd.weight"][ids], t, "token_embd_norm")
        for layer in range(self.DEPTH):
            of = of_layer(t, layer)
            x = x + self.attend(normed(x, of, "attn_norm") if layer > 0 else x, of, local=layer % 3 != 0)
            gate, up = np.split(normed(x, of, "ffn_norm") @ of["ffn_up.weight"].T, 2, axis=1)
            active = gelu(gate) if self.activation == "gelu" else silu(gate)
            x = x + (active * up) @ of["ffn_down.weight"].T
        first = normed(x, t, "output_norm")[0]
        return first / np.linalg.norm(first)

    def attend(self, x, of, local):
        qkv = x @ of["attn_qkv.weight"].T
        q, k, v = (y.reshape(len(x), HEADS, -1).swapaxes(0, 1) for y in np.split(qkv, 3, axis=1))
        q, k = (rotated(y, self.LOCAL_BASE if local else self.BASE) for y in (q, k))
        return project(attended(q, k, v, self.WINDOW // 2 if local else len(x)), of, "attn_output")


@dataclass
class Plain:
    """A Llama that sees both sides: EuroBERT (arXiv:2503.05500) with its rotations of halves, llama-embed of pairs."""
    architecture: str

    KV, FF, BASE, EPSILON = 2, 96, 10000.0, 1e-5

    def tensors(self):
        rng = np.random.default_rng([5, len(self.architecture)])
        matrix = partial(random_matrix, rng)

        def norm():
            return (1 + 0.1 * rng.standard_normal(EMBD)).astype(np.float32)

        out = {"token_embd": matrix(len(vocabulary()), EMBD), "output_norm": norm()}
        for layer in range(LAYERS):
            kv = EMBD // HEADS * self.KV
            block = {"attn_norm": norm(), "attn_q": matrix(EMBD, EMBD), "attn_k": matrix(kv, EMBD),
                     "attn_v": matrix(kv, EMBD), "attn_output": matrix(EMBD, EMBD), "ffn_norm": norm(),
                     "ffn_gate": matrix(self.FF, EMBD), "ffn_up": matrix(self.FF, EMBD),
                     "ffn_down": matrix(EMBD, self.FF)}
            out |= {f"blk.{layer}.{name}": value for name, value in block.items()}
        return {f"{name}.weight": value for name, value in out.items()}

    def write(self, path):
        w = gguf.GGUFWriter(str(path), self.architecture)
        w.add_context_length(CONTEXT)
        w.add_embedding_length(EMBD)
        w.add_block_count(LAYERS)
        w.add_feed_forward_length(self.FF)
        w.add_head_count(HEADS)
        w.add_head_count_kv(self.KV)
        w.add_layer_norm_rms_eps(self.EPSILON)
        w.add_rope_freq_base(self.BASE)
        w.add_pooling_type(MEAN)
        Encoder("bert", MEAN).write_words(w)
        finish(w, self.tensors())

    def write_folder(self, path):
        config = {"model_type": "eurobert", "num_hidden_layers": LAYERS, "hidden_size": EMBD,
                  "intermediate_size": self.FF, "num_attention_heads": HEADS, "num_key_value_heads": self.KV,
                  "max_position_embeddings": CONTEXT, "rms_norm_eps": self.EPSILON, "rope_theta": self.BASE,
                  "vocab_size": len(vocabulary())}
        tensors = {f"model.{name}": value for name, value in renamed(self.tensors(), EURO_NAMES).items()}
        hf_folder.write(path, config, tensors, **Encoder("bert", MEAN).tokenizer_files())
        write_pooling(path, MEAN)

    def embed(self, ids):
        """Of norm 1."""
        t = {name[:-len(".weight")]: value.astype(np.float64) for name, value in self.tensors().items()}
        x = t["token_embd"][ids]
        for layer in range(LAYERS):
            of = of_layer(t, layer)
            x = x + self.attend(rms(x, of["attn_norm"], self.EPSILON), of)
            inside = rms(x, of["ffn_norm"], self.EPSILON)
            x = x + (silu(inside @ of["ffn_gate"].T) * (inside @ of["ffn_up"].T)) @ of["ffn_down"].T
        pooled = rms(x, t["output_norm"], self.EPSILON).mean(0)
        return pooled / np.linalg.norm(pooled)

    def attend(self, x, of):
        def heads(name):
            return (x @ of[name].T).reshape(len(x), -1, EMBD // HEADS).swapaxes(0, 1)

        def turned(y):
            if self.architecture == "eurobert":
                return rotated(y, self.BASE)
            halves = rotated(np.concatenate([y[..., ::2], y[..., 1::2]], -1), self.BASE)
            return halves.reshape(*y.shape[:-1], 2, -1).swapaxes(-1, -2).reshape(y.shape)

        q, k, v = turned(heads("attn_q")), turned(heads("attn_k")), heads("attn_v")
        k, v = (np.repeat(y, HEADS // self.KV, axis=0) for y in (k, v))
        return attended(q, k, v) @ of["attn_output"].T


erf = np.vectorize(math.erf)


def gelu(x):
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def silu(x):
    return x / (1 + np.exp(-x))


def rms(x, weight, epsilon):
    return x / np.sqrt((x ** 2).mean(-1, keepdims=True) + epsilon) * weight


def attended(q, k, v, reach=CONTEXT, slopes=0.0):
    """[head][position][channel] each, of positions that see no further than `reach` to either side, and less of what
    is farther away where heads have slopes."""
    at = np.arange(q.shape[1])
    away = np.abs(at[:, None] - at)
    scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1]) - np.reshape(slopes, (-1, 1, 1)) * away
    scores = np.where(away <= reach, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    out = weights / weights.sum(-1, keepdims=True) @ v
    return out.swapaxes(0, 1).reshape(len(at), -1)


def normed(x, tensors, name):
    centred = x - x.mean(-1, keepdims=True)
    spread = np.sqrt((centred ** 2).mean(-1, keepdims=True) + EPSILON)
    return centred / spread * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def project(x, tensors, name):
    return x @ tensors[f"{name}.weight"].T + tensors.get(f"{name}.bias", 0)


def rotated(heads, base=ROPE_BASE):
    """Channel i with channel i + half."""
    half = heads.shape[-1] // 2
    angles = np.arange(heads.shape[1])[:, None] * base ** (-np.arange(half) / half)
    first, second = heads[..., :half], heads[..., half:]
    return np.concatenate([first * np.cos(angles) - second * np.sin(angles),
                           first * np.sin(angles) + second * np.cos(angles)], -1)
