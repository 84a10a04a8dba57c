#!/usr/bin/env python3
"""Writes tests/golden/logreg_golden.safetensors: what scikit-learn fits on real embeddings.

The embeddings are those of questions of TREC by bert-tiny-general, made beforehand:

    head -90 $SHARED/classification/trec/train.tsv > questions.tsv
    cut -f2 questions.tsv | shardbert embed --model $SHARED/models/bert-tiny-general > embeddings.jsonl
    ./make_logreg_golden.py questions.tsv embeddings.jsonl

For each problem the file holds the coefficients of two of scikit-learn's solvers at tolerance 1e-10 (its
lbfgs also ends when the objective hardly falls, so newton-cg is the sharper one) and the objective that
lbfgs reaches with the defaults.  Run with an interpreter that sees scikit-learn 1.2 (Debian:
python3-sklearn).
"""
import json
import struct
import sys
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

LABELS = ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]
questions = [line.rstrip("\n").split("\t") for line in open(sys.argv[1])]
vectors = [json.loads(line)["embedding"] for line in open(sys.argv[2])]
x = np.array(vectors, dtype=np.float32)
classes = np.array([LABELS.index(label) for label, _ in questions])
assert len(x) == len(classes) and set(classes) == set(range(6))
labels = np.array([[c in (2, 3), len(text.split()) > 9, "What" in text, c == 5]
                   for c, (_, text) in zip(classes, questions)])
tensors = {"x": x, "classes": classes, "labels": labels.astype(np.uint8)}
wide = x.astype(np.float64)


def objective(gold, coef, intercept, C, weights):
    """1/2 |W|^2 + C * sum weight * -ln p, written down once more."""
    z = wide @ coef.T + intercept
    if len(coef) == 1:
        z = np.hstack([np.zeros_like(z), z])
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    loss = -(weights[gold] * log_p[np.arange(len(gold)), gold]).sum()
    return 0.5 * (coef**2).sum() + C * loss


def problem(name, gold, C=1.0, class_weight=None):
    count = np.bincount(gold)
    weights = len(gold) / (len(count) * count) if class_weight else np.ones(len(count))
    sharp = {"tol": 1e-10, "C": C, "class_weight": class_weight}
    for solver, max_iter in ("newton-cg", 200), ("lbfgs", 100000):
        fit = LogisticRegression(solver=solver, max_iter=max_iter, **sharp).fit(wide, gold)
        tensors[f"{name}.{solver}.coef"] = fit.coef_
        tensors[f"{name}.{solver}.intercept"] = fit.intercept_
        print(name, solver, fit.n_iter_, objective(gold, fit.coef_, fit.intercept_, C, weights))
    fit = LogisticRegression(C=C, class_weight=class_weight).fit(wide, gold)
    found = objective(gold, fit.coef_, fit.intercept_, C, weights)
    print(name, "defaults", fit.n_iter_, found)
    tensors[f"{name}.objective"] = np.array(found)


warnings.simplefilter("ignore")  # of lbfgs with the defaults, which may end at max_iter
problem("six", classes)
problem("six_balanced", classes, 0.5, "balanced")
problem("two", (classes == 3).astype(int))
problem("two_balanced", (classes == 3).astype(int), 10.0, "balanced")
rest = OneVsRestClassifier(LogisticRegression(solver="newton-cg", tol=1e-10, max_iter=200)).fit(wide, labels)
tensors["labels.coef"] = np.vstack([e.coef_ for e in rest.estimators_])
tensors["labels.intercept"] = np.hstack([e.intercept_ for e in rest.estimators_])
tensors["six.p"] = LogisticRegression(solver="newton-cg", tol=1e-10, max_iter=200).fit(
    wide, classes).predict_proba(wide[:5])

NAMES = {"float32": "F32", "float64": "F64", "int64": "I64", "uint8": "U8"}
header, data = {}, b""
for name, value in tensors.items():
    value = np.ascontiguousarray(value)
    header[name] = {"dtype": NAMES[str(value.dtype)], "shape": list(value.shape),
                    "data_offsets": [len(data), len(data) + value.nbytes]}
    data += value.tobytes()
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open("logreg_golden.safetensors", "wb") as out:
    out.write(struct.pack("<Q", len(text)) + text + data)
