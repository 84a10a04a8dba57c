#!/usr/bin/env python3
"""Labelled texts whose class is known by construction: planted_texts.py SEED COUNT > FILE.tsv

A text of class k has one of 12 words of class k at any place among 8 words that say nothing.  The
words are common ones, dealt to the classes by chance: what they mean is no help.
"""
import random
import sys

WORDS = """table river stone garden letter winter silver window bridge engine paper ocean market doctor
island music soldier summer village yellow animal bottle camera cotton desert dinner farmer flower forest
guitar hammer hunter jacket kitchen ladder lemon machine mirror monkey needle office orange pencil pepper
pillow pocket potato rabbit ribbon saddle sailor school shadow spider spring square street sugar temple
ticket tiger tunnel valley violin wagon wallet weather whistle wonder zebra""".split()
CLASSES, EACH, NOISE = 3, 12, 8

random.Random(1).shuffle(WORDS)
if __name__ == "__main__":
    rng = random.Random(int(sys.argv[1]))
    noise = WORDS[CLASSES * EACH:]
    for i in range(int(sys.argv[2])):
        k = i % CLASSES
        text = [rng.choice(noise) for _ in range(NOISE)]
        text.insert(rng.randrange(NOISE + 1), rng.choice(WORDS[k * EACH:(k + 1) * EACH]))
        print(f"class{k}\t{' '.join(text)}")
