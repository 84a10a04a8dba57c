"""Makes the files of tests/golden/torch: what torch.save writes, for the reader that runs nothing.

    /usr/bin/python3 tests/golden/make_torch_golden.py      with Debian's python3-torch 1.13

model-zip/ and model-row/ hold the tensors of tests/golden/commands/model in the two forms of
torch.save; types-*.bin tensors of all kinds; the others are what must be refused.
"""

import collections
import json
import os
import struct

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "torch")


def save(value, name, zipped=True):
    path = os.path.join(OUT, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    torch.save(value, path, _use_new_zipfile_serialization=zipped)


def model_tensors():
    with open(os.path.join(HERE, "commands", "model", "model.safetensors"), "rb") as file:
        data = file.read()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    tensors = collections.OrderedDict()
    for name, entry in json.loads(data[8:end]).items():
        if name != "__metadata__":
            first, last = (end + offset for offset in entry["data_offsets"])
            flat = torch.frombuffer(bytearray(data[first:last]), dtype=torch.float32)
            tensors[name] = flat.reshape(entry["shape"]).clone()
    # As transformers saved it: the tied decoder shares its storage, and positions are numbered.
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"]
    tensors["bert.embeddings.position_ids"] = torch.arange(24).reshape(1, 24)
    tensors._metadata = collections.OrderedDict([("", {"version": 1}), ("bert", {"version": 1})])
    return tensors


def typed_tensors():
    half_steps = torch.arange(6).reshape(2, 3) * 0.5
    tensors = collections.OrderedDict()
    for name in ("float32", "float16", "bfloat16", "float64"):
        tensors[name] = half_steps.to(getattr(torch, name))
    for name in ("int64", "int32", "int16", "int8", "uint8"):
        tensors[name] = torch.arange(6).to(getattr(torch, name))
    tensors["bool"] = torch.tensor([True, False, True])
    tensors["second_row"] = tensors["float32"][1]
    tensors["parameter"] = torch.nn.Parameter(half_steps.float() + 1)
    tensors["scalar"] = torch.tensor(7.5)
    tensors["empty"] = torch.zeros(0, 3)
    return tensors


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


for form, zipped in (("zip", True), ("row", False)):
    save(model_tensors(), f"model-{form}/pytorch_model.bin", zipped)
    save(typed_tensors(), f"types-{form}.bin", zipped)
save({"a": torch.arange(6.0).reshape(2, 3).t()}, "turned.bin")
save({"a": torch.zeros(2), "b": Evil()}, "evil.bin")
save({"state_dict": {"a": torch.zeros(2)}}, "nested.bin")
save(torch.nn.Linear(2, 2), "module.bin")
save([torch.zeros(2)], "list.bin")
