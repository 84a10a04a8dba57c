#!/usr/bin/python3
"""The same training in PyTorch (Debian's python3-torch), on batches written by dump_batches.

    torch_train.py --model DIR --batches FILE --task mlm|classify --steps N --total-steps T
                   [--lr 5e-5] [--warmup 0] [--decay 0] [--clip 1.0] [--double]     loss of each step as JSON
                   [--speed] [--masked-only] [--dropout 0.1]                        tokens per second, peak memory

A plain BERT with Hugging Face's tensor names: padded batches, post-LN, erf GELU, tied MLM decoder, AdamW with decay on
all but biases and LayerNorm, linear schedule, clip_grad_norm_.  Missing head tensors are read from DIR as well, so DIR
must hold what the C side started from (train it with max_steps and learning_rate 0 to write fresh heads out).
"""
import argparse
import json
import math
import resource
import struct
import time

import numpy as np
import torch
import torch.nn.functional as F

DTYPES = {"F32": np.float32, "I32": np.int32, "U8": np.uint8}


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    out = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        raw = data[8 + size + begin : 8 + size + end]
        out[name] = np.frombuffer(raw, DTYPES[info["dtype"]]).reshape(info["shape"])
    return out


class Bert:
    def __init__(self, folder, task, dtype, dropout):
        self.c = json.load(open(folder + "/config.json"))
        raw = read_safetensors(folder + "/model.safetensors")
        self.p = {n: torch.tensor(a, dtype=dtype, requires_grad=True) for n, a in raw.items()}
        self.task, self.dropout = task, dropout

    def linear(self, x, name):
        return F.linear(x, self.p[name + ".weight"], self.p[name + ".bias"])

    def norm(self, x, name):
        w = self.p[name + ".weight"]
        return F.layer_norm(x, w.shape, w, self.p[name + ".bias"], self.c["layer_norm_eps"])

    def drop(self, x):
        return F.dropout(x, self.dropout) if self.dropout else x

    def body(self, ids, types, mask):
        e, c = "bert.embeddings.", self.c
        heads = c["num_attention_heads"]
        b, s = ids.shape
        x = (F.embedding(ids, self.p[e + "word_embeddings.weight"], padding_idx=0)
             + self.p[e + "position_embeddings.weight"][:s]
             + F.embedding(types, self.p[e + "token_type_embeddings.weight"]))
        x = self.drop(self.norm(x, e + "LayerNorm"))
        bias = torch.zeros(mask.shape, dtype=x.dtype).masked_fill(mask == 0, torch.finfo(x.dtype).min)[:, None, None]
        split = lambda t: t.view(b, s, heads, -1).transpose(1, 2)
        for i in range(c["num_hidden_layers"]):
            n = f"bert.encoder.layer.{i}."
            q, k, v = (split(self.linear(x, n + "attention.self." + w)) for w in ("query", "key", "value"))
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias
            context = (self.drop(scores.softmax(-1)) @ v).transpose(1, 2).reshape(b, s, -1)
            x = self.norm(x + self.drop(self.linear(context, n + "attention.output.dense")), n + "attention.output.LayerNorm")
            inner = F.gelu(self.linear(x, n + "intermediate.dense"))
            x = self.norm(x + self.drop(self.linear(inner, n + "output.dense")), n + "output.LayerNorm")
        return x

    def loss(self, batch, masked_only):
        ids, types, mask, labels, classes = batch
        x = self.body(ids, types, mask)
        if self.task == "classify":
            pooled = torch.tanh(self.linear(x[:, 0], "bert.pooler.dense"))
            return F.cross_entropy(self.linear(self.drop(pooled), "classifier"), classes)
        if masked_only:
            x, labels = x[labels >= 0], labels[labels >= 0]
        t = self.norm(F.gelu(self.linear(x, "cls.predictions.transform.dense")), "cls.predictions.transform.LayerNorm")
        logits = F.linear(t, self.p["bert.embeddings.word_embeddings.weight"], self.p["cls.predictions.bias"])
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), labels.view(-1), ignore_index=-100)


def batches(path, steps):
    raw = read_safetensors(path)
    for t in range(steps):
        starts = raw[f"{t}.starts"]
        lengths = np.diff(starts)
        b, s = len(lengths), lengths.max()
        ids, types, mask = (np.zeros((b, s), np.int64) for _ in range(3))
        labels = np.full((b, s), -100, np.int64)
        row_of = np.repeat(np.arange(b), lengths)
        column_of = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        ids[row_of, column_of] = raw[f"{t}.ids"]
        types[row_of, column_of] = raw[f"{t}.types"]
        mask[row_of, column_of] = 1
        rows = raw[f"{t}.target_rows"]
        labels[row_of[rows], column_of[rows]] = raw[f"{t}.target_ids"]
        yield [torch.from_numpy(a) for a in (ids, types, mask, labels, raw[f"{t}.labels"].astype(np.int64))]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--model", required=True)
    a.add_argument("--batches", required=True)
    a.add_argument("--task", required=True)
    a.add_argument("--steps", type=int, default=100)
    a.add_argument("--total-steps", type=int, default=100)
    a.add_argument("--lr", type=float, default=5e-5)
    a.add_argument("--warmup", type=int, default=0)
    a.add_argument("--decay", type=float, default=0.0)
    a.add_argument("--clip", type=float, default=1.0)
    a.add_argument("--dropout", type=float, default=0.0)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--double", action="store_true")
    a.add_argument("--speed", action="store_true")
    a.add_argument("--masked-only", action="store_true")
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    model = Bert(a.model, a.task, torch.float64 if a.double else torch.float32, a.dropout)
    plain = [p for n, p in model.p.items() if "bias" in n or "LayerNorm" in n]
    decayed = [p for n, p in model.p.items() if not ("bias" in n or "LayerNorm" in n)]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": a.decay}, {"params": plain, "weight_decay": 0.0}],
                                  lr=a.lr, eps=1e-8)
    losses, seconds, real, padded = [], [], [], []
    for step, batch in enumerate(batches(a.batches, a.steps)):
        rate = step / a.warmup if step < a.warmup else (a.total_steps - step) / max(1, a.total_steps - a.warmup)
        for group in optimizer.param_groups:
            group["lr"] = a.lr * max(0.0, rate)
        begin = time.monotonic()
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(batch, a.masked_only)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in model.p.values() if p.grad is not None], a.clip)
        optimizer.step()
        seconds.append(time.monotonic() - begin)
        real.append(int(batch[2].sum()))
        padded.append(batch[2].numel())
        losses.append(loss.item())
    if a.speed:
        warm = min(5, len(seconds) // 4)
        total = sum(seconds[warm:])
        print(json.dumps({"tokens_per_second": sum(real[warm:]) / total,
                          "padded_tokens_per_second": sum(padded[warm:]) / total,
                          "padding": 1 - sum(real[warm:]) / sum(padded[warm:]),
                          "steps": len(seconds) - warm,
                          "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
    else:
        print(json.dumps(losses))


if __name__ == "__main__":
    main()
