"""What the programs that measure share: jobs that are written, run and remembered; scores with intervals."""
import json
import math
import os
import subprocess
import time

MINI = {"model_type": "bert", "vocab_size": 30522, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
        "intermediate_size": 1024, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 128, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
        "pad_token_id": 0}


def add_arguments(parser, work, out=None):
    parser.add_argument("--build", default="build")
    parser.add_argument("--shared", default=os.environ.get("SHARDBERT_SHARED", "../shared"))
    parser.add_argument("--work", default=work, help="where runs and their caches lie")
    if out:
        parser.add_argument("--out", default=out, help="where results are kept")


def write_whole(path, value):
    """JSON that is there whole or not at all: a program that is killed loses no finished run."""
    with open(path + ".tmp", "w", encoding="utf-8") as out:
        json.dump(value, out, indent=1, sort_keys=True)
        out.write("\n")
    os.replace(path + ".tmp", path)


def write_job(path, settings):
    with open(path, "w", encoding="utf-8") as out:
        for key, value in settings.items():
            out.write(f"{key}: {json.dumps(value)}\n")


class Failed(SystemExit):
    """Left alone it ends the program with its words."""


def shardbert(build, *words, text=None):
    """Runs a command and returns what it printed, and its log; or raises Failed."""
    done = subprocess.run([os.path.join(build, "shardbert"), *map(str, words)], capture_output=True, text=True, input=text)
    if done.returncode:
        raise Failed(f"shardbert {' '.join(map(str, words))}: exit {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout, done.stderr


def train(build, job, fresh=False):
    """Trains a job file; returns all_results.json, with the wall time as `seconds`."""
    begin = time.monotonic()
    shardbert(build, "train", job, *(["--fresh"] if fresh else []))
    output = next(json.loads(line.split(":", 1)[1]) for line in open(job, encoding="utf-8") if line.startswith("output_dir:"))
    results = json.load(open(os.path.join(output, "all_results.json"), encoding="utf-8"))
    return {**results, "seconds": round(time.monotonic() - begin, 1)}


def kept_settings(settings):
    """Those that say something on another machine: paths by their last name, data files left out."""
    kept = {k: v for k, v in settings.items() if k not in ("output_dir", "cache_dir") and "file" not in k}
    return {k: os.path.basename(v) if isinstance(v, str) else v for k, v in kept.items()}


def wilson(right, n):
    """The same interval as common/math/interval.h."""
    z, p = 1.959963984540054, right / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))]
