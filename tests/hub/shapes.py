"""GGUF files in the shape of Llama models, with made-up weights, written by hand: no library, any size."""
import os
import random
import struct

ALIGNMENT = 32
F32, Q8_0 = 0, 8
TYPE_BYTES = {F32: lambda n: 4 * n, Q8_0: lambda n: n // 32 * 34}


def _text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _u32(key, value):
    return _text(key) + struct.pack("<II", 4, value)


def _string(key, value):
    return _text(key) + struct.pack("<I", 8) + _text(value)


def _tensors(layers, width, ff, kv, vocab):
    yield "token_embd.weight", Q8_0, [width, vocab]
    for i in range(layers):
        yield f"blk.{i}.attn_norm.weight", F32, [width]
        yield f"blk.{i}.attn_q.weight", Q8_0, [width, width]
        yield f"blk.{i}.attn_k.weight", Q8_0, [width, kv]
        yield f"blk.{i}.attn_v.weight", Q8_0, [width, kv]
        yield f"blk.{i}.attn_output.weight", Q8_0, [width, width]
        yield f"blk.{i}.ffn_norm.weight", F32, [width]
        yield f"blk.{i}.ffn_gate.weight", Q8_0, [width, ff]
        yield f"blk.{i}.ffn_up.weight", Q8_0, [width, ff]
        yield f"blk.{i}.ffn_down.weight", Q8_0, [ff, width]
    yield "output_norm.weight", F32, [width]


def _values(count, kind, rng):
    if kind == F32:
        return struct.pack(f"<{count}f", *(1 + rng.random() / 4 for _ in range(count)))
    blocks = count // 32
    data = bytearray(rng.randbytes(blocks * 34))
    data[0::34], data[1::34] = bytes(blocks), b"\x14" * blocks  # every scale is 2^-10
    return bytes(data)


def _header(tensors, keys):
    offset, table = 0, b""
    for name, kind, dims in tensors:
        table += _text(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        table += struct.pack("<IQ", kind, offset)
        size = 1
        for dim in dims:
            size *= dim
        offset += -(-TYPE_BYTES[kind](size) // ALIGNMENT) * ALIGNMENT
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + table
    return head + bytes(-len(head) % ALIGNMENT)


def write_gguf(path, layers=4, width=256, ff=512, kv=128, vocab=512, seed=1, parts=1, pad=0):
    """One file, or `parts` of one ("name-00001-of-00003.gguf"): the list of paths. `pad`: ballast in the header."""
    rng = random.Random(seed)
    heads = width // 64
    keys = [_string("general.architecture", "llama"), _u32("llama.block_count", layers),
            _u32("llama.context_length", 2048), _u32("llama.embedding_length", width),
            _u32("llama.feed_forward_length", ff), _u32("llama.attention.head_count", heads),
            _u32("llama.attention.head_count_kv", kv // 64),
            _text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5)]
    if pad:
        keys.append(_string("general.description", "x" * pad))
    tensors, paths = list(_tensors(layers, width, ff, kv, vocab)), []
    for part in range(parts):
        mine = tensors[len(tensors) * part // parts:len(tensors) * (part + 1) // parts]
        name = path if parts == 1 else path.with_name(f"{path.stem}-{part + 1:05}-of-{parts:05}.gguf")
        with open(name, "wb") as out:
            out.write(_header(mine, keys if part == 0 else keys[:1]))
            for _, kind, dims in mine:
                size = 1
                for dim in dims:
                    size *= dim
                data = _values(size, kind, rng)
                out.write(data + bytes(-len(data) % ALIGNMENT))
        paths.append(name)
    return paths


def billion(path):
    """The shape of a model of a billion parameters: 1.2 GB."""
    return write_gguf(path, layers=16, width=2048, ff=8192, kv=512, vocab=32000)[0]


def allocated(folder):
    """Bytes that the files of a folder take on the disk."""
    return sum(os.lstat(os.path.join(root, name)).st_blocks * 512
               for root, _, names in os.walk(folder) for name in names)


def _strings(key, items):
    return _text(key) + struct.pack("<IIQ", 9, 8, len(items)) + b"".join(map(_text, items))


def llama_405b(path):
    """The shape of Llama 3.1 405B, with a vocabulary as large as its own; of its 431 GB only the header is there."""
    letters = [chr(code) for code in range(0x100, 0x200)]
    tokens = letters + [a + b for a in letters for b in letters] + [a + b + "\u0120" for a in letters for b in letters]
    merges = [f"{letters[i % 256]} {tokens[i % 60000]}" for i in range(280147)]
    vocab = 128256
    keys = [_string("general.architecture", "llama"), _u32("llama.block_count", 126),
            _u32("llama.context_length", 131072), _u32("llama.embedding_length", 16384),
            _u32("llama.feed_forward_length", 53248), _u32("llama.attention.head_count", 128),
            _u32("llama.attention.head_count_kv", 8),
            _text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5),
            _string("tokenizer.ggml.model", "gpt2"), _string("tokenizer.ggml.pre", "llama-bpe"),
            _strings("tokenizer.ggml.tokens", tokens[:vocab]),
            _text("tokenizer.ggml.token_type") + struct.pack(f"<IIQ{vocab}i", 9, 5, vocab, *[1] * vocab),
            _strings("tokenizer.ggml.merges", merges), _u32("tokenizer.ggml.bos_token_id", 0),
            _u32("tokenizer.ggml.eos_token_id", 1), _string("general.license", "llama3.1"),
            _string("tokenizer.chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}")]
    tensors = [*_tensors(126, 16384, 53248, 1024, vocab), ("output.weight", Q8_0, [16384, vocab])]
    with open(path, "wb") as out:
        out.write(_header(tensors, keys))
        sizes = (TYPE_BYTES[kind](dims[0] * (dims[1] if len(dims) > 1 else 1)) for _, kind, dims in tensors)
        out.truncate(out.tell() + sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes))
    return path
