#!/usr/bin/python3
"""
What is a body worth, frozen or not, with few labels or many, before and after reading the domain's text?

    tests/bench/chapter.py list                    the experiments, and how much of them is done
    tests/bench/chapter.py run freeze few ...      runs them, one row after the other
    tests/bench/chapter.py run --all [--minutes M] no new row is begun after M minutes
    tests/bench/chapter.py table                   what is known so far, as Markdown

    --body DIR        a model folder (default: the shared bert-tiny-general)
    --body-name NAME  what the results call it (default: the folder's name)

A row is one method on one data set with one seed.  It is kept in results/chapter.json as soon as it is done, and what is
there is not run again; a training that was interrupted goes on from its checkpoint.  Rates and epochs are fixed below.  They
were chosen once, with bert-tiny-general, on validation splits (rotten_tomatoes; for few labels ag_news_7600 with 16 a class
and a seed that is not used here); the test split is read once, at the end of each run, and nothing is chosen on it.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import time

import runs

SEEDS = (1, 2, 3)
CHEAP_SEEDS = tuple(range(1, 11))
SHOTS = (8, 16, 64)
FEW_DATA = ("trec", "ag_news_7600")
METRICS = {"rotten_tomatoes": "accuracy", "trec": "accuracy", "ag_news_7600": "accuracy", "chemprot": "f1_micro",
           "conll2003": "f1", "bc5cdr": "f1"}
NER = ("conll2003", "bc5cdr")
EPOCHS = {"rotten_tomatoes": 3, "chemprot": 5, "conll2003": 3, "bc5cdr": 4}
COMMON = {"max_seq_length": 128, "save_steps": 0, "logging_steps": 100, "metrics_address": "off"}
TUNED = {**COMMON, "learning_rate": 3e-4, "warmup_ratio": 0.1, "batch_size": 32, "weight_decay": 0.01,
         "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
FEW = {**TUNED, "learning_rate": 5e-4, "num_train_epochs": 30, "batch_size": 16}
SETFIT = {**COMMON, "num_train_epochs": 1, "batch_size": 16, "body_learning_rate": 1e-3, "warmup_ratio": 0.1,
          "weight_decay": 0.01}
SETFIT_ITERATIONS = {8: 20, 16: 20, 64: 5}  # pairs of each kind for a text
MLM = {**COMMON, "learning_rate": 5e-4, "warmup_ratio": 0.06, "batch_size": 32, "weight_decay": 0.01, "seed": 42,
       "eval_on_start": True, "save_steps": 500}


class Chapter:
    def __init__(self, args):
        self.a = args
        self.data = os.path.join(os.path.abspath(args.shared), "data")
        self.body = os.path.abspath(args.body) if args.body else os.path.join(self.data, "models/bert-tiny-general")
        self.name = args.body_name or os.path.basename(self.body)
        self.work = os.path.join(os.path.abspath(args.work), self.name)
        self.rows = json.load(open(args.out, encoding="utf-8")) if os.path.exists(args.out) else {}
        os.makedirs(self.work, exist_ok=True)
        os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)

    def keep(self, key, row):
        self.rows[key] = row
        runs.write_whole(self.a.out, self.rows)

    def file(self, data, split):
        kind, ending = ("ner", "txt") if data in NER else ("classification", "tsv")
        return os.path.join(self.data, kind, data, f"{split}.{ending}")

    def job(self, name, settings):
        """Writes a job; names of folders keep rows of other bodies apart."""
        folder = os.path.join(self.work, name)
        path = folder + ".yaml"
        rarely = {"eval_steps": 10**9} if "validation_file" in settings else {}  # at the end
        runs.write_job(path, {"output_dir": folder, "cache_dir": os.path.join(self.work, "cache"), **rarely, **settings})
        return folder, path

    def score(self, data, results, settings):
        metric = METRICS[data]
        row = {"metric": metric, "score": results["test_" + metric], "ci": results.get(f"test_{metric}_ci"),
               "n": results["test_samples"], "train_seconds": round(results["train_runtime"], 1),
               "settings": runs.kept_settings(settings)}
        if "eval_" + metric in results:
            row["validation"] = results["eval_" + metric]
        return row

    def trained(self, data, name, settings):
        """Trains on a data set and keeps the scores alone."""
        settings = {"task": "ner" if data in NER else "classify", "model_name_or_path": self.body,
                    "train_file": self.file(data, "train"), "test_file": self.file(data, "test"), **settings}
        folder, path = self.job(name, settings)
        row = self.score(data, runs.train(self.a.build, path), settings)
        shutil.rmtree(folder, ignore_errors=True)
        return row

    # ---- stages that read text ----

    def own_text(self, split):
        path = os.path.join(self.work, f"rotten_tomatoes-{split}.txt")
        with open(path, "w", encoding="utf-8") as out:
            for line in open(self.file("rotten_tomatoes", split), encoding="utf-8"):
                out.write(line.split("\t", 1)[1])
        return path

    def domain_body(self, domain):
        """The body after masked words of the domain's text: made once, kept in the work folder."""
        if domain == "biomed":
            corpus = os.path.join(self.data, "corpora/biomed_%s.txt.xz")
            text = {"train_file": corpus % "train", "validation_file": corpus % "valid"}
            epochs = self.a.biomed_epochs
        else:
            text = {"train_file": self.own_text("train"), "validation_file": self.own_text("validation"),
                    "mlm_grouping": "line"}
            epochs = self.a.own_text_epochs
        settings = {"task": "mlm", "model_name_or_path": self.body, "num_train_epochs": epochs, **MLM, **text}
        folder, path = self.job(f"mlm-{domain}", settings)
        results = runs.train(self.a.build, path)
        key = f"{self.name}/{domain}/mlm/seed42"
        if key not in self.rows:
            log = json.load(open(os.path.join(folder, "trainer_state.json"), encoding="utf-8"))["log_history"]
            before = next(entry["eval_perplexity"] for entry in log if "eval_perplexity" in entry)
            self.keep(key, {"body": self.name, "data": domain, "method": "mlm", "metric": "perplexity", "before": before,
                            "score": results["eval_perplexity"], "ci": results.get("eval_perplexity_ci"),
                            "n": results["eval_samples"], "train_seconds": round(results["train_runtime"], 1),
                            "settings": runs.kept_settings(settings)})
        return folder

    # ---- rows: (data, method, seed, function); body None: it has none ----

    def tuned(self, data, seeds=SEEDS, domain=None):
        method = "fine-tuned" if not domain else f"{domain} mlm, then fine-tuned"

        def run(seed):
            start = {"model_name_or_path": self.domain_body(domain)} if domain else {}
            return self.trained(data, f"{data}-{'tuned' if not domain else domain}-{seed}",
                                {**TUNED, "num_train_epochs": EPOCHS[data], "seed": seed, **start})
        for seed in seeds:
            yield self.name, data, method, seed, run

    def freeze(self):
        yield self.name, "rotten_tomatoes", "sweep", 1, self.sweep

    def sweep(self, seed):
        settings = {"task": "classify", "model_name_or_path": self.body, **TUNED, "seed": seed,
                    "num_train_epochs": EPOCHS["rotten_tomatoes"], "head_learning_rate": 5e-3,
                    **{f"{split}_file": self.file("rotten_tomatoes", split) for split in ("train", "validation", "test")}}
        folder, path = self.job("sweep", settings)
        runs.shardbert(self.a.build, "sweep", "freeze", path, "--output", folder, "--metric", "accuracy", "--quiet")
        swept = json.load(open(os.path.join(folder, "sweep.json"), encoding="utf-8"))
        picture = f"freeze-{self.name}.svg"
        shutil.copy(os.path.join(folder, "sweep.svg"), os.path.join(os.path.dirname(os.path.abspath(self.a.out)), picture))
        shutil.rmtree(folder, ignore_errors=True)
        return {"metric": "accuracy", "rows": swept["rows"], "chosen": swept["chosen_on_validation"], "picture": picture,
                "test_of_the_chosen": swept["test_of_the_chosen"], "settings": runs.kept_settings(settings)}

    def biomed(self):
        for seed in SEEDS:
            for data in ("chemprot", "bc5cdr"):
                yield from self.tuned(data, (seed,))
                yield from self.tuned(data, (seed,), "biomed")

    def own(self):
        for seed in SEEDS:
            yield from self.tuned("rotten_tomatoes", (seed,))
            yield from self.tuned("rotten_tomatoes", (seed,), "rotten_tomatoes")

    def entities(self):
        def dictionary(data):
            import few_labels
            return lambda seed: few_labels.dictionary_tagger(self.file(data, "train"), self.file(data, "test"))
        for data in NER:
            yield None, data, "dictionary of the training entities", 0, lambda seed, d=data: dictionary(d)(seed)
        for seed in SEEDS:
            for data in NER:
                yield from self.tuned(data, (seed,))

    def few(self):
        for data in FEW_DATA:
            for shots in SHOTS:
                for seed in CHEAP_SEEDS:
                    yield None, data, f"{shots} a class: TF-IDF and logistic regression", seed, self.few_words(data, shots)
                    yield self.name, data, f"{shots} a class: frozen body and logistic regression", seed, self.few_frozen(
                        data, shots)
        for seed in SEEDS:
            for data in FEW_DATA:
                for shots in SHOTS:
                    yield self.name, data, f"{shots} a class: fine-tuned", seed, self.few_trained(
                        data, f"few-{shots}", {"task": "classify", "samples_per_label": shots, **FEW})
                    yield self.name, data, f"{shots} a class: setfit", seed, self.few_trained(
                        data, f"setfit-{shots}", {"task": "setfit", "samples_per_label": shots,
                                                  "num_iterations": SETFIT_ITERATIONS[shots], **SETFIT})

    def few_words(self, data, shots):
        def run(seed):
            import few_labels
            train, test = self.file(data, "train"), self.file(data, "test")
            few = few_labels.few_lines(self.a.build, train, shots, seed)
            return few_labels.accuracy(few_labels.bag_of_words.read(test)[1], few_labels.words(train, test, few))
        return run

    def few_frozen(self, data, shots):
        def run(seed):
            import few_labels
            train, test = self.file(data, "train"), self.file(data, "test")
            few = few_labels.few_lines(self.a.build, train, shots, seed)
            predicted = few_labels.frozen_body(self.a.build, self.body, train, test, few, self.work)
            return few_labels.accuracy(few_labels.bag_of_words.read(test)[1], predicted)
        return run

    def few_trained(self, data, name, settings):
        return lambda seed: self.trained(data, f"{data}-{name}-{seed}", {**settings, "seed": seed})

    EXPERIMENTS = {"freeze": ("rotten_tomatoes with more and more of the body frozen", freeze),
                   "entities": ("entity F1 on conll2003 and bc5cdr, beside a dictionary", entities),
                   "few": ("8, 16 and 64 labels a class: setfit, fine-tuning, frozen body, TF-IDF", few),
                   "own_text": ("rotten_tomatoes with and without masked words of its own text", own),
                   "biomed": ("chemprot and bc5cdr with and without masked words of biomedical text", biomed)}

    def plan(self, experiment):
        """(key, row without its score, function of the seed)"""
        for body, data, method, seed, run in self.EXPERIMENTS[experiment][1](self):
            row = {"body": body, "data": data, "method": method, "seed": seed}
            yield f"{body or 'no body'}/{data}/{method}/seed{seed}", row, run

    def run(self, names):
        begin, failed = time.monotonic(), []
        for name in names:
            for key, row, run in self.plan(name):
                if key in self.rows:
                    continue
                if self.a.minutes and time.monotonic() - begin > 60 * self.a.minutes:
                    print(f"{self.a.minutes} minutes are over; the same command goes on", flush=True)
                    return failed
                started = time.monotonic()
                try:
                    done = run(row["seed"])
                except runs.Failed as failure:
                    print(f"{key}: {failure}", file=sys.stderr, flush=True)
                    failed.append(key)
                    continue
                self.keep(key, {**row, **done, "seconds": round(time.monotonic() - started, 1)})
                print(f"{key}: {done.get('score', done.get('test_of_the_chosen'))} in {self.rows[key]['seconds']} s", flush=True)
        return failed

    def list(self):
        for name, (what, _) in self.EXPERIMENTS.items():
            keys = [key for key, _, _ in self.plan(name)]
            print(f"{name:10} {sum(key in self.rows for key in keys):4} of {len(keys):4} rows  {what}")


# ---- tables ----

def cell(rows):
    """Mean and deviation over seeds, and half of one run's interval: two kinds of doubt."""
    scores = [row["score"] for row in rows]
    halves = [(row["ci"][1] - row["ci"][0]) / 2 for row in rows if row.get("ci")]
    text = f"{statistics.mean(scores):.4f}"
    if len(scores) > 1:
        text += f" ({statistics.stdev(scores):.4f}, {len(scores)} seeds)"
    return text + (f" ± {statistics.mean(halves):.3f}" if halves else "")


def score_table(rows):
    """Methods down, bodies across, a section for each data set."""
    bodies = sorted({row["body"] for row in rows if row["body"]})
    print("| data | method | metric | n |", " | ".join(["no body", *bodies]), "|")
    print("|---|---|---|---:|" + "---|" * (1 + len(bodies)))
    for data, method in dict.fromkeys((row["data"], row["method"]) for row in rows):
        same = [row for row in rows if (row["data"], row["method"]) == (data, method)]
        of = [[row for row in same if row["body"] == body] for body in (None, *bodies)]
        print(f"| {data} | {method} | {same[0]['metric']} | {same[0]['n']} |",
              " | ".join(cell(each) if each else "" for each in of), "|")


def sweep_table(row):
    print(f"\nrotten_tomatoes, {row['body']}, layers frozen ({row['picture']}; accuracy of the validation split):\n")
    print("| frozen | trained parameters | accuracy | 95 % interval | n | seconds | bytes a step |\n|---|---:|---:|---|---:|---:|---:|")
    for r in row["rows"]:
        print(f"| {r['frozen']} | {r['trained_parameters']:,} | {r['score']:.4f} | [{r['interval']['low']:.3f}, "
              f"{r['interval']['high']:.3f}] | {r['examples']} | {r['seconds']:.0f} | {r['bytes_per_step']:,.0f} |")
    print(f"\nBest on validation: frozen {row['chosen']}; its test split: {row['test_of_the_chosen']}.")


def mlm_table(rows):
    print("\n| text | body | perplexity before | after | 95 % interval | blocks or lines |\n|---|---|---:|---:|---|---:|")
    for row in rows:
        ci = f"[{row['ci'][0]:.1f}, {row['ci'][1]:.1f}]" if row.get("ci") else ""
        print(f"| {row['data']} | {row['body']} | {row['before']:.1f} | {row['score']:.1f} | {ci} | {row['n']} |")


def tables(rows):
    print("Test split: mean over seeds (deviation, seeds) ± half of the 95 % interval of one run, for the draw of the examples.\n")
    order = {name: place for place, name in enumerate(METRICS)}
    scored = [r for _, r in sorted(rows.items()) if r["method"] not in ("sweep", "mlm")]
    shots = {row["method"]: int(row["method"].split()[0]) for row in scored if row["method"][0].isdigit()}
    scored.sort(key=lambda r: (order[r["data"]], shots.get(r["method"], 10**9), r["method"]))
    if scored:
        score_table(scored)
    mlm = [r for _, r in sorted(rows.items()) if r["method"] == "mlm"]
    if mlm:
        mlm_table(mlm)
    for row in rows.values():
        if row["method"] == "sweep":
            sweep_table(row)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("what", choices=("list", "run", "table"))
    a.add_argument("names", nargs="*", metavar="NAME", help="experiments")
    a.add_argument("--all", action="store_true")
    a.add_argument("--body")
    a.add_argument("--body-name")
    a.add_argument("--minutes", type=float, help="begin no row after so many")
    a.add_argument("--biomed-epochs", type=float, default=1)
    a.add_argument("--own-text-epochs", type=float, default=10)
    runs.add_arguments(a, "/tmp/shardbert-chapter", os.path.join(os.path.dirname(__file__), "results/chapter.json"))
    args = a.parse_args()
    unknown = [name for name in args.names if name not in Chapter.EXPERIMENTS]
    if unknown:
        a.error(f"there is no experiment '{unknown[0]}'; there are {', '.join(Chapter.EXPERIMENTS)}")
    if args.what == "run" and not args.names and not args.all:
        a.error("which experiments? Names, or --all")
    chapter = Chapter(args)
    if args.what == "list":
        chapter.list()
    elif args.what == "table":
        tables(chapter.rows)
    else:
        failed = chapter.run(list(Chapter.EXPERIMENTS) if args.all else args.names)
        if failed:
            sys.exit(f"{len(failed)} rows failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
