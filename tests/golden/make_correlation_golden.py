#!/usr/bin/env python3
"""Writes tests/golden/correlation_golden.h: scipy's Pearson and Spearman of a few arrays.

Run in this folder with an interpreter that sees scipy (Debian: python3-scipy).
"""
import random

from scipy import stats

random.seed(1)
CASES = [
    ([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]),
    ([0.5, 0.5, 0.25, 1.0, -1.0, 0.5], [1, 2, 3, 4, 4, 1]),  # ties in both
    ([1, 2, 3], [-2, -4, -6]),
    ([round(random.gauss(0, 1), 3) for _ in range(40)], [random.randrange(6) for _ in range(40)]),
    ([1e8 + random.random() for _ in range(12)], [random.random() for _ in range(12)]),
]


def row(values):
    return "{" + ", ".join(repr(float(v)) for v in values) + "}"


with open("correlation_golden.h", "w") as out:
    out.write("/* Made by make_correlation_golden.py. */\n/* clang-format off */\n")
    out.write("static const struct {\n    size_t n;\n    double x[40], y[40];\n")
    out.write("    double pearson, spearman;\n} golden[] = {\n")
    for x, y in CASES:
        out.write(f"    {{{len(x)},\n     {row(x)},\n     {row(y)},\n")
        out.write(f"     {float(stats.pearsonr(x, y)[0])!r}, {float(stats.spearmanr(x, y)[0])!r}}},\n")
    out.write("};\n/* clang-format on */\n")
