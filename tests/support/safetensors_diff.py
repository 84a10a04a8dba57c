#!/usr/bin/python3
"""safetensors_diff.py A B: names of the tensors that are in both files and differ by at least a bit, one a line."""
import json
import struct
import sys


def tensors(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    return {n: data[8 + size + i["data_offsets"][0] : 8 + size + i["data_offsets"][1]] for n, i in header.items()}


a, b = tensors(sys.argv[1]), tensors(sys.argv[2])
for name in sorted(a.keys() & b.keys()):
    if a[name] != b[name]:
        print(name)
