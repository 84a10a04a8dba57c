#!/usr/bin/python3
"""Makes tests/golden/grouping/: a corpus of letters, and the samples that run_mlm.py would cut it into.

    python3 tests/golden/make_grouping_golden.py

The loop below is written from the description of the script of Hugging Face's examples (without
line_by_line): every line, also an empty one, is tokenised with its specials; the tokens of each 1,000
lines are joined; they are cut into blocks of max_seq_length; what is left over is dropped, unless the
1,000 lines are shorter than one block.  The vocabulary is that of tests/unit/dataset_test.c: five
specials, a to z from id 5 on, and each of the words is one letter.
"""
import pathlib
import random

CLS, SEP, A = 2, 3, 5
GROUP, LENGTH = 1000, 48


def tokens(line):
    return [CLS] + [A + ord(word) - ord("a") for word in line.split()] + [SEP]


def group_texts(lines):
    samples = []
    for first in range(0, len(lines), GROUP):
        joined = sum((tokens(line) for line in lines[first:first + GROUP]), [])
        kept = len(joined) // LENGTH * LENGTH if len(joined) >= LENGTH else len(joined)
        samples += [joined[i:i + LENGTH] for i in range(0, kept, LENGTH)]
    return samples


def main():
    folder = pathlib.Path(__file__).parent / "grouping"
    folder.mkdir(exist_ok=True)
    draw = random.Random(7)
    # The last group has 5 short lines: shorter than a block, and so kept.
    counts = [draw.choice([0, 1, 2, 3, 5, 8]) for _ in range(2 * GROUP)] + [3, 0, 2, 1, 4]
    lines = [" ".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(count)) for count in counts]
    samples = group_texts(lines)
    (folder / "corpus.txt").write_text("".join(line + "\n" for line in lines))
    (folder / "hf.txt").write_text("".join(" ".join(map(str, sample)) + "\n" for sample in samples))


main()
