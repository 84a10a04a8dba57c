#!/usr/bin/python3
"""The bar that a small BERT has to pass: logistic regression on words, with scikit-learn's defaults.

    bag_of_words.py TRAIN.tsv VALIDATION.tsv TEST.tsv      label<TAB>text; prints one JSON object

Two feature sets, counts of words and pairs of words, and TF-IDF of the same; the better one on the validation split is
reported on the test split, the other beside it.
"""
import json
import sys

from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score


def read(path):
    rows = [line.rstrip("\n").split("\t", 1) for line in open(path, encoding="utf-8")]
    return [r[1] for r in rows], [r[0] for r in rows]


FEATURES = {"counts": CountVectorizer, "tfidf": TfidfVectorizer}


def predict(features, train, *others):
    """train: (texts, labels), others: texts; returns what a model of the words of train says of each of them."""
    words = FEATURES[features](ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b|[!?]")
    model = LogisticRegression(max_iter=2000).fit(words.fit_transform(train[0]), train[1])
    return [model.predict(words.transform(texts)) for texts in others]


def main():
    train, (xv, yv), (xe, ye) = (read(p) for p in sys.argv[1:4])
    out = {}
    for name in FEATURES:
        validation, test = predict(name, train, xv, xe)
        out[name] = {"validation_accuracy": accuracy_score(yv, validation), "test_accuracy": accuracy_score(ye, test),
                     "test_f1_macro": f1_score(ye, test, average="macro")}
    out["best"] = max(FEATURES, key=lambda n: out[n]["validation_accuracy"])
    print(json.dumps(out, indent=2))


if __name__ == "__main__":
    main()
