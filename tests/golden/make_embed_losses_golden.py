#!/usr/bin/env python3
"""Writes tests/golden/embed_losses_golden.safetensors: losses of embeddings and their gradients.

Each loss is written down here in PyTorch's operators, after sentence-transformers' definitions, on all
pairs at once and with masks, in double precision; autograd gives the gradients.  Nothing is shared with
the C code.  Also the three ways to pool a ragged batch.  Run in this folder with an interpreter that
sees PyTorch (python3-torch).
"""
import json
import struct

import numpy as np
import torch
import torch.nn.functional as F

torch.manual_seed(7)
n, C, P = 14, 19, 16
# A direction in common: so that cosines are far from 0, and both sides of every margin occur.
x = (torch.randn(n, C) + 0.7 * torch.randn(C)).float().double()
first = torch.randint(0, n, (P,))
second = (first + 1 + torch.randint(0, n - 1, (P,))) % n
score = torch.rand(P).mul(20).round().div(20).float().double()  # with ties
nearest = F.cosine_similarity(x[first], x[second]).argsort(descending=True)
alike = torch.zeros(P, dtype=torch.float64)
alike[nearest[[0, 1, 2, 4, 5, 6, 7, 11]]] = 1  # mostly right, so that not every pair is a hard one
lone = torch.zeros(P, dtype=torch.float64)
lone[3] = 1  # a single alike pair
classes = torch.arange(n) % 4
triplets = torch.stack([torch.randperm(n)[:3] for _ in range(P)])
anchor, positive = torch.arange(0, 5), torch.arange(5, 10)
negative = torch.arange(10, 14)
# Texts: candidate 6 is the same as 5, anchor 3 the same as 2, hard negative 12 the same as anchor 4.
texts = torch.arange(n)
texts[6], texts[3], texts[12] = texts[5], texts[2], texts[4]
tensors = {"x": x.float(), "first": first, "second": second, "score": score.float(), "alike": alike.float(),
           "lone": lone.float(), "classes": classes, "triplets": triplets, "texts": texts}


def cos(a, b):
    return (F.normalize(a, dim=-1) * F.normalize(b, dim=-1)).sum(-1)


def cosine(v):
    return F.mse_loss(cos(v[first], v[second]), score, reduction="sum")


def contrastive(v, margin=0.5):
    d = 1 - cos(v[first], v[second])
    return (0.5 * (alike * d**2 + (1 - alike) * F.relu(margin - d) ** 2)).sum()


def online_contrastive(v, gold, margin=0.5):
    d = 1 - cos(v[first], v[second])
    negs, poss = d[gold == 0], d[gold == 1]
    hard_negs = negs[negs < (poss.max() if len(poss) > 1 else negs.mean())]
    hard_poss = poss[poss > (negs.min() if len(negs) > 1 else poss.mean())]
    print("hard:", len(hard_poss), "of", len(poss), "and", len(hard_negs), "of", len(negs))
    return (hard_poss**2).sum() + (F.relu(margin - hard_negs) ** 2).sum()


def cosent(v, scale=20.0):
    s = scale * cos(v[first], v[second])
    below = score[:, None] < score[None, :]
    exponents = (s[:, None] - s[None, :]).masked_fill(~below, -torch.inf)
    return torch.logsumexp(torch.cat([torch.zeros(1), exponents.reshape(-1)]), 0)


def distances(a, b, metric):
    return 1 - cos(a, b) if metric == "cosine" else torch.linalg.vector_norm(a - b, dim=-1)


def triplet(v, metric, margin):
    a, p, q = (v[triplets[:, i]] for i in range(3))
    losses = F.relu(distances(a, p, metric) - distances(a, q, metric) + margin)
    print("triplets:", int((losses > 0).sum()), "of", len(losses))
    return losses.sum()


def batch_hard(v, metric, margin):
    total = 0
    same = classes[:, None] == classes[None, :]
    for i in range(n):
        others = torch.arange(n) != i
        d = torch.stack([distances(v[i], v[j], metric) if j != i else torch.zeros(()) for j in range(n)])
        total = total + F.relu(d[same[i] & others].max() - d[~same[i]].min() + margin)
    return total


def ranking(v, hard, duplicates, scale=20.0):
    candidates = torch.cat([positive, negative]) if hard else positive
    s = scale * F.normalize(v[anchor], dim=1) @ F.normalize(v[candidates], dim=1).T
    if duplicates:
        mask = torch.zeros_like(s, dtype=torch.bool)
        for i in range(len(anchor)):
            for j in range(len(candidates)):
                own = {int(texts[anchor[i]]), int(texts[positive[i]])}
                again = j < len(anchor) and texts[anchor[j]] == texts[anchor[i]]
                mask[i, j] = i != j and (int(texts[candidates[j]]) in own or bool(again))
        print("masked:", int(mask.sum()))
        s = s.masked_fill(mask, -torch.inf)
    return F.cross_entropy(s, torch.arange(len(anchor)), reduction="sum")


CASES = {
    "cosine": cosine,
    "contrastive": contrastive,
    "online": lambda v: online_contrastive(v, alike),
    "online_lone": lambda v: online_contrastive(v, lone),
    "cosent": cosent,
    "triplet_cosine": lambda v: triplet(v, "cosine", 0.25),
    "triplet_euclidean": lambda v: triplet(v, "euclidean", 1.0),
    "hard_cosine": lambda v: batch_hard(v, "cosine", 0.25),
    "hard_euclidean": lambda v: batch_hard(v, "euclidean", 5.0),
    "ranking": lambda v: ranking(v, False, False),
    "ranking_hard": lambda v: ranking(v, True, False),
    "ranking_duplicates": lambda v: ranking(v, True, True),
}
torch.set_default_dtype(torch.float64)
for name, loss in CASES.items():
    v = x.clone().requires_grad_(True)
    value = loss(v)
    value.backward()
    tensors[name] = value.detach()
    tensors[name + ".dx"] = v.grad
    print(name, float(value))

lengths = [3, 1, 7, 2]
h = torch.randn(sum(lengths), C).float().double()
h[5] = h[4]  # equal maxima: the first one wins
dy = torch.randn(len(lengths), C).float().double()
tensors |= {"h": h.float(), "dy": dy.float()}
for name in "mean", "cls", "max":
    v = h.clone().requires_grad_(True)
    rows, start = [], 0
    for length in lengths:
        part = v[start : start + length]
        # argmax of a one-hot of equal maxima is the first; max().values shares the gradient.
        best = part[part.detach().numpy().argmax(axis=0), torch.arange(C)]
        rows.append({"mean": part.mean(0), "cls": part[0], "max": best}[name])
        start += length
    y = torch.stack(rows)
    (y * dy).sum().backward()
    tensors[name + ".y"], tensors[name + ".dh"] = y.detach(), v.grad

NAMES = {"float32": "F32", "float64": "F64", "int64": "I64"}
header, data = {}, b""
for name, value in tensors.items():
    value = np.ascontiguousarray(value.numpy())
    header[name] = {"dtype": NAMES[str(value.dtype)], "shape": list(value.shape),
                    "data_offsets": [len(data), len(data) + value.nbytes]}
    data += value.tobytes()
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open("embed_losses_golden.safetensors", "wb") as out:
    out.write(struct.pack("<Q", len(text)) + text + data)
