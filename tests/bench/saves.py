#!/usr/bin/env python3
"""What checkpoints cost while training goes on: the same job with a checkpoint every --every steps and with none, in turns.

    tests/bench/saves.py                     one process, and 2 servers with 2 workers: about 6 minutes on 2 quiet cores
    tests/bench/saves.py --rounds 5 --steps 400

Three figures, each of the time between the first and the last step: what the run took longer than its neighbours without
checkpoints (all that they cost, cores and disk that are shared too); how long the run says it stood still (checkpoint_stall_seconds);
and how much longer the steps were in which a checkpoint was written than the median of the others. The goal is 0.5 %.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess

import runs

SHAPES = {"one process": ["--set", "threads=2"],
          "2 servers, 2 workers": ["--servers", "2", "--workers", "2", "--set", "threads=1"]}
SETTINGS = {"task": "classify", "batch_size": 256, "slots": 8, "max_seq_length": 64, "learning_rate": 1e-4, "save_total_limit": 2,
            "logging_steps": 1, "log_format": "json", "metrics_address": "off", "hidden_dropout_prob": 0.1}


def run(args, job, output, every, words):
    """Seconds between the first and the last step, and for each checkpoint (its write, its stall, excess of its steps)."""
    shutil.rmtree(output, ignore_errors=True)
    done = subprocess.run([os.path.join(args.build, "shardbert"), "train", job, "--set", f"output_dir={output}", "--set",
                           f"save_steps={every}", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise runs.Failed(f"exit {done.returncode}: {done.stderr[-2000:]}")
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    events = [e for e in events if e.get("event") in ("step", "saved") and e["step"] <= args.steps]
    steps = {e["step"]: e["time"] for e in events if e["event"] == "step"}
    last = steps[max(steps)]
    spans = {step: steps[step] - steps[step - 1] for step in steps if step - 1 in steps}
    saves = [(e, [s for s in spans if e["step"] < s and steps[s - 1] < e["time"]]) for e in events
             if e["event"] == "saved" and e["time"] < last]  # those of the end stand still by intent
    inside = {s for _, during in saves for s in during}
    median = statistics.median(span for step, span in spans.items() if step not in inside)
    return {"seconds": last - steps[min(steps)], "median_step": median,
            "saves": [{"write": e["seconds"], "stall": e["stall"], "excess": sum(spans[s] - median for s in during)}
                      for e, during in saves]}


def percent(part, whole):
    return round(100 * part / whole, 3)


def measure(args, job, words):
    pairs = []
    for number in range(args.rounds):
        order = [0, args.every] if number % 2 else [args.every, 0]
        pairs.append({every: run(args, job, os.path.join(args.work, "out"), every or args.steps, words) for every in order})
    without = statistics.median(p[0]["seconds"] for p in pairs)
    saves = [s for p in pairs for s in p[args.every]["saves"]]
    longer = [percent(p[args.every]["seconds"] - p[0]["seconds"], p[0]["seconds"]) for p in pairs]
    seconds = sum(p[args.every]["seconds"] for p in pairs)
    return {"rounds": args.rounds, "steps": args.steps, "checkpoints": len(saves), "seconds_without": round(without, 2),
            "step_ms": round(1000 * statistics.median(p[0]["median_step"] for p in pairs), 1),
            "write_ms": round(1000 * statistics.median(s["write"] for s in saves), 1),
            "stall_ms": round(1000 * statistics.median(s["stall"] for s in saves), 2),
            "stall_ms_worst": round(1000 * max(s["stall"] for s in saves), 2),
            "stall_percent": percent(sum(s["stall"] for s in saves), seconds),
            "excess_ms": round(1000 * statistics.median(s["excess"] for s in saves), 1),
            "excess_percent": percent(sum(s["excess"] for s in saves), seconds),
            "longer_percent": statistics.median(longer), "longer_percent_each": sorted(longer)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs for each shape")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--every", type=int, default=10, help="steps from one checkpoint to the next")
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
    runs.add_arguments(parser, "/tmp/shardbert-saves", os.path.join(here, "saves.json"))
    args = parser.parse_args()
    shutil.rmtree(args.work, ignore_errors=True)
    os.makedirs(args.work)
    shared, job = os.path.abspath(args.shared), os.path.join(args.work, "job.yaml")
    runs.write_job(job, {**SETTINGS, "model_name_or_path": os.path.join(shared, "data/models/bert-tiny-general"),
                         "train_file": os.path.join(shared, "data/classification/rotten_tomatoes/train.tsv"),
                         "cache_dir": os.path.join(args.work, "cache"), "output_dir": os.path.join(args.work, "unused"),
                         "max_steps": args.steps})
    results = {}
    for shape, words in SHAPES.items():
        run(args, job, os.path.join(args.work, "out"), args.steps, words)  # fills the cache of prepared data
        results[shape] = measure(args, job, words)
        print(shape, json.dumps(results[shape], indent=1), flush=True)
    runs.write_whole(args.out, results)


if __name__ == "__main__":
    main()
