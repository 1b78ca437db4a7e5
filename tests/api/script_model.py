"""Models that recite: small GGUF files whose greedy answer is a text of the test's choice.

A token's embedding is a unit vector of its own, the one layer adds nothing, and the head's rows lead from each token to
the next one of its script. The chat template ends with a token that stands for a script: the one that is called like
the last message's text, or `after` once a tool has answered. Scripts end with the end token."""
import json

import gguf
import numpy as np

WIDTH = 1024  # tokens that have a successor
END = "<|end|>"
START = "<|turn|>"


def byte_names():
    """GPT-2's letters for bytes (github.com/openai/gpt-2/blob/master/src/encoder.py)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names, more = {b: chr(b) for b in plain}, 0
    for b in range(256):
        if b not in names:
            names[b] = chr(256 + more)
            more += 1
    return names


BYTES = byte_names()


def named(text):
    return "".join(BYTES[b] for b in text.encode())


def pieces_of(text, taken, least):
    """Short pieces, each of them used by no other script nor twice in this one."""
    pieces, at = [], 0
    while at < len(text):
        length = least
        while text[at:at + length] in taken and at + length < len(text):
            length += 1
        piece = text[at:at + length]
        if piece in taken:  # the end: it joins the one before
            last = pieces.pop()
            taken.discard(last)
            piece = last + piece
            assert piece not in taken
        taken.add(piece)
        pieces.append(piece)
        at += length
    return pieces


def template_for(scripts, inner):
    chosen = "".join(f"{{%- elif messages[-1].content == {json.dumps(name)} %}}<|s:{name}|>" for name in scripts)
    after = "{%- if messages[-1].role == 'tool' %}<|s:after|>" + chosen + "{%- endif %}"
    return ("{%- for m in messages %}" + START + "{{ m.role }}: {{ m.content }}\n{%- endfor %}" + inner + after)


def write(path, scripts, template="", controls=(), least=3, whole=None):
    """scripts: name -> text. template: what the chat template shows besides, for the family's signs. least: letters of
    a token, which long scripts need more of. whole: a chat template of the test's own instead."""
    controls = [END, START, *controls, *[f"<|s:{name}|>" for name in scripts], "<|s:after|>"]
    controls = list(dict.fromkeys(controls))
    tokens = [*controls, *BYTES.values(), named("qz")]
    types = [gguf.TokenType.CONTROL] * len(controls) + [gguf.TokenType.NORMAL] * 257
    taken, following = {chr(b) for b in range(128)}, {}
    for name, text in scripts.items():
        at = tokens.index(f"<|s:{name}|>")
        for piece in pieces_of(text, taken, least):
            if piece in controls:
                following[at] = at = tokens.index(piece)
                continue
            tokens.append(named(piece))
            types.append(gguf.TokenType.NORMAL)
            following[at] = len(tokens) - 1
            at = len(tokens) - 1
        following[at] = 0
    vocab = len(tokens)
    assert vocab <= WIDTH, vocab
    embeddings = np.zeros((vocab, WIDTH), np.float32)
    embeddings[range(vocab), range(vocab)] = 1
    head = np.zeros((vocab, WIDTH), np.float32)
    for before, after in following.items():
        head[after, before] = 2
    for weight, text in zip((0.5, 0.4, 0.3, 0.2, 0.1), (END, *map(named, '"},4'))):
        head[tokens.index(text)] += weight  # whatever has no successor ends, or ends what a grammar wants
    save(path, tokens, types, whole or template_for(scripts, template), embeddings, head)


def save(path, tokens, types, template, embeddings, head):
    w = gguf.GGUFWriter(str(path), "llama")
    w.add_context_length(4096)
    w.add_embedding_length(WIDTH)
    w.add_block_count(1)
    w.add_feed_forward_length(32)
    w.add_head_count(WIDTH // 64)
    w.add_head_count_kv(1)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_dimension_count(64)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges(["q z"])
    w.add_eos_token_id(0)
    w.add_chat_template(template)
    zeros = {"attn_q": (WIDTH, WIDTH), "attn_k": (64, WIDTH), "attn_v": (64, WIDTH), "attn_output": (WIDTH, WIDTH),
             "ffn_gate": (32, WIDTH), "ffn_up": (32, WIDTH), "ffn_down": (WIDTH, 32)}
    for name, shape in zeros.items():
        w.add_tensor(f"blk.0.{name}.weight", np.zeros(shape, np.float16))
    for name in ("attn_norm", "ffn_norm"):
        w.add_tensor(f"blk.0.{name}.weight", np.ones(WIDTH, np.float32))
    w.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    w.add_tensor("token_embd.weight", embeddings.astype(np.float16))
    w.add_tensor("output.weight", head.astype(np.float16))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
TWICE = CALL + '\n<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
SCRIPTS = {
    "hello": "Hello! How can I help you today?",
    "weather": "Let me look.\n" + CALL,
    "both": TWICE.replace("Paris", "Oslo"),
    "think": "<think>\nThey want a number.\n</think>\n\nSeven.",
    "person": '{"name": "Ann", "age": 41}',
    "after": "It is sunny in Paris.",
}


def hermes(path):
    """Calls as Hermes and Qwen have them."""
    write(path, SCRIPTS, "{#- <tool_call> tools #}")
