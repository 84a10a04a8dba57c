#!/usr/bin/python3
"""shardbert and PyTorch on the same work in the same minute: loss curves, tokens per second, peak memory.

    tests/bench/compare_torch.py [--build build] [--shared ../shared] [--out FILE] [--steps 100] [--threads 2] [--rounds 3]

For MLM (lines of the biomed corpus) and classification (rotten_tomatoes), from bert-tiny-general and from a fresh bert-mini:
the same starting weights, samples, masks and settings.  Curves (bert-tiny) with dropout 0.  Speed with dropout 0.1, rounds alternating
between the two programs, medians.  The PyTorch side is tuned: openblas-openmp, AVX-512, huge pages and no trimming.
Nothing else may run meanwhile.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FIELD = re.compile(r"(\w+)=([-+0-9.e]+)")


def sh(*command, env=None):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})})
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done


def torch_environment():
    folder = sh("sh", "-c", "dirname $(ls /usr/lib/*/openblas-openmp/libblas.so.3)").stdout.strip()
    return {"LD_LIBRARY_PATH": folder, "ATEN_CPU_CAPABILITY": "avx512", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
            "MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592", "MALLOC_TOP_PAD_": "268435456"}


class Compare:
    def __init__(self, a):
        self.a = a
        self.env = {**torch_environment(), "OMP_NUM_THREADS": str(a.threads), "OPENBLAS_NUM_THREADS": str(a.threads)}
        os.makedirs(a.work, exist_ok=True)
        self.mini = os.path.join(a.work, "mini.json")
        json.dump({"model_type": "bert", "vocab_size": 30522, "hidden_size": 256, "num_hidden_layers": 4,
                   "num_attention_heads": 4, "intermediate_size": 1024, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
                   "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 512, "type_vocab_size": 2,
                   "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0}, open(self.mini, "w"))
        self.corpus = os.path.join(a.work, "biomed.txt")
        with open(self.corpus, "w") as out:
            xz = os.path.join(os.path.abspath(a.shared), "data/corpora/biomed_train.txt.xz")
            out.write(sh("sh", "-c", f"xz -dc {xz} | grep . | head -20000").stdout)

    def job(self, name, task, body, **settings):
        shared = os.path.join(os.path.abspath(self.a.shared), "data")
        folder = os.path.join(self.a.work, name)
        base = {"task": task, "output_dir": folder, "cache_dir": os.path.join(self.a.work, "cache"), "batch_size": 32,
                "max_seq_length": 128, "max_steps": self.a.steps, "warmup_steps": 10, "weight_decay": 0.01, "save_steps": 0,
                "learning_rate": 5e-4, "logging_steps": 1, "threads": self.a.threads,
                "train_file": self.corpus if task == "mlm"
                else os.path.join(shared, "classification/rotten_tomatoes/train.tsv")}
        if task == "mlm":
            base["mlm_grouping"] = "line"
        if body == "tiny":
            base["model_name_or_path"] = os.path.join(shared, "models/bert-tiny-general")
        else:
            base.update(config_name=self.mini, tokenizer_name=os.path.join(shared, "models/bert-tiny-general"))
        base.update(settings)
        path = folder + ".yaml"
        with open(path, "w") as out:
            for key, value in base.items():
                out.write(f"{key}: {json.dumps(value)}\n")
        return path, folder

    def ours(self, path):
        """Peak memory, and per step: loss, tokens, seconds."""
        done = sh(sys.executable, os.path.join(HERE, "../support/peak_memory.py"), os.path.join(self.a.build, "shardbert"),
                  "train", path, "--fresh")
        steps = [dict(FIELD.findall(line)) for line in done.stderr.splitlines() if "event=step " in line]
        return int(done.stdout) * 1024, [(float(s["loss"]), float(s["tokens_per_second"]) * float(s["step_seconds"]),
                                          float(s["step_seconds"])) for s in steps]

    def torch(self, start, batches, task, steps, *options):
        done = sh("/usr/bin/python3", os.path.join(HERE, "torch_train.py"), "--model", start, "--batches", batches, "--task",
                  task, "--steps", str(steps), "--total-steps", str(self.a.steps), "--lr", "5e-4", "--warmup", "10",
                  "--decay", "0.01", "--threads", str(self.a.threads), *options, env=self.env)
        return json.loads(done.stdout)

    def curves(self, path, start, batches, task):
        """The masked-only head computes the same loss; it only spares PyTorch the logits that no loss reads."""
        _, steps = self.ours(path)
        curve = [s[0] for s in steps]
        single = self.torch(start, batches, task, self.a.steps, "--masked-only")
        double = self.torch(start, batches, task, self.a.steps, "--masked-only", "--double")
        return {"loss": {"shardbert": curve, "torch_float32": single, "torch_float64": double}, "steps": len(curve),
                "largest_difference_to_float64": max(abs(x - y) for x, y in zip(curve, double)),
                "float32_torch_to_float64": max(abs(x - y) for x, y in zip(single, double))}

    def case(self, task, body):
        name = f"{task}-{body}"
        off = {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
        if task == "classify":
            off["classifier_dropout"] = 0
        path, start = self.job(name + "-start", task, body, learning_rate=0, max_steps=1, warmup_steps=0)
        self.ours(path)
        path, _ = self.job(name + "-curve", task, body, **off)
        batches = os.path.join(self.a.work, name + ".batches")
        sh(os.path.join(self.a.build, "bench/dump_batches"), path, str(self.a.steps), batches)
        out = self.curves(path, start, batches, task) if body == "tiny" else {}
        speed_steps = self.a.speed_steps if task == "mlm" else self.a.steps
        path, _ = self.job(name + "-speed", task, body, max_steps=speed_steps)
        rounds = {"shardbert": [], "torch": [], "torch masked-only": []}
        for _ in range(self.a.rounds):
            memory, steps = self.ours(path)
            steps = steps[5:]
            rounds["shardbert"].append({"tokens_per_second": sum(s[1] for s in steps) / sum(s[2] for s in steps),
                                        "peak_rss_bytes": memory})
            speed = (start, batches, task, speed_steps, "--speed", "--dropout", "0.1")
            rounds["torch"].append(self.torch(*speed))
            if task == "mlm":
                rounds["torch masked-only"].append(self.torch(*speed, "--masked-only"))
        out["speed"] = {who: {key: statistics.median(r[key] for r in runs) for key in runs[0]}
                        for who, runs in rounds.items() if runs}
        mine = out["speed"]["shardbert"]["tokens_per_second"]
        out["ratio"] = {who: mine / row["tokens_per_second"] for who, row in out["speed"].items() if who != "shardbert"}
        return out


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--build", default="build")
    a.add_argument("--shared", default=os.environ.get("SHARDBERT_SHARED", "../shared"))
    a.add_argument("--out", default="tests/bench/results/torch.json")
    a.add_argument("--work", default="/tmp/shardbert-torch")
    a.add_argument("--steps", type=int, default=100)
    a.add_argument("--speed-steps", type=int, default=30)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--cases", nargs="*", default=["classify-tiny", "mlm-tiny", "classify-mini", "mlm-mini"])
    compare = Compare(a.parse_args())
    results = {}
    for case in compare.a.cases:
        results[case] = compare.case(*case.split("-"))
        shown = {k: v for k, v in results[case].items() if k != "loss"}
        print(case, json.dumps(shown, indent=1), flush=True)
        os.makedirs(os.path.dirname(compare.a.out) or ".", exist_ok=True)
        json.dump(results, open(compare.a.out, "w"), indent=1, sort_keys=True)


if __name__ == "__main__":
    main()
