#!/usr/bin/env python3
"""Texts of any number of labels, known by construction: planted_sets.py SEED COUNT > FILE.jsonl

Each label holds by a coin of its own; then one of its 4 words stands at any place among 8 words that
say nothing.  The words are common ones, dealt to the labels by chance: what they mean is no help.
"""
import json
import random
import sys

from planted_texts import NOISE, WORDS

LABELS, EACH = 3, 4

rng = random.Random(int(sys.argv[1]))
noise = WORDS[LABELS * EACH:]
for i in range(int(sys.argv[2])):
    text = [rng.choice(noise) for _ in range(NOISE)]
    held = [k for k in range(LABELS) if rng.random() < 0.4]
    for k in held:
        text.insert(rng.randrange(len(text) + 1), rng.choice(WORDS[k * EACH:(k + 1) * EACH]))
    print(json.dumps({"text": " ".join(text), "label": [f"label{k}" for k in held]}))
