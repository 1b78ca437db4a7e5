"""Models in Hugging Face's form, made from the tensors of GGUF models: what a converter does, undone."""
import json
import struct
from pathlib import Path

import gguf
import numpy as np

# Module names of Hugging Face's implementations; which of them a GGUF tensor came from is gguf-py's knowledge.
MODULES = """input_layernorm post_attention_layernorm pre_feedforward_layernorm post_feedforward_layernorm
post_self_attn_layernorm post_mlp_layernorm self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj
self_attn.qkv_proj self_attn.q_norm self_attn.k_norm mlp.gate_proj mlp.up_proj mlp.down_proj mlp.gate
mlp.shared_expert.gate_proj mlp.shared_expert.up_proj mlp.shared_expert.down_proj mlp.shared_expert_gate
self_attn.q_a_proj self_attn.q_b_proj self_attn.kv_a_proj_with_mqa self_attn.kv_b_proj self_attn.q_a_layernorm
self_attn.kv_a_layernorm""".split()
OTHER_NAMES = {
    "hunyuan_v1_dense": {f"self_attn.{n[0]}_norm": f"self_attn.{n}_layernorm" for n in ("query", "key")},
    "glm4_moe": {f"mlp.shared_expert.{n}_proj": f"mlp.shared_experts.{n}_proj" for n in ("gate", "up", "down")},
    "dots1": {f"mlp.shared_expert.{n}_proj": f"mlp.shared_experts.{n}_proj" for n in ("gate", "up", "down")},
    "phi": {"self_attn.o_proj": "self_attn.dense", "mlp.up_proj": "mlp.fc1", "mlp.down_proj": "mlp.fc2"},
    "phi3": {"mlp.up_proj": "mlp.gate_up_proj"},
    "glm4": {"mlp.up_proj": "mlp.gate_up_proj"},
    "starcoder2": {"mlp.up_proj": "mlp.c_fc", "mlp.down_proj": "mlp.c_proj"},
    "mixtral": {"mlp.gate": "block_sparse_moe.gate"},
    "granitemoe": {"mlp.gate": "block_sparse_moe.router.layer"},
    "deepseek_v3": {f"mlp.shared_expert.{n}_proj": f"mlp.shared_experts.{n}_proj" for n in ("gate", "up", "down")},
    "deepseek_v2": {f"mlp.shared_expert.{n}_proj": f"mlp.shared_experts.{n}_proj" for n in ("gate", "up", "down")},
}
EXPERTS = {"ffn_gate_exps": ("mlp.experts.{}.gate_proj", "block_sparse_moe.experts.{}.w1"),
           "ffn_up_exps": ("mlp.experts.{}.up_proj", "block_sparse_moe.experts.{}.w3"),
           "ffn_down_exps": ("mlp.experts.{}.down_proj", "block_sparse_moe.experts.{}.w2")}
DTYPES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.uint8): "U8"}


def name_of(architecture, model_type, tensor):
    """Hugging Face's name of a tensor that is one there too."""
    ends = {"token_embd": "model.embed_tokens", "output": "lm_head",
            "output_norm": "model.final_layernorm" if model_type == "phi" else "model.norm"}
    base, kind = tensor.rsplit(".", 1)
    if base in ends:
        return f"{ends[base]}.{kind}"
    layer = int(base.split(".")[1])
    names = gguf.get_tensor_name_map(architecture, layer + 1)
    for module in MODULES:
        if names.get_name(f"model.layers.{layer}.{module}") == base:
            return f"model.layers.{layer}.{OTHER_NAMES.get(model_type, {}).get(module, module)}.{kind}"
    raise KeyError(tensor)


def in_halves(x, heads):
    """Rows of each head in two halves, as Hugging Face rotates them; GGUF has them in pairs."""
    return x.reshape(heads, -1, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def unconvert(tensors, architecture, config):
    """{Hugging Face's name: values} of a GGUF model's {name: values}."""
    kind, out = config["model_type"], {}
    turn = kind in ("llama", "mistral", "mixtral", "smollm3", "granite", "granitemoe", "arcee", "minicpm")
    for name, x in tensors.items():
        base = name.split(".")[-2]
        prefix = f"model.layers.{name.split('.')[1]}." if name.startswith("blk.") else ""
        if name.startswith("rope_"):
            continue
        if turn and base in ("attn_q", "attn_k"):
            x = in_halves(x, config["num_attention_heads" if base == "attn_q" else "num_key_value_heads"])
        if (kind.startswith("gemma") or kind == "nemotron") and name.endswith("norm.weight"):
            x = x - np.float32(1)
        if base == "exp_probs_b":
            out[f"{prefix}mlp.gate.e_score_correction_bias"] = x
        elif kind == "granitemoe" and base == "ffn_up_exps":
            gate = tensors[name.replace("ffn_up", "ffn_gate")]
            out[f"{prefix}block_sparse_moe.input_linear.weight"] = np.concatenate([gate, x], axis=1)
        elif kind == "granitemoe" and base == "ffn_down_exps":
            out[f"{prefix}block_sparse_moe.output_linear.weight"] = x
        elif base in EXPERTS and kind != "granitemoe":
            module = EXPERTS[base][kind == "mixtral"]
            out |= {f"{prefix}{module.format(i)}.weight": one for i, one in enumerate(x)}
        elif kind == "stablelm" and base in ("attn_q_norm", "attn_k_norm"):
            module = f"self_attn.{base[5]}_layernorm.norms"
            out |= {f"{prefix}{module}.{i}.weight": one for i, one in enumerate(x)}
        elif base not in EXPERTS:
            x = x[None] if base == "ffn_gate_inp_shexp" else x
            out[name_of(architecture, kind, name)] = x
    return out


def safetensors(path, tensors, as_bf16=False):
    header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, x in tensors.items():
        x = np.ascontiguousarray(x)
        dtype = "BF16" if as_bf16 else DTYPES[x.dtype]
        data = (x.view(np.uint32) >> 16).astype(np.uint16).tobytes() if as_bf16 else x.tobytes()
        header[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
        blobs.append(data)
    front = json.dumps(header).encode()
    front += b" " * (-len(front) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(front)) + front + b"".join(blobs))


def write(folder, config, tensors, shards=1, as_bf16=False, **files):
    """A model's folder: config, weights in `shards` files, and other files by name (values become JSON)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("__", ".")).write_text(text)
    names = list(tensors)
    if shards == 1:
        safetensors(folder / "model.safetensors", tensors, as_bf16)
        return folder
    index = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = names[i::shards]
        safetensors(folder / file, {n: tensors[n] for n in part}, as_bf16)
        index |= {n: file for n in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return folder


def small_llama(rng, layers=2, embd=64, heads=4, kv_heads=2, ff=96, vocab=32):
    kv = embd // heads * kv_heads
    """Config and GGUF tensors of a Llama small enough for any test."""
    shapes = {"token_embd.weight": (vocab, embd), "output_norm.weight": (embd,), "output.weight": (vocab, embd)}
    for i in range(layers):
        shapes |= {f"blk.{i}.{n}.weight": s for n, s in {
            "attn_norm": (embd,), "attn_q": (embd, embd), "attn_k": (kv, embd), "attn_v": (kv, embd),
            "attn_output": (embd, embd), "ffn_norm": (embd,), "ffn_gate": (ff, embd), "ffn_up": (ff, embd),
            "ffn_down": (embd, ff)}.items()}
    tensors = {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
    config = {"model_type": "llama", "num_hidden_layers": layers, "hidden_size": embd, "intermediate_size": ff,
              "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": vocab,
              "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0}
    return config, tensors
