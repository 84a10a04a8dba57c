#!/usr/bin/python3
"""The main road on real data, measured: rotten_tomatoes from two bodies, with and without MLM on its own text.

    tests/bench/trunk.py [--build build] [--shared ../shared] [--out tests/bench/results/trunk.json] [--work DIR] [--seeds 3]

Every run is a job of its own and its result is kept under its name: what is there already is not run again.  The learning
rate of a family is chosen on the validation split with the first seed; the test split is read once, at the end of each run.
"""
import argparse
import json
import os
import statistics

import runs


class Bench:
    def __init__(self, args):
        self.a = args
        self.rt = os.path.join(os.path.abspath(args.shared), "data/classification/rotten_tomatoes")
        self.tiny = os.path.join(os.path.abspath(args.shared), "data/models/bert-tiny-general")
        self.results = json.load(open(args.out)) if os.path.exists(args.out) else {}
        os.makedirs(args.work, exist_ok=True)
        os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)
        self.mini = os.path.join(args.work, "mini.json")
        json.dump(runs.MINI, open(self.mini, "w"))
        for split in ("train", "validation"):
            with open(os.path.join(args.work, split + ".txt"), "w", encoding="utf-8") as out:
                for line in open(os.path.join(self.rt, split + ".tsv"), encoding="utf-8"):
                    out.write(line.split("\t", 1)[1])

    def train(self, name, **settings):
        """Runs one job; returns its folder.  The result is all_results.json with the wall time and the settings."""
        folder = os.path.join(self.a.work, name)
        if name in self.results and os.path.exists(os.path.join(folder, "model.safetensors")):
            return folder
        settings = {"output_dir": folder, "cache_dir": os.path.join(self.a.work, "cache"), "save_steps": 0,
                    "max_seq_length": 128, **settings}
        job = os.path.join(self.a.work, name + ".yaml")
        runs.write_job(job, settings)
        result = runs.train(self.a.build, job, fresh=True)
        self.results[name] = {"settings": runs.kept_settings(settings), **result}
        runs.write_whole(self.a.out, self.results)
        print(name, {k: round(v, 4) for k, v in result.items() if k.startswith(("eval_", "test_")) and isinstance(v, float)},
              flush=True)
        return folder

    def body(self, kind):
        if kind == "tiny":
            return {"model_name_or_path": self.tiny}
        return {"config_name": self.mini, "tokenizer_name": self.tiny}

    def mlm(self, kind, epochs):
        text = os.path.join(self.a.work, "%s.txt")
        return self.train(f"{kind}-mlm", task="mlm", train_file=text % "train", validation_file=text % "validation",
                          mlm_grouping="line", num_train_epochs=epochs, learning_rate=5e-4, warmup_ratio=0.06, batch_size=32,
                          weight_decay=0.01, seed=42, **self.body(kind))

    def classify(self, name, seed, rate, epochs, start):
        files = {s + "_file": os.path.join(self.rt, s + ".tsv") for s in ("train", "validation", "test")}
        return self.train(f"{name}-lr{rate:g}-seed{seed}", task="classify", num_train_epochs=epochs, learning_rate=rate,
                          warmup_ratio=0.1, batch_size=32, weight_decay=0.01, seed=seed, **files, **start)

    def family(self, name, rates, epochs, start):
        for rate in rates:
            self.classify(name, 1, rate, epochs, start)
        best = max(rates, key=lambda r: self.results[f"{name}-lr{r:g}-seed1"]["eval_accuracy"])
        for seed in range(2, self.a.seeds + 1):
            self.classify(name, seed, best, epochs, start)
        done = [self.results[f"{name}-lr{best:g}-seed{s}"] for s in range(1, self.a.seeds + 1)]
        row = {"learning_rate": best, "seeds": len(done)}
        for key in ("eval_accuracy", "test_accuracy", "test_f1_macro", "seconds"):
            values = [r[key] for r in done]
            row[key] = round(statistics.mean(values), 4)
            row[key + "_sd"] = round(statistics.stdev(values), 4) if len(values) > 1 else 0.0
        return row


def main():
    a = argparse.ArgumentParser()
    runs.add_arguments(a, "/tmp/shardbert-trunk", "tests/bench/results/trunk.json")
    a.add_argument("--seeds", type=int, default=3)
    bench = Bench(a.parse_args())
    table = {}
    for kind, rates, epochs, mlm_epochs in (("tiny", (1e-4, 3e-4, 1e-3), 5, 20), ("mini", (1e-4, 3e-4), 4, 5)):
        table[kind] = bench.family(kind, rates, epochs, bench.body(kind))
        domain = bench.mlm(kind, mlm_epochs)
        table[kind + " after mlm"] = bench.family(kind + "-domain", rates, epochs, {"model_name_or_path": domain})
    bench.results["table"] = table
    runs.write_whole(bench.a.out, bench.results)
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
