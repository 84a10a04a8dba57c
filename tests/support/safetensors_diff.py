#!/usr/bin/python3
"""safetensors_diff.py A B: names of the tensors that are in both files and differ by at least a bit, one a line.
safetensors_diff.py --within T A B: 0 if every tensor differs by at most T in the root mean square, and at all somewhere."""
import array
import json
import math
import struct
import sys


def tensors(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    return {n: data[8 + size + i["data_offsets"][0] : 8 + size + i["data_offsets"][1]] for n, i in header.items()}


within = float(sys.argv[2]) if sys.argv[1] == "--within" else None
a, b = tensors(sys.argv[-2]), tensors(sys.argv[-1])
worst = 0.0
for name in sorted(a.keys() & b.keys()):
    if a[name] == b[name]:
        continue
    if within is None:
        print(name)
        continue
    x, y = array.array("f", a[name]), array.array("f", b[name])
    worst = max(worst, math.sqrt(sum((p - q) ** 2 for p, q in zip(x, y)) / len(x)))
if within is not None:
    print(f"# largest root mean square difference of a tensor: {worst:.3g}")
    sys.exit(0 if 0 < worst <= within else 1)
