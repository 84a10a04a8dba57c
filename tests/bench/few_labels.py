"""Baselines for few labels and for tags: scikit-learn on words or embeddings, and a dictionary of entities."""
import json
import os
import random

import numpy
from sklearn.linear_model import LogisticRegression

import bag_of_words
import runs


def few_lines(build, train, per_label, seed):
    """Places (from 0) in the file of the texts that samples_per_label and this seed draw."""
    out, _ = runs.shardbert(build, "sample", "--data", train, "--per-label", per_label, "--seed", seed)
    return [json.loads(line)["line"] - 1 for line in out.splitlines()]


def embeddings(build, body, path, work):
    """One row for each line of a label<TAB>text file; kept in work."""
    when = os.stat(os.path.join(body, "model.safetensors")).st_mtime_ns
    kept = os.path.join(work, f"{os.path.basename(os.path.dirname(path))}-{os.path.basename(path)}-{when}.npy")
    if not os.path.exists(kept):
        texts, _ = bag_of_words.read(path)
        lines = "".join(json.dumps({"text": t}) + "\n" for t in texts)
        out, _ = runs.shardbert(build, "embed", "--model", body, "--max-length", 128, text=lines)
        numpy.save(kept + ".tmp.npy", numpy.array([json.loads(line)["embedding"] for line in out.splitlines()]))
        os.replace(kept + ".tmp.npy", kept)
    return numpy.load(kept)


def frozen_body(build, body, train, test, few, work):
    """Logistic regression with scikit-learn's defaults on mean-pooled vectors of a body that stays as it is."""
    labels, vectors = bag_of_words.read(train)[1], embeddings(build, body, train, work)
    model = LogisticRegression(max_iter=2000).fit(vectors[few], [labels[i] for i in few])
    return model.predict(embeddings(build, body, test, work))


def words(train, test, few):
    """TF-IDF and logistic regression on the same few texts."""
    texts, labels = bag_of_words.read(train)
    return bag_of_words.predict("tfidf", ([texts[i] for i in few], [labels[i] for i in few]), bag_of_words.read(test)[0])[0]


def accuracy(gold, predicted):
    right = sum(g == p for g, p in zip(gold, predicted))
    return {"metric": "accuracy", "score": right / len(gold), "n": len(gold), "ci": runs.wilson(right, len(gold))}


# ---- entities ----

def read_conll(path):
    sentences, words_, tags = [], [], []
    for line in [*open(path, encoding="utf-8"), "\n"]:
        if line.strip():
            word, tag = line.rstrip("\n").split(" ")
            words_.append(word)
            tags.append(tag)
        elif words_:
            sentences.append((words_, tags))
            words_, tags = [], []
    return sentences


def entities(tags):
    """{(first, end, type)} of BIO tags; a stray I opens one."""
    found, first, kind = set(), 0, None
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, of = tag.partition("-")
        if kind and (prefix != "I" or of != kind):
            found.add((first, i, kind))
            kind = None
        if prefix != "O" and not kind:
            first, kind = i, of
    return found


def dictionary_tagger(train, test):
    """
    In the manner of the CoNLL-2003 shared task's baseline: phrases that were entities of one class only in the training
    data, the longest one first.  The interval of F1 is by blocks of 64 sentences, as shardbert's.
    """
    classes = {}
    for words_, tags in read_conll(train):
        for first, end, kind in entities(tags):
            classes.setdefault(tuple(words_[first:end]), set()).add(kind)
    known = {phrase: next(iter(kinds)) for phrase, kinds in classes.items() if len(kinds) == 1}
    longest = max(map(len, known))
    counts = []
    for words_, tags in read_conll(test):
        guesses, i = set(), 0
        while i < len(words_):
            size = next((n for n in range(min(longest, len(words_) - i), 0, -1) if tuple(words_[i:i + n]) in known), 0)
            if size:
                guesses.add((i, i + size, known[tuple(words_[i:i + size])]))
            i += size or 1
        gold = entities(tags)
        counts.append((len(gold & guesses), len(guesses), len(gold)))
    return {**f1_by_blocks(counts), "n": len(counts)}


def f1_by_blocks(counts):
    """counts: (hit, predicted, gold) of each sentence."""
    blocks = [[sum(c[k] for c in counts[i:i + 64]) for k in range(3)] for i in range(0, len(counts), 64)]
    draw = random.Random(42)
    scores = sorted(f1([sum(c) for c in zip(*draw.choices(blocks, k=len(blocks)))]) for _ in range(2000))
    return {"metric": "f1", "score": f1([sum(c) for c in zip(*counts)]), "ci": [scores[49], scores[1950]]}


def f1(sums):
    hit, predicted, gold = sums
    return 2 * hit / (predicted + gold) if predicted + gold else 0.0
