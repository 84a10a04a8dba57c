#!/usr/bin/env python3
"""Prints the table of tests/unit/metrics_test.c: what scikit-learn says of a few confusion matrices.

Run with an interpreter that sees scikit-learn 1.2 (Debian: python3-sklearn).
"""
import warnings

from sklearn import metrics

warnings.simplefilter("ignore")
MATRICES = [
    [[50, 3], [7, 40]],
    [[11, 2, 0], [4, 9, 5], [1, 0, 23]],
    [[6, 0, 2, 0], [0, 0, 0, 0], [3, 0, 5, 1], [0, 0, 0, 0]],  # class 1 never occurs, 3 is only predicted
    [[0, 4], [0, 9]],  # class 0 is never predicted
    [[7]],
]
for matrix in MATRICES:
    gold, predicted = [], []
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            gold += [i] * count
            predicted += [j] * count
    numbers = [metrics.accuracy_score(gold, predicted), metrics.matthews_corrcoef(gold, predicted)]
    for average in "macro", "micro", "weighted":
        numbers += metrics.precision_recall_fscore_support(gold, predicted, average=average)[:3]
    cells = ", ".join(str(cell) for row in matrix for cell in row)
    print(f"{{{len(matrix)}, {{{cells}}},\n {{{', '.join(f'{x:.15g}' for x in numbers)}}}}},")
