#!/usr/bin/env python3
"""What faults cost: a small job with servers and workers, undisturbed and then disturbed at seeded moments.

    tests/bench/recovery.py                        all rows, about 15 minutes on 2 quiet cores
    tests/bench/recovery.py --row kill-worker --count 200 --seed 7
    tests/bench/recovery.py --row straggler --row goodput --steps 4000    these need longer runs
    tests/bench/recovery.py --list

A stall is the longest wait between two committed steps around a fault, less a median step; a recovery ends with the first step
that is committed after the fault, and is regained when the run is as far as it was. Every disturbed run must end with exit
code 0, the weights of the undisturbed run to the last bit, and no process left. The exit code is 1 where one did not.
"""
import argparse
import filecmp
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import threading
import time

import runs

SERVERS, WORKERS = 2, 4
LIMIT_S = 120  # for anything that a run should do by itself
SLOW_S = 3  # a stall that is worth a look at the log
MORE_STEPS = 3  # after a fault, before the next one
SETTINGS = {"task": "classify", "batch_size": 32, "slots": 8, "max_seq_length": 64, "learning_rate": 1e-4, "save_steps": 10,
            "save_total_limit": 2, "logging_steps": 1, "log_format": "json", "threads": 1, "metrics_address": "off",
            "max_restarts": 1000000, "restart_delay_ms": 0, "push_timeout_ms": 300, "hidden_dropout_prob": 0.1}


class Run:
    """A launched training whose log is read while it runs: `events` holds (seconds, object) in order of arrival."""

    def __init__(self, bench, output, *words):
        self.output, self.events, self.steps, self.began = output, [], [], time.monotonic()
        self.process = subprocess.Popen(
            [os.path.join(bench.build, "shardbert"), "train", bench.job, "--servers", str(SERVERS), "--workers", str(WORKERS),
             "--set", f"output_dir={output}", *words], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        log = open(self.output + ".log", "a", encoding="utf-8")
        for line in self.process.stderr:
            log.write(line)
            log.flush()
            try:
                event = json.loads(line)
            except ValueError:
                event = {"text": line.rstrip()}
            now = time.monotonic()
            self.events.append((now, event))
            if event.get("event") == "step":
                self.steps.append((now, event["step"]))

    def running(self):
        return self.process.poll() is None

    def wait_until(self, what):
        """False where the run ended, or LIMIT_S passed, before it was so."""
        end = time.monotonic() + LIMIT_S
        while not what():
            if not self.running() or time.monotonic() > end:
                return what()
            time.sleep(0.005)
        return True

    def children(self):
        """(kind, index, pid) of the processes that run now; index 0 of kind ps has the coordinator inside."""
        listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        found = re.findall(r"^\s*(\d+) \S*shardbert-(ps|worker) .*--index[= ](\d+)", listed.stdout, re.M)
        return sorted((kind, int(index), int(pid)) for pid, kind, index in found)

    def victim(self, kind, index):
        return next((pid for k, i, pid in self.children() if (k, i) == (kind, index)), None)

    def texts(self, since=0.0):
        return [(t, " ".join(str(v) for v in e.values())) for t, e in list(self.events) if t >= since]

    def started_again(self):
        return sum("it is started again" in text for _, text in self.texts())

    def end(self):
        """The exit code once the run has ended."""
        self.wait_until(lambda: not self.running())
        if self.running():
            self.process.kill()
        self.process.wait()
        self.reader.join(10)
        self.seconds = time.monotonic() - self.began
        return self.process.returncode

    def left_behind(self):
        end, left = time.monotonic() + 10, ""
        while time.monotonic() < end:
            left = subprocess.run(["pgrep", "-f", f"output_dir={self.output}( |$)"], capture_output=True, text=True).stdout
            if not left:
                return 0
            time.sleep(0.1)
        return len(left.split())


class Bench:
    def __init__(self, args):
        self.build, self.work = os.path.abspath(args.build), os.path.abspath(args.work)
        self.job, self.steps, self.number = os.path.join(self.work, "job.yaml"), args.steps, 0
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        shared = os.path.abspath(args.shared)
        runs.write_job(self.job, {**SETTINGS, "model_name_or_path": os.path.join(shared, "data/models/bert-tiny-general"),
                                  "train_file": os.path.join(shared, "data/classification/rotten_tomatoes/train.tsv"),
                                  "output_dir": os.path.join(self.work, "unused"), "seed": args.seed,
                                  "cache_dir": os.path.join(self.work, "cache"), "max_steps": args.steps})
        self.whole = Run(self, os.path.join(self.work, "warm"))  # fills the cache of prepared data
        if self.whole.end() != 0:
            raise runs.Failed(f"the undisturbed run ended with {self.whole.process.returncode}: {self.whole.texts()[-3:]}")
        self.whole = Run(self, os.path.join(self.work, "whole"))
        self.whole.end()
        gaps = [b - a for (a, _), (b, _) in zip(self.whole.steps, self.whole.steps[1:])]
        self.median = statistics.median(gaps)
        self.train_seconds = self.whole.steps[-1][0] - self.whole.steps[0][0]

    def start(self, *words):
        self.number += 1
        run = Run(self, os.path.join(self.work, f"out-{self.number}"), *words)
        run.wait_until(lambda: len(run.steps) > MORE_STEPS)
        return run

    def verdict(self, run, code=0):
        """What is wrong with an ended run; empty: nothing."""
        wrong = [] if run.end() == code else [f"ended with {run.process.returncode}: {[x for _, x in run.texts()[-3:]]}"]
        if run.left_behind():
            wrong.append(f"{run.left_behind()} processes were left behind")
        if code == 0 and not wrong and not self.same_bits(run):
            wrong.append("the weights differ from those of the undisturbed run")
        if not wrong:
            shutil.rmtree(run.output, ignore_errors=True)
        return [f"{run.output}: {w}" for w in wrong]

    def same_bits(self, run):
        return filecmp.cmp(os.path.join(self.whole.output, "model.safetensors"), os.path.join(run.output, "model.safetensors"), False)


def percentile(values, share):
    values = sorted(values)
    return round(values[min(len(values) - 1, int(share * len(values)))], 3) if values else None


def measure(bench, run, at):
    """What happened after a fault at that moment, once the run has gone on."""
    steps = list(run.steps)
    last = max((t for t, _ in steps if t <= at), default=at)
    times = [last] + [t for t, _ in steps if t > at]
    if len(times) < 2:
        return {"stall": None, "recovery": None, "regained": None, "redone": 0}
    # Steps that were under way when it happened still arrive: the fault is felt in the longest wait.
    gap, felt, again = max((b - a, a, b) for a, b in zip(times, times[1:]))
    before = max((s for t, s in steps if t <= felt), default=0)
    regained = next((t for t, s in steps if t >= again and s > before), None)
    return {"stall": max(gap - bench.median, 0.0), "recovery": again - at, "regained": regained - at if regained else None,
            "redone": sum(s <= before for t, s in steps if t >= again)}


def gone_on(run, at):
    """As far as it was, and some steps more."""
    before = max((s for t, s in run.steps if t <= at), default=0)
    return sum(s > before for t, s in list(run.steps) if t > at) >= MORE_STEPS


def placed_at(run, at):
    """When the process that was started again was taken in; None: not yet."""
    return next((t for t, e in list(run.events) if t >= at and e.get("event") in ("returned", "joined")), None)


def summary(measured, **more):
    known = {k: [m[k] for m in measured if m.get(k) is not None] for k in ("stall", "recovery", "regained", "rejoin")}
    row = {"count": len(measured), "stall_p50_s": percentile(known["stall"], 0.5), "stall_p99_s": percentile(known["stall"], 0.99),
           "recovery_max_s": percentile(known["recovery"], 1), "regained_p99_s": percentile(known["regained"], 0.99),
           "steps_redone": sum(m["redone"] for m in measured), "steps_redone_max": max((m["redone"] for m in measured), default=0),
           **more}
    if known["rejoin"]:
        row["rejoin_p50_s"], row["rejoin_max_s"] = percentile(known["rejoin"], 0.5), percentile(known["rejoin"], 1)
    return row


def repeat(bench, dice, count, fault):
    """
    Disturbs run after run until there were `count` faults; fault(run) does one, and returns whether a process should be
    started again, or None where there was nobody. Returns what was measured, and what went wrong.
    """
    measured, wrong = [], []
    while len(measured) < count and len(wrong) < 3:
        run, restarts, faults = bench.start(), 0, 0
        while len(measured) < count and run.running():
            time.sleep(dice.uniform(0.05, 0.05 + 4 * bench.median))
            last = run.steps[-1][1] if run.steps else 0
            if last > bench.steps - 2 * MORE_STEPS:
                break
            at = time.monotonic()
            again = fault(run)
            if again is None:
                continue
            run.wait_until(lambda: gone_on(run, at) and (not again or placed_at(run, at)))
            if not gone_on(run, at):
                break
            m = measure(bench, run, at)
            m["rejoin"] = placed_at(run, at) - at if again and placed_at(run, at) else None
            if m["stall"] > SLOW_S:
                print(f"  slow: {m['stall']:.1f} s; see {run.output}.log from {time.time() - (time.monotonic() - at):.3f} on", flush=True)
            measured.append(m)
            faults += 1
            restarts += again
        wrong += bench.verdict(run)
        if run.started_again() > restarts + 1:
            wrong.append(f"{run.output}: {run.started_again()} processes were started again after {restarts} kills")
        if not faults:
            wrong.append(f"{run.output}: no fault hit it")
    return measured, wrong


def killer(kind, indices, dice):
    def fault(run):
        pid = run.victim(kind, dice.choice(indices))
        if pid is None:
            return None
        os.kill(pid, signal.SIGKILL)
        return True
    return fault


def kill_worker(bench, dice, count):
    measured, wrong = repeat(bench, dice, count, killer("worker", range(WORKERS), dice))
    return summary(measured), wrong


def kill_server(bench, dice, count):
    measured, wrong = repeat(bench, dice, count, killer("ps", range(1, SERVERS), dice))
    return summary(measured), wrong


def kill_coordinator(bench, dice, count):
    measured, wrong = repeat(bench, dice, count, killer("ps", [0], dice))
    return summary(measured), wrong


def straggler(bench, dice, count):
    """Throughput while one of the workers is stopped, against that before."""
    shares, before_s, stop_s = [], 5.0, 10.0

    def fault(run):
        pid = run.victim("worker", dice.randrange(WORKERS))
        began = time.monotonic()
        run.wait_until(lambda: time.monotonic() - began > before_s)
        at = time.monotonic()
        before = sum(at - before_s < t <= at for t, _ in run.steps) / before_s
        if pid is None or bench.steps - run.steps[-1][1] < 1.5 * stop_s * before:
            return None
        os.kill(pid, signal.SIGSTOP)
        run.wait_until(lambda: time.monotonic() - at > stop_s)
        os.kill(pid, signal.SIGCONT)
        shares.append(sum(at < t <= at + stop_s for t, _ in run.steps) / stop_s / before)
        return False

    measured, wrong = [], []
    while len(measured) < count and not wrong:
        more, wrong = repeat(bench, dice, 1, fault)
        measured += more
    return summary(measured, throughput_min=percentile(shares, 0), throughput_p50=percentile(shares, 0.5),
                   throughput_goal=0.9 * (WORKERS - 1) / WORKERS), wrong


def any_fault(dice, done):
    def fault(run):
        there = run.children()
        if not there:
            return None
        kind, index, pid = dice.choice(there)
        stop = dice.random() < 0.25
        done[f"{'stop' if stop else 'kill'} {kind if index or kind == 'worker' else 'coordinator'}"] += 1
        os.kill(pid, signal.SIGSTOP if stop else signal.SIGKILL)
        if stop:
            time.sleep(dice.uniform(0.1, 1.5))
            os.kill(pid, signal.SIGCONT)
        return not stop
    return fault


def soak(bench, dice, count):
    done = {f"{what} {whom}": 0 for what in ("kill", "stop") for whom in ("worker", "ps", "coordinator")}
    measured, wrong = repeat(bench, dice, count, any_fault(dice, done))
    return summary(measured, faults=done), wrong


def goodput(bench, dice, count):
    """One kill every 15 s, of any process: wall time of the undisturbed run over that of the disturbed one."""
    every_s, measured, wrong, plain, faulted = 15.0, [], [], 0.0, 0.0
    left_s = dice.uniform(0.3, 1.0) * every_s  # of training, until the next one
    while len(measured) < count and not wrong:
        run = bench.start()
        due = run.steps[0][0] + left_s
        while run.running():
            if not run.wait_until(lambda: time.monotonic() >= due):
                break
            there = run.children()
            if there and run.steps[-1][1] < bench.steps - MORE_STEPS:
                at = time.monotonic()
                os.kill(dice.choice(there)[2], signal.SIGKILL)
                run.wait_until(lambda: gone_on(run, at))
                measured.append(measure(bench, run, at))
            due += every_s
        wrong += bench.verdict(run)
        left_s = max(due - run.steps[-1][0], 0.0)
        plain, faulted = plain + bench.train_seconds, faulted + run.steps[-1][0] - run.steps[0][0]
    return summary(measured, seconds_between_kills=every_s, goodput=round(plain / faulted, 3) if faulted else None), wrong


def rolling(bench, dice, count):
    """Each process in turn, the workers first: killed, started again, and waited for."""
    measured, wrong = [], []
    for _ in range(count):
        order = iter([("worker", i) for i in range(WORKERS)] + [("ps", i) for i in reversed(range(SERVERS))])

        def fault(run):
            kind, index = next(order)
            os.kill(run.victim(kind, index), signal.SIGKILL)
            return True

        more, trouble = repeat(bench, dice, SERVERS + WORKERS, fault)
        measured, wrong = measured + more, wrong + trouble
    return summary(measured, stall_total_s=round(sum(m["stall"] for m in measured), 3)), wrong


def sigterm(bench, dice, count):
    """SIGTERM at random moments, from the first step on; the same command resumes, until the run is finished."""
    seconds, redone, wrong, stops = [], 0, [], 0
    while stops < count and not wrong:
        output, before, run = None, 0, bench.start()
        while run.running():
            time.sleep(dice.uniform(0, 1.5))
            stops += 1
            at = time.monotonic()
            run.process.send_signal(signal.SIGTERM)
            code = run.end()
            if code not in (0, 143):
                wrong.append(f"{run.output}: SIGTERM ended it with {code}: {[x for _, x in run.texts()[-3:]]}")
            if code != 143:
                break
            seconds.append(time.monotonic() - at)
            before, output = max((s for _, s in run.steps), default=before), run.output
            run = Run(bench, output)
            if stops < count:
                run.wait_until(lambda: len(run.steps) > 0)
                redone += sum(s <= before for _, s in run.steps)
            else:
                run.end()
        wrong += bench.verdict(run)
    return {"count": stops, "exit_p50_s": percentile(seconds, 0.5), "exit_max_s": percentile(seconds, 1), "steps_redone": redone}, wrong


ROWS = {  # name: (row of the goal table, count, what it does)
    "kill-worker": ("1", 50, kill_worker),
    "kill-server": ("3", 15, kill_server),
    "kill-coordinator": ("4", 10, kill_coordinator),
    "straggler": ("5", 3, straggler),
    "sigterm": ("11", 20, sigterm),
    "rolling": ("23", 1, rolling),
    "soak": ("soak", 100, soak),
    "goodput": ("goodput", 8, goodput),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = os.path.dirname(os.path.abspath(__file__))
    runs.add_arguments(parser, "build/recovery", os.path.join(here, "results", "recovery.json"))
    parser.add_argument("--row", action="append", choices=list(ROWS), help="this row only; may be repeated")
    parser.add_argument("--count", type=int, help="faults of a row; default: see --list")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=600, help="steps of one run")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        for name, (goal, count, function) in ROWS.items():
            print(f"{name:17} row {goal:8} {count:4} faults  {(function.__doc__ or '').strip().splitlines()[0:1]}")
        return 0
    bench = Bench(args)
    print(f"undisturbed: {bench.steps} steps in {bench.train_seconds:.1f} s, median {1e3 * bench.median:.0f} ms; load "
          f"{os.getloadavg()[0]:.1f}")
    results = json.load(open(args.out, encoding="utf-8")) if os.path.exists(args.out) else {}
    failed = False
    for name in args.row or ROWS:
        goal, count, function = ROWS[name]
        began = time.monotonic()
        row, wrong = function(bench, random.Random(f"{args.seed} {name}"), args.count or count)
        row = {"goal_row": goal, "seed": args.seed, **row, "same_bits": not wrong, "seconds": round(time.monotonic() - began, 1),
               "median_step_s": round(bench.median, 4), "load": round(os.getloadavg()[0], 1)}
        print(f"{name}: " + " ".join(f"{k}={v}" for k, v in row.items()), flush=True)
        for sentence in wrong:
            print(f"  WRONG: {sentence}", flush=True)
        failed = failed or bool(wrong)
        results[name] = row
        runs.write_whole(args.out, results)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
