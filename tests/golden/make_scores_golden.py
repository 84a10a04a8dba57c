#!/usr/bin/env python3
"""Writes tests/golden/scores_golden.h: what scikit-learn says of a few confusion matrices.

Run in this folder with an interpreter that sees scikit-learn 1.2 (Debian: python3-sklearn).
"""
import random
import warnings

from sklearn import metrics

warnings.simplefilter("ignore")
random.seed(1)
MATRICES = [
    [[50, 3], [7, 40]],
    [[0, 4], [0, 9]],  # class 0 is never predicted
    [[5, 0], [3, 0]],  # class 1 is never predicted
    [[4, 0], [0, 0]],  # class 1 does not occur
    [[11, 2, 0], [4, 9, 5], [1, 0, 23]],
    [[6, 0, 2, 0], [0, 0, 0, 0], [3, 0, 5, 1], [0, 0, 0, 0]],  # 1 never occurs, 3 is only predicted
    [[7]],
    [[random.randrange(40) + 50 * (i == j) for j in range(6)] for i in range(6)],
]


def scores(matrix):
    gold, predicted = [], []
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            gold += [i] * count
            predicted += [j] * count
    values = {"accuracy": metrics.accuracy_score(gold, predicted)}
    averages = ["macro", "micro", "weighted"] + (["binary"] if len(matrix) == 2 else [])
    for average in averages:
        found = metrics.precision_recall_fscore_support(gold, predicted, average=average)
        for name, value in zip(("precision", "recall", "f1"), found):
            values[name if average == "binary" else f"{name}_{average}"] = value
    values["mcc"] = metrics.matthews_corrcoef(gold, predicted)
    return values


with open("scores_golden.h", "w") as out:
    out.write("/* Made by make_scores_golden.py. */\n")
    out.write("/* clang-format off */\nstatic const struct {\n    size_t K;\n    double confusion[36];\n")
    out.write("    struct {\n        const char *name;\n        double value;\n    } scores[14];\n")
    out.write("} golden[] = {\n")
    for matrix in MATRICES:
        cells = ", ".join(str(cell) for row in matrix for cell in row)
        out.write(f"    {{{len(matrix)},\n     {{{cells}}},\n     {{")
        rows = [f'{{"{name}", {float(value)!r}}}' for name, value in scores(matrix).items()]
        out.write(",\n      ".join(rows) + "}},\n")
    out.write("};\n")
