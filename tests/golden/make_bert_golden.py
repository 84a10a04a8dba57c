#!/usr/bin/python3
"""Makes tests/golden/bert_*.safetensors: small BERTs, their losses and gradients, by PyTorch in double.

    /usr/bin/python3 tests/golden/make_bert_golden.py

Weights are float32 numbers, computed with in double; gradients are rounded to float32 at the end.
Losses and gradients are sums over targets, as everywhere in this program.  Debian's python3-torch
1.13 made the files in the tree.
"""
import json
import math
import os
import struct

import numpy
import torch

CASES = {
    # Three heads, tanh GELU, an unlabelled sequence, sequences of one token.
    "classify": dict(V=61, C=24, L=3, H=3, F=40, P=20, K=4, tanh=True, lengths=[7, 1, 20, 12, 3]),
    # More than two tiles of the vocabulary and more than one block of masked words; nothing even.
    "mlm": dict(V=1100, C=20, L=1, H=2, F=36, P=48, K=0, tanh=False,
                lengths=[48, 31, 1, 45, 17, 40, 48, 29]),
    # Two layers and pad ids inside a text, which the lookup gradient leaves out.
    "mlm_tanh": dict(V=90, C=32, L=2, H=4, F=50, P=16, K=0, tanh=True, lengths=[16, 9, 2, 13]),
    # A classifier of tokens, without a pooler.
    "tokens": dict(V=70, C=24, L=2, H=2, F=44, P=24, K=5, tanh=False, tokens=True,
                   lengths=[24, 3, 1, 17, 9]),
    # Sentence vectors of a body without a head, by each pooling.
    "vectors": dict(V=40, C=16, L=2, H=2, F=24, P=16, K=0, tanh=False, vectors=True,
                    lengths=[16, 1, 7, 11]),
}
POOLINGS = ("mean", "cls", "max")


def tensors_of(c):
    C, F = c["C"], c["F"]
    yield "bert.embeddings.word_embeddings.weight", (c["V"], C)
    yield "bert.embeddings.position_embeddings.weight", (c["P"], C)
    yield "bert.embeddings.token_type_embeddings.weight", (2, C)
    norms = ["bert.embeddings.LayerNorm"]
    linears = []
    for l in range(c["L"]):
        at = f"bert.encoder.layer.{l}."
        linears += [(at + f"attention.self.{n}", C, C) for n in ("query", "key", "value")]
        linears += [(at + "attention.output.dense", C, C), (at + "intermediate.dense", F, C),
                    (at + "output.dense", C, F)]
        norms += [at + "attention.output.LayerNorm", at + "output.LayerNorm"]
    if c.get("vectors"):
        pass
    elif c.get("tokens"):
        linears += [("classifier", c["K"], C)]
    elif c["K"]:
        linears += [("bert.pooler.dense", C, C), ("classifier", c["K"], C)]
    else:
        linears += [("cls.predictions.transform.dense", C, C)]
        norms += ["cls.predictions.transform.LayerNorm"]
        yield "cls.predictions.bias", (c["V"],)
    for name, rows, cols in linears:
        yield name + ".weight", (rows, cols)
        yield name + ".bias", (rows,)
    for name in norms:
        yield name + ".weight", (C,)
        yield name + ".bias", (C,)


def body_of(c, w, ids, types, mask):
    """The last states of a padded batch."""
    fun = torch.nn.functional
    B, S = ids.shape
    gelu = lambda x: fun.gelu(x, approximate="tanh" if c["tanh"] else "none")
    linear = lambda x, name: fun.linear(x, w[name + ".weight"], w[name + ".bias"])
    norm = lambda x, name: fun.layer_norm(x, (c["C"],), w[name + ".weight"], w[name + ".bias"], 1e-12)
    heads = lambda x: x.view(B, S, c["H"], -1).transpose(1, 2)
    x = (fun.embedding(ids, w["bert.embeddings.word_embeddings.weight"], padding_idx=0)
         + w["bert.embeddings.token_type_embeddings.weight"][types]
         + w["bert.embeddings.position_embeddings.weight"][:S])
    x = norm(x, "bert.embeddings.LayerNorm")
    for l in range(c["L"]):
        at = f"bert.encoder.layer.{l}."
        q, k, v = (heads(linear(x, at + "attention.self." + n)) for n in ("query", "key", "value"))
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(~mask[:, None, None, :], -math.inf)
        context = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, S, -1)
        x = norm(x + linear(context, at + "attention.output.dense"),
                 at + "attention.output.LayerNorm")
        inner = gelu(linear(x, at + "intermediate.dense"))
        x = norm(x + linear(inner, at + "output.dense"), at + "output.LayerNorm")
    return x


def vectors_of(x, mask, pooling):
    """One vector of each sequence."""
    if pooling == "cls":
        return x[:, 0]
    if pooling == "max":
        return x.masked_fill(~mask[:, :, None], -math.inf).max(1).values
    return (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)


def loss_of(c, w, ids, types, mask, words, classes):
    """The sum of the losses of all targets of a padded batch."""
    fun = torch.nn.functional
    B, S = ids.shape
    gelu = lambda x: fun.gelu(x, approximate="tanh" if c["tanh"] else "none")
    linear = lambda x, name: fun.linear(x, w[name + ".weight"], w[name + ".bias"])
    norm = lambda x, name: fun.layer_norm(x, (c["C"],), w[name + ".weight"], w[name + ".bias"], 1e-12)
    x = body_of(c, w, ids, types, mask)
    if c.get("tokens"):
        logits = linear(x, "classifier")
        return fun.cross_entropy(logits.view(B * S, -1), words.view(-1), reduction="sum")
    if c["K"]:
        logits = linear(torch.tanh(linear(x[:, 0], "bert.pooler.dense")), "classifier")
        return fun.cross_entropy(logits, classes, ignore_index=-1, reduction="sum")
    y = norm(gelu(linear(x, "cls.predictions.transform.dense")),
             "cls.predictions.transform.LayerNorm")
    logits = fun.linear(y, w["bert.embeddings.word_embeddings.weight"], w["cls.predictions.bias"])
    return fun.cross_entropy(logits.view(B * S, -1), words.view(-1), reduction="sum")


def make(name, c, seed):
    draw = torch.Generator().manual_seed(seed)
    w = {}
    for tensor, shape in tensors_of(c):
        values = 0.3 * torch.randn(shape, generator=draw, dtype=torch.float64)
        values += tensor.endswith("LayerNorm.weight")
        w[tensor] = values.float().double().requires_grad_()
    B, S = len(c["lengths"]), max(c["lengths"])
    mask = torch.arange(S)[None, :] < torch.tensor(c["lengths"])[:, None]
    ids = torch.randint(1, c["V"], (B, S), generator=draw)
    ids[torch.rand((B, S), generator=draw) < 0.05] = 0
    types = (torch.arange(S)[None, :] >= 5).long().expand(B, S)
    words = torch.randint(0, c["K"] if c.get("tokens") else c["V"], (B, S), generator=draw)
    words[(torch.rand((B, S), generator=draw) < 0.4) | ~mask] = -100
    classes = torch.randint(0, max(c["K"], 1), (B,), generator=draw)
    classes[1] = -1
    if c["K"] and not c.get("tokens"):
        words[:] = -100
    else:
        classes[:] = 0
    ids, types = ids * mask, types * mask
    out = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask.long(),
           "labels": words, "next_sentence_label": classes}
    out = {key: value.numpy().astype(numpy.int64) for key, value in out.items()}
    if c.get("vectors"):
        pull_vectors(c, w, ids, types, mask, out)
    else:
        loss = loss_of(c, w, ids, types, mask, words, classes)
        loss.backward()
        out["out.loss_sum"] = numpy.array([loss.item()])
        for tensor, value in w.items():
            out[tensor] = value.detach().numpy().astype(numpy.float32)
            out["grad." + tensor] = value.grad.numpy().astype(numpy.float32)
    write(os.path.join(os.path.dirname(os.path.abspath(__file__)), f"bert_{name}.safetensors"), out)


def pull_vectors(c, w, ids, types, mask, out):
    """The vectors of every pooling, and the gradients of the sum of their cubes."""
    for tensor, value in w.items():
        out[tensor] = value.detach().numpy().astype(numpy.float32)
    for pooling in POOLINGS:
        vectors = vectors_of(body_of(c, w, ids, types, mask), mask, pooling)
        out[f"out.{pooling}"] = vectors.detach().numpy().astype(numpy.float32)
        (vectors ** 3).sum().backward()
        for tensor, value in w.items():
            out[f"grad.{pooling}.{tensor}"] = value.grad.numpy().astype(numpy.float32)
            value.grad = None


def write(path, arrays):
    names = {"float32": "F32", "float64": "F64", "int64": "I64"}
    header, at = {}, 0
    for key, value in arrays.items():
        header[key] = {"dtype": names[str(value.dtype)], "shape": list(value.shape),
                       "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for value in arrays.values():
            file.write(numpy.ascontiguousarray(value).tobytes())


if __name__ == "__main__":
    for number, (case, shape) in enumerate(CASES.items()):
        make(case, shape, number)
