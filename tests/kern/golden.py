#!/usr/bin/env python3
"""Writes golden.h: one block of every quantised format and its values, by gguf-py, which is not our code.

Run it by hand when a format is added: tests/kern/golden.py > tests/kern/golden.h
"""
import gguf
import numpy as np

FORMATS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS",
           "MXFP4", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "TQ1_0", "TQ2_0"]
F16_AT = {"Q4_1": [0, 2], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2],
          "Q6_K": [208], "MXFP4": [], "IQ1_M": [], "TQ1_0": [52], "TQ2_0": [64]}


def lines(items, per_line):
    for i in range(0, len(items), per_line):
        print("    " + ", ".join(items[i:i + per_line]) + ",")


def main():
    random = np.random.default_rng(20)
    print("/* Blocks and their values as gguf-py dequantises them; written by golden.py. */")
    for name in FORMATS:
        kind = gguf.GGMLQuantizationType[name]
        data = random.integers(0, 256, gguf.GGML_QUANT_SIZES[kind][1], dtype=np.uint8)
        for at in F16_AT.get(name, [0]):
            data[at:at + 2] = np.array([random.standard_normal() / 16], np.float16).view(np.uint8)
        if name == "IQ1_M":
            data[55] = data[55] & 0x0f | 0x20  # the upper nibble of its f16
        values = gguf.quants.dequantize(data.reshape(1, -1), kind).astype(np.float32).view(np.uint32).reshape(-1)
        print(f"static const uint8_t block_{name}[] = {{")
        lines([f"0x{byte:02x}" for byte in data], 18)
        print("};")
        print(f"static const uint32_t value_bits_{name}[] = {{")
        lines([f"0x{bits:08x}" for bits in values], 9)
        print("};")
    print("static const struct golden golden[] = {")
    for name in FORMATS:
        print(f"    {{TENSOR_{name}, block_{name}, value_bits_{name}, ARRAY_LEN(value_bits_{name})}},")
    print("};")


main()
