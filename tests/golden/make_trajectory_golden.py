#!/usr/bin/env python3
"""Writes tests/golden/trajectory_golden.safetensors: 20 steps of training, in double precision.

A BERT of two layers is trained twice from the same start, as a masked language model (with the tied
decoder) and as a classifier, each step on another batch of sequences of unequal length: AdamW with
weight decay, linear schedule with warmup, clipping by the global norm, no dropout.  The file holds the
start, the batches, loss, norm and rate of every step, and what the training changed in every tensor.

Nothing here is shared with the C code: the model is written with PyTorch's operators, one sequence at a
time and without padding.  Run in this folder with an interpreter that sees PyTorch (python3-torch).
"""
import json
import struct

import numpy as np
import torch
import torch.nn.functional as F

torch.manual_seed(20)
torch.set_default_dtype(torch.float64)
V, C, H, L, I, P, K = 211, 32, 4, 2, 64, 40, 3
STEPS, B, T, WARMUP = 20, 4, 24, 5
RATE, DECAY, MAX_NORM, EPS = 1e-3, 0.01, 4.0, 1e-8


def shapes():
    e = "bert.embeddings."
    yield e + "word_embeddings.weight", (V, C)
    yield e + "position_embeddings.weight", (P, C)
    yield e + "token_type_embeddings.weight", (2, C)
    yield from pair(e + "LayerNorm", (C,), C)
    for i in range(L):
        p = f"bert.encoder.layer.{i}."
        for name in "query", "key", "value":
            yield from pair(p + "attention.self." + name, (C, C), C)
        yield from pair(p + "attention.output.dense", (C, C), C)
        yield from pair(p + "attention.output.LayerNorm", (C,), C)
        yield from pair(p + "intermediate.dense", (I, C), I)
        yield from pair(p + "output.dense", (C, I), C)
        yield from pair(p + "output.LayerNorm", (C,), C)
    yield from pair("bert.pooler.dense", (C, C), C)
    yield "cls.predictions.bias", (V,)
    yield from pair("cls.predictions.transform.dense", (C, C), C)
    yield from pair("cls.predictions.transform.LayerNorm", (C,), C)
    yield from pair("classifier", (K, C), K)


def pair(name, weight, bias):
    yield name + ".weight", weight
    yield name + ".bias", (bias,)


def start_weights():
    """Away from the usual start, so that no gradient is special: large, and no bias zero."""
    start = {}
    for name, shape in shapes():
        value = 0.15 * torch.randn(shape)
        if name.endswith("LayerNorm.weight"):
            value += 1
        start[name] = value.float()  # the C side starts from exactly these
    start["bert.embeddings.word_embeddings.weight"][0] = 0
    return start


def encode(w, ids, types):
    def linear(x, name):
        return F.linear(x, w[name + ".weight"], w[name + ".bias"])

    def norm(x, name):
        return F.layer_norm(x, (C,), w[name + ".weight"], w[name + ".bias"], 1e-12)

    e = "bert.embeddings."
    x = (w[e + "word_embeddings.weight"][ids] + w[e + "token_type_embeddings.weight"][types]
         + w[e + "position_embeddings.weight"][: len(ids)])
    x = norm(x, e + "LayerNorm")
    for i in range(L):
        p = f"bert.encoder.layer.{i}."
        q, k, v = (linear(x, p + "attention.self." + n).view(-1, H, C // H).transpose(0, 1)
                   for n in ("query", "key", "value"))
        scores = q @ k.transpose(1, 2) / (C // H) ** 0.5
        context = (F.softmax(scores, -1) @ v).transpose(0, 1).reshape(-1, C)
        x = norm(x + linear(context, p + "attention.output.dense"), p + "attention.output.LayerNorm")
        inner = F.gelu(linear(x, p + "intermediate.dense"))
        x = norm(x + linear(inner, p + "output.dense"), p + "output.LayerNorm")
    return x


def mlm_loss(w, batch, b):
    ids, types, labels = (batch[key][b, : batch["lengths"][b]] for key in ("ids", "types", "labels"))
    t = "cls.predictions.transform."
    x = encode(w, ids, types)[labels >= 0]
    x = F.gelu(F.linear(x, w[t + "dense.weight"], w[t + "dense.bias"]))
    x = F.layer_norm(x, (C,), w[t + "LayerNorm.weight"], w[t + "LayerNorm.bias"], 1e-12)
    logits = F.linear(x, w["bert.embeddings.word_embeddings.weight"], w["cls.predictions.bias"])
    return F.cross_entropy(logits, labels[labels >= 0], reduction="sum"), int((labels >= 0).sum())


def classify_loss(w, batch, b):
    ids, types = (batch[key][b, : batch["lengths"][b]] for key in ("ids", "types"))
    first = encode(w, ids, types)[0]
    pooled = torch.tanh(F.linear(first, w["bert.pooler.dense.weight"], w["bert.pooler.dense.bias"]))
    logits = F.linear(pooled, w["classifier.weight"], w["classifier.bias"])
    return F.cross_entropy(logits, batch["classes"][b], reduction="sum"), 1


def make_batches():
    batches = []
    for _ in range(STEPS):
        lengths = torch.randint(3, T + 1, (B,))
        ids = torch.randint(5, V, (B, T))
        types = (torch.arange(T)[None] >= (lengths * 2 // 3)[:, None]).long()
        labels = torch.where(torch.rand(B, T) < 0.2, torch.randint(5, V, (B, T)), -100)
        labels[0, 1] = 7  # at least one target
        for b in range(B):
            ids[b, 0] = 2
            ids[b, lengths[b]:], types[b, lengths[b]:], labels[b, lengths[b]:] = 0, 0, -100
        batches.append({"ids": ids, "types": types, "labels": labels, "lengths": lengths,
                        "classes": torch.randint(0, K, (B,))})
    return batches


def rate_at(step):
    return RATE * min(step / WARMUP, (STEPS - step) / (STEPS - WARMUP))


def train(start, batches, loss_of, unused):
    w = {name: value.double().requires_grad_() for name, value in start.items()
         if not name.startswith(unused)}
    plain = [v for n, v in w.items() if n.endswith("bias") or "LayerNorm" in n]
    decayed = [v for n, v in w.items() if not (n.endswith("bias") or "LayerNorm" in n)]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": DECAY},
                                   {"params": plain, "weight_decay": 0.0}], lr=RATE, eps=EPS)
    steps = []
    for step, batch in enumerate(batches):
        optimizer.zero_grad()
        losses, counts = zip(*(loss_of(w, batch, b) for b in range(B)))
        loss = sum(losses) / sum(counts)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(w.values()), MAX_NORM)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step)
        optimizer.step()
        steps.append([loss.item(), norm.item(), rate_at(step)])
    change = {name: (value - start[name].double()).detach() for name, value in w.items()}
    return change, np.array(steps)


def write(path, tensors, meta):
    kinds = {"float32": "F32", "float64": "F64", "int16": "I16", "uint8": "U8"}
    header, blobs, at = {"__metadata__": meta}, [], 0
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        header[name] = {"dtype": kinds[str(array.dtype)], "shape": list(array.shape),
                        "data_offsets": [at, at + array.nbytes]}
        blobs.append(array.tobytes())
        at += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


start, batches = start_weights(), make_batches()
tensors = {"start." + name: value.numpy() for name, value in start.items()}
for key, kind in (("ids", "int16"), ("types", "uint8"), ("labels", "int16"), ("lengths", "int16"),
                  ("classes", "int16")):
    tensors["batch." + key] = np.stack([batch[key].numpy() for batch in batches]).astype(kind)
for task, loss_of, unused in (("mlm", mlm_loss, ("bert.pooler.", "classifier.")),
                              ("classify", classify_loss, ("cls.",))):
    change, steps = train(start, batches, loss_of, unused)
    print(task, steps)
    for name, value in change.items():
        tensors[f"{task}.change.{name}"] = value.numpy().astype("float32")
    tensors[f"{task}.steps"] = steps
write("trajectory_golden.safetensors", tensors,
      {"decay": str(DECAY), "max_grad_norm": str(MAX_NORM), "eps": str(EPS),
       "steps": "rows: loss per target, gradient norm before clipping, rate"})
