#!/usr/bin/python3
"""How much faster is a step with the first layers frozen, and how much should it be?

    tests/bench/freeze.py [--build build] [--shared ../shared] [--steps 60] [--rounds 3]

A fresh bert-mini (4 layers, C 256) on rotten_tomatoes: nothing frozen, embeddings and the first K layers, the whole body.
Rounds alternate; medians of the step time.  The arithmetic counts multiplications of the layers' matrices: a layer's forward
is 1, its input gradient 1, its weight gradient 1; the last layer runs at [CLS] only, but for its keys and values; the lowest
layer that is trained needs no input gradient unless the embeddings are trained.
"""
import argparse
import json
import os
import re
import statistics

import runs

L, C, F, TOKENS = 4, 256, 1024, 27.4
LAYER = 4 * C * C + 2 * C * F
LAST = 2 * C * C + (2 * C * C + 2 * C * F) / TOKENS  # keys and values everywhere, the rest at one of 27 positions


def cost(frozen):
    """Multiplications per token; frozen: None, 1..L layers, or "body"."""
    forward = (L - 1) * LAYER + LAST
    if frozen == "body":
        return forward
    first = 0 if frozen is None else frozen
    backward = 0
    for layer in range(first, L):
        size = LAST if layer == L - 1 else LAYER
        backward += size * (2 if layer > first or frozen is None else 1)
    return forward + backward


def main():
    a = argparse.ArgumentParser()
    runs.add_arguments(a, "/tmp/shardbert-freeze")
    a.add_argument("--steps", type=int, default=60)
    a.add_argument("--rounds", type=int, default=3)
    a = a.parse_args()
    os.makedirs(a.work, exist_ok=True)
    data = os.path.join(os.path.abspath(a.shared), "data")
    config = os.path.join(a.work, "mini.json")
    runs.write_whole(config, {**runs.MINI, "hidden_size": C, "num_hidden_layers": L, "intermediate_size": F})
    cases = {"nothing": None, **{f"layers:{k}": k for k in range(1, L + 1)}, "body": "body"}
    seconds = {name: [] for name in cases}
    for _ in range(a.rounds):
        for name in cases:
            job = os.path.join(a.work, "job.yaml")
            runs.write_job(job, {
                "task": "classify", "config_name": config, "tokenizer_name": f"{data}/models/bert-tiny-general",
                "train_file": f"{data}/classification/rotten_tomatoes/train.tsv", "output_dir": f"{a.work}/out",
                "cache_dir": f"{a.work}/cache", "max_seq_length": 128, "batch_size": 32, "max_steps": a.steps,
                "logging_steps": 1, "save_steps": 0, **({"freeze": name} if cases[name] else {})})
            _, log = runs.shardbert(a.build, "train", job, "--fresh")
            steps = [float(s) for s in re.findall(r"event=step .*step_seconds=([0-9.e-]+)", log)]
            seconds[name].append(statistics.median(steps[5:]))
    whole = statistics.median(seconds["nothing"])
    print(f"{'frozen':10} {'ms a step':>10} {'faster by':>10} {'arithmetic':>10}")
    for name, times in seconds.items():
        step = statistics.median(times)
        print(f"{name:10} {1000 * step:10.2f} {whole / step:10.2f} {cost(None) / cost(cases[name]):10.2f}")


if __name__ == "__main__":
    main()
