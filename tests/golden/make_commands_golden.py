#!/usr/bin/env python3
"""Makes tests/golden/commands: a tiny model with all heads, texts, and what a model of this kind
answers, computed here in float64 with numpy, from the formulas of BERT (Devlin et al., 2019) and
nothing else. Run from the root of the repository."""
import json
import math
import struct
from pathlib import Path

import numpy as np

FOLDER = Path("tests/golden/commands")
C, L, H, F, P = 16, 2, 2, 32, 24
LABELS = ["sport", "weather", "food"]
WORDS = """the a rain sun snow wind falls shines on over team wins loses game goal ball we eat bread
soup with salt and is good bad today tomorrow not cold hot play ##er ##s ##ing . , !""".split()
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS
V = len(VOCAB)
TEXTS = [
    {"text": "The rain falls today."},
    {"text": "we eat bread and soup"},
    {"text": "The team wins the [MASK]!"},
    {"text": ""},
    {"text": "players playing, eating [MASK] with [MASK]", "text_pair": "the sun shines"},
    {"text": "unknown words are here: " + "snow and wind, " * 20},
    {"text": "the wind", "text_pair": "cold, cold, cold, cold, cold, cold, cold, cold, cold, cold, cold, cold"},
]
GOLD = [1, 2, 0, 1, 0, 1, 1]


def tensors(rng):
    def normal(*shape):
        return (rng.standard_normal(shape) * 0.3).astype(np.float32)

    def layer_norm(name):
        return {name + ".weight": 1 + normal(C) / 3, name + ".bias": normal(C)}

    def linear(name, rows, cols):
        return {name + ".weight": normal(rows, cols), name + ".bias": normal(rows)}

    t = {}
    for name, rows in ("word", V), ("position", P), ("token_type", 2):
        t[f"bert.embeddings.{name}_embeddings.weight"] = normal(rows, C)
    t |= layer_norm("bert.embeddings.LayerNorm")
    for i in range(L):
        p = f"bert.encoder.layer.{i}."
        for name in "query", "key", "value":
            t |= linear(p + "attention.self." + name, C, C)
        t |= linear(p + "attention.output.dense", C, C)
        t |= layer_norm(p + "attention.output.LayerNorm")
        t |= linear(p + "intermediate.dense", F, C)
        t |= linear(p + "output.dense", C, F)
        t |= layer_norm(p + "output.LayerNorm")
    t |= linear("bert.pooler.dense", C, C)
    t |= linear("classifier", len(LABELS), C)
    t |= linear("cls.predictions.transform.dense", C, C)
    t |= layer_norm("cls.predictions.transform.LayerNorm")
    t["cls.predictions.bias"] = normal(V)
    return t


def write_safetensors(path, t):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, value in t.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for v in t.values()))


def pieces(text):
    words = text
    for mark in ".,!:":
        words = words.replace(mark, f" {mark} ")
    out = []
    for word in words.split():
        if word in VOCAB[:5]:
            out.append(VOCAB.index(word))
            continue
        word, found, start = word.lower(), [], 0
        while start < len(word):
            end = len(word)
            while end > start and ("##" if start else "") + word[start:end] not in VOCAB:
                end -= 1
            if end == start:
                found = [1]
                break
            found.append(VOCAB.index(("##" if start else "") + word[start:end]))
            start = end
        out += found
    return out


def encode(item):
    first, pair = pieces(item["text"]), item.get("text_pair")
    if pair is None:
        ids = [2] + first[: P - 2] + [3]
        return ids, [0] * len(ids)
    second = pieces(pair)
    while len(first) + len(second) > P - 3:  # the longer one gives; all the second's room is given here
        (first if len(first) > len(second) else second).pop()
    ids = [2] + first + [3] + second + [3]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


erf = np.vectorize(math.erf)


def norm(x, t, name):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return t[name + ".weight"] * (x - mean) / np.sqrt(var + 1e-12) + t[name + ".bias"]


def dense(x, t, name):
    return x @ t[name + ".weight"].T + t[name + ".bias"]


def gelu(x):
    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def forward(t, ids, types):
    e = "bert.embeddings."
    x = t[e + "word_embeddings.weight"][ids] + t[e + "position_embeddings.weight"][: len(ids)]
    x = norm(x + t[e + "token_type_embeddings.weight"][types], t, e + "LayerNorm")
    for i in range(L):
        p, D = f"bert.encoder.layer.{i}.", C // H
        q, k, v = (dense(x, t, p + "attention.self." + n) for n in ("query", "key", "value"))
        heads = []
        for h in range(H):
            s = slice(h * D, (h + 1) * D)
            heads.append(softmax(q[:, s] @ k[:, s].T / math.sqrt(D)) @ v[:, s])
        a = dense(np.concatenate(heads, -1), t, p + "attention.output.dense")
        x = norm(x + a, t, p + "attention.output.LayerNorm")
        f = dense(gelu(dense(x, t, p + "intermediate.dense")), t, p + "output.dense")
        x = norm(x + f, t, p + "output.LayerNorm")
    return x


def answer(t, item):
    ids, types = encode(item)
    hidden = forward(t, ids, types)
    logits = dense(np.tanh(dense(hidden[0], t, "bert.pooler.dense")), t, "classifier")
    m = "cls.predictions."
    h = norm(gelu(dense(hidden, t, m + "transform.dense")), t, m + "transform.LayerNorm")
    scores = softmax(h @ t["bert.embeddings.word_embeddings.weight"].T + t[m + "bias"])
    masks = []
    for row in (i for i, token in enumerate(ids) if token == 4):
        best = np.argsort(-scores[row])[:3]
        masks.append([{"token": VOCAB[b], "id": int(b), "score": scores[row][b]} for b in best])
    mean = hidden.mean(0)
    return {
        "logits": logits.tolist(), "scores": softmax(logits).tolist(),
        "label": LABELS[int(logits.argmax())], "masks": masks, "mean": mean.tolist(),
        "mean_normalized": (mean / np.linalg.norm(mean)).tolist(),
        "cls": hidden[0].tolist(), "max": hidden.max(0).tolist(),
    }


def main():
    t = tensors(np.random.default_rng(7))
    model = FOLDER / "model"
    model.mkdir(parents=True, exist_ok=True)
    write_safetensors(model / "model.safetensors", t)
    (model / "vocab.txt").write_text("".join(piece + "\n" for piece in VOCAB))
    (model / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}) + "\n")
    config = {
        "architectures": ["BertForSequenceClassification"], "model_type": "bert", "vocab_size": V,
        "hidden_size": C, "num_hidden_layers": L, "num_attention_heads": H, "intermediate_size": F,
        "max_position_embeddings": P, "type_vocab_size": 2, "hidden_act": "gelu",
        "layer_norm_eps": 1e-12, "id2label": {str(i): label for i, label in enumerate(LABELS)},
        "label2id": {label: i for i, label in enumerate(LABELS)},
    }
    (model / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    wide = {name: value.astype(np.float64) for name, value in t.items()}
    answers = [answer(wide, item) for item in TEXTS]
    lines = [item["text"] if len(item) == 1 else json.dumps(item) for item in TEXTS]
    (FOLDER / "texts.txt").write_text("".join(line + "\n" for line in lines))
    (FOLDER / "labelled.jsonl").write_text("".join(
        json.dumps(item | {"label": LABELS[gold]}) + "\n" for item, gold in zip(TEXTS, GOLD)
        if len(item) == 1 and item["text"]))
    used = [(a, g) for a, item, g in zip(answers, TEXTS, GOLD) if len(item) == 1 and item["text"]]
    loss = -sum(math.log(a["scores"][g]) for a, g in used) / len(used)
    confusion = np.zeros((3, 3), int)
    for a, g in used:
        confusion[g][LABELS.index(a["label"])] += 1
    (FOLDER / "expected.json").write_text(json.dumps(
        {"answers": answers, "eval": {"loss": loss, "samples": len(used), "confusion_matrix": confusion.tolist()}},
        indent=1) + "\n")


main()
