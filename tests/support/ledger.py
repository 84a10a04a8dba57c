#!/usr/bin/env python3
"""Proves from the ledgers of a run (ledger.h) that every slot of every committed step is in the
weights exactly once, and every sample in its epoch.

    ledger.py FOLDER [--finished STEPS]

FOLDER is the ledger_dir of one run, with the files of all its processes, dead ones too. The last
line is the verdict; the exit code is 0 if nothing is wrong, 1 if something is, and 66 if there is
nothing to read. --finished: the run must have committed so many steps.

The surviving line: each term begins with so many steps done, and takes back what earlier terms had
committed beyond. What is left at the end is what the weights are made of. A term may go on with the
line of one before the last: a slow disk has brought its checkpoint to an end by then.
"""
import argparse
import collections
import glob
import os
import sys

SHOWN = 10  # violations


class Process:
    """What one process wrote: its first line, and the others as (line number, time, kind, fields)."""

    def __init__(self, path, number, fields):
        self.path, self.number = path, number
        self.role, self.boot, self.peer = fields["role"], fields["boot"], fields["peer"]
        self.index, self.life = int(fields["index"]), int(fields["life"])
        self.entries = []

    def __str__(self):
        return f"{self.role} {self.index} (life {self.life}, {os.path.basename(self.path)})"


class Entry:
    NUMBERS = {"term", "step", "part", "node", "of_term", "of_step", "count"}

    def __init__(self, number, time, kind, words):
        self.number, self.time, self.kind = number, time, kind
        self.scale = self.rate = self.what = None
        for word in words:
            key, _, value = word.partition("=")
            setattr(self, key, int(value) if key in self.NUMBERS else value)

    def update(self):
        """How a step ended, as far as all must agree on it."""
        return (self.what, self.scale, self.rate)


def read_files(folder, complain):
    processes = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.ledger"))):
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")
        process = None
        for number, line in enumerate(lines[:-1], 1):  # a line without an end was never heard of
            words = line.split(" ")
            try:
                if words[1] == "ledger":
                    fields = dict(word.split("=", 1) for word in words[2:])
                    process = Process(path, number, fields)
                    processes.append(process)
                else:
                    process.entries.append(Entry(number, int(words[0]), words[1], words[2:]))
            except (IndexError, ValueError, KeyError, AttributeError):
                complain(f"{path}:{number}: this is no line of a ledger: '{line[:80]}'")
    return processes


def numbers(text):
    return [int(word) for word in text.split(",") if word]


def contains(outer, inner):
    """Heap numbers over the slots: is inner under outer, or the same?"""
    return inner.bit_length() >= outer.bit_length() and inner >> (inner.bit_length() - outer.bit_length()) == outer


class Sum:
    """What a part's gradient sum consists of in a running step."""

    def __init__(self):
        self.held = set()  # as the server folds: two halves become the whole
        self.taken = {}  # node -> who sent it, of those that were not replaced by a larger one

    def covers(self, node):
        return any(contains(held, node) for held in self.held)

    def take(self, node, peer):
        self.held = {held for held in self.held if not contains(node, held)}
        self.taken = {old: who for old, who in self.taken.items() if not contains(node, old)}
        self.taken[node] = peer
        while node > 1 and node ^ 1 in self.held:
            self.held.remove(node ^ 1)
            node //= 2
        self.held.add(node)

    def missing(self, slots):
        return [slot for slot in range(slots) if not self.covers(slots + slot)]


class Ledger:
    def __init__(self, folder):
        self.folder, self.violations, self.violation_count = folder, [], 0
        self.answers = collections.Counter()
        self.processes = read_files(folder, self.complain)
        self.servers = [p for p in self.processes if p.role == "server"]
        self.workers = [p for p in self.processes if p.role == "worker"]
        self.terms = {}  # number -> (process, entry)
        self.line = []  # [step] = (term, decide entry) of the surviving line, from self.base on
        self.base = 0
        self.redone = 0
        self.begun = {}  # (term, server) -> (process, entry)
        self.commits = {}  # (term, step, server) -> (decision, slots, {part: Sum})
        self.saves = collections.defaultdict(set)  # (term, step) -> servers

    def complain(self, sentence):
        self.violation_count += 1
        if len(self.violations) < SHOWN:
            self.violations.append(sentence)

    # ---- the coordinator ----

    def read_terms(self):
        decided = collections.defaultdict(list)
        for process in self.servers:
            for entry in process.entries:
                if entry.kind == "term":
                    if entry.term in self.terms:
                        self.complain(f"term {entry.term} began twice: at {self.terms[entry.term][0]} and {process}")
                    self.terms[entry.term] = (process, entry)
                elif entry.kind == "decide":
                    decided[entry.term].append((process, entry))
        for term in decided:
            if term not in self.terms:
                self.complain(f"steps were committed in term {term}, which never began")
        first, given_up = True, []
        for term in sorted(self.terms):
            process, entry = self.terms[term]
            if first:
                self.base, first = entry.step, False
            reached = self.base + len(self.line)
            given_up.append(list(self.line))
            if entry.step > reached:
                self.line = next((line for line in given_up if self.base + len(line) >= entry.step), self.line)
                reached = self.base + len(self.line)
            if not self.base <= entry.step <= reached:
                self.complain(f"term {term} begins with {entry.step} steps done, but {reached} were committed")
            self.redone += max(0, reached - entry.step)
            del self.line[max(0, entry.step - self.base):]
            for decider, decision in decided[term]:
                if decider is not process:
                    self.complain(f"term {term} of {process}: {decider} committed its step {decision.step}")
                elif decision.step != self.base + len(self.line):
                    self.complain(f"term {term}: step {decision.step} was committed after "
                                  f"{self.base + len(self.line)} steps")
                else:
                    self.line.append((term, decision))

    def check_beginnings(self):
        """What a term goes back to was written by all servers of one term before, as was what is published."""
        for term, (_, entry) in sorted(self.terms.items()):
            if entry.step <= self.base:
                continue
            whole = [t for (t, step), who in self.saves.items()
                     if step == entry.step and t < term and t in self.terms and len(who) == self.terms[t][1].count]
            if not whole:
                self.complain(f"term {term} begins at step {entry.step}, of which not all servers had saved their share")
        for process in self.servers:
            for entry in process.entries:
                if entry.kind == "publish" and entry.term in self.terms and \
                        len(self.saves[entry.term, entry.step]) != self.terms[entry.term][1].count:
                    self.complain(f"{process}:{entry.number}: the checkpoint of step {entry.step} was published, of "
                                  f"which servers {sorted(self.saves[entry.term, entry.step])} had saved their share")

    # ---- servers ----

    def replay_push(self, process, at, sums, slots, entry):
        where = f"{process}:{entry.number}: term {at.term}, step {at.step}, part {entry.part}, node {entry.node}"
        of_this = entry.of_term == at.term and entry.of_step == at.step
        part = sums.get(entry.part)
        self.answers[entry.what] += 1
        if (entry.term, entry.step) != (at.term, at.step):
            self.complain(f"{where}: the server was at term {entry.term}, step {entry.step} without having got there")
        elif entry.what == "applied":
            if not of_this:
                self.complain(f"{where}: a push of term {entry.of_term}, step {entry.of_step} was applied")
            if part is None or not 1 <= entry.node < 2 * slots:
                self.complain(f"{where}: applied, though this server has no such part or the step no such node")
            elif part.covers(entry.node):
                self.complain(f"{where}: applied twice")
            else:
                part.take(entry.node, entry.peer)
        elif entry.what == "duplicate" and not (of_this and part is not None and part.covers(entry.node)):
            self.complain(f"{where}: answered as a duplicate, but it is not held")
        elif entry.what == "stale" and of_this:
            self.complain(f"{where}: answered as stale, but it is of the running step")

    def replay_commit(self, process, at, sums, slots, entry):
        where = f"{process}:{entry.number}: term {at.term}, step {at.step}"
        decided = self.decisions.get((at.term, at.step))
        if entry.step != at.step:
            self.complain(f"{where}: committed step {entry.step}")
        if decided is None:
            self.complain(f"{where}: committed, but the coordinator never said so")
        elif decided.update() != entry.update():
            self.complain(f"{where}: committed as {entry.update()}, but the coordinator decided {decided.update()}")
        for part, part_sum in sums.items():
            if entry.what != "load" and part_sum.held != {1}:
                self.complain(f"{where}: committed without slots {part_sum.missing(slots)} of part {part}")
        self.commits[at.term, at.step, process.index] = (entry, slots, sums)

    def replay_server(self, process):
        at, sums, slots, trained = None, {}, 0, []
        for entry in process.entries:
            if entry.kind in ("term", "decide", "publish"):
                continue
            if entry.kind == "begin":
                if at is not None and entry.term <= at.term:
                    self.complain(f"{process}:{entry.number}: term {entry.term} began after term {at.term}")
                if (entry.term, process.index) in self.begun:
                    self.complain(f"server {process.index} has two owners in term {entry.term}: "
                                  f"{self.begun[entry.term, process.index][0]} and {process}")
                self.begun[entry.term, process.index] = (process, entry)
                at = argparse.Namespace(term=entry.term, step=entry.step)
                slots, trained = entry.count, numbers(entry.trained)
                sums = {part: Sum() for part in trained}
            elif at is None:
                self.complain(f"{process}:{entry.number}: '{entry.kind}' before any term began")
            elif entry.kind == "push":
                self.replay_push(process, at, sums, slots, entry)
            elif entry.kind == "seed" and entry.what == "applied" and entry.of_term != at.term:
                self.complain(f"{process}:{entry.number}: first weights of term {entry.of_term} "
                              f"were taken in term {at.term}")
            elif entry.kind == "commit":
                self.replay_commit(process, at, sums, slots, entry)
                at.step += 1
                sums = {part: Sum() for part in trained}
            elif entry.kind == "save":
                self.saves[at.term, entry.step].add(process.index)
                if entry.step > at.step:
                    self.complain(f"{process}:{entry.number}: saved step {entry.step} when it was at step {at.step}")
            elif entry.kind == "serve" and (entry.term, entry.step) != (at.term, at.step):
                self.complain(f"{process}:{entry.number}: served weights of term {entry.term}, step {entry.step} "
                              f"in term {at.term}, step {at.step}")

    def check_successors(self):
        """A server whose place another process has taken serves and applies nothing more."""
        of_index = collections.defaultdict(list)
        for process in self.servers:
            begins = [e for e in process.entries if e.kind == "begin"]
            if begins:
                of_index[process.boot, process.index].append((begins[0].time, begins[0].term, process))
        for begun in of_index.values():
            begun.sort(key=lambda item: item[0])
            for (_, _, old), (since, term, new) in zip(begun, begun[1:]):
                last = max(e.term for e in old.entries if e.kind == "begin")
                if term <= last:
                    self.complain(f"{new} began with term {term}, but {old} had taken term {last}")
                for entry in old.entries:
                    acts = entry.kind == "serve" or (entry.kind in ("push", "seed") and entry.what == "applied")
                    if acts and entry.time > since:
                        self.complain(f"{old}:{entry.number}: '{entry.kind}' after {new} had taken its place")

    def replay_servers(self):
        self.decisions = {}
        for process in self.servers:
            for entry in process.entries:
                if entry.kind == "decide":
                    self.decisions[entry.term, entry.step] = entry
        for process in self.servers:
            self.replay_server(process)

    def check_line(self):
        """Every server has ended every step of the line, and every part has one owner."""
        owners_of = {}
        for step, (term, decision) in enumerate(self.line, self.base):
            count = self.terms[term][1].count
            if term not in owners_of:
                parts = collections.Counter()
                for server in range(count):
                    if (term, server) in self.begun:
                        begin = self.begun[term, server][1]
                        parts.update(numbers(begin.trained) + numbers(begin.frozen))
                owners_of[term] = parts
                if set(parts) != set(range(len(parts))) or any(n != 1 for n in parts.values()):
                    self.complain(f"term {term}: not every part has one owner: {dict(parts)}")
            absent = [server for server in range(count) if (term, step, server) not in self.commits]
            unfinished = step == self.base + len(self.line) - 1 and self.finished is None
            if absent and not unfinished:
                self.complain(f"step {step}, committed in term {term}, was never ended by servers {absent}")

    # ---- workers ----

    def read_slots(self):
        self.slots, self.samples, self.executions, self.plans = {}, {}, 0, set()
        for process in self.workers:
            for entry in process.entries:
                if entry.kind == "plan":
                    self.plans.add((entry.count, entry.of_step, entry.node))
                elif entry.kind == "slot":
                    self.executions += 1
                    samples = numbers(entry.samples)
                    self.slots[process.peer, entry.term, entry.step, entry.node] = samples
                    known = self.samples.setdefault((entry.step, entry.node), samples)
                    if known != samples:
                        self.complain(f"{process}:{entry.number}: slot {entry.node} of step {entry.step} has samples "
                                      f"{samples}, elsewhere {known}")

    def samples_of_step(self, step, term):
        """Those of the executions that were taken, slot by slot; all parts must tell of one that exists."""
        found = {}
        for server in range(self.terms[term][1].count):
            _, slots, sums = self.commits.get((term, step, server), (None, 0, {}))
            for part, part_sum in sums.items():
                for node, peer in part_sum.taken.items():
                    first = node << (slots.bit_length() - node.bit_length())
                    for slot in range(first - slots, first - slots + (1 << (slots.bit_length() - node.bit_length()))):
                        samples = self.slots.get((peer, term, step, slot))
                        if samples is None:
                            self.complain(f"term {term}, step {step}, part {part}: slot {slot} was taken of worker "
                                          f"{peer}, who never computed it")
                        else:
                            found[slot] = samples
        return [sample for slot in sorted(found) for sample in found[slot]]

    def check_samples(self):
        self.epochs = self.sample_count = 0
        if len(self.plans) != 1:
            if self.line:
                self.complain(f"the workers read different plans: {sorted(self.plans)}")
            return
        count, per_epoch, _ = next(iter(self.plans))
        seen, steps, whole = collections.Counter(), 0, None
        for step, (term, decision) in enumerate(self.line, self.base):
            if per_epoch and step % per_epoch == 0:
                seen, steps = collections.Counter(), 0
            if decision.what == "load":
                continue
            samples = self.samples_of_step(step, term)
            seen.update(samples)
            self.sample_count += len(samples)
            steps += 1
            epoch = step // per_epoch if per_epoch else 0
            again = [sample for sample in samples if seen[sample] > 1]
            if again:
                self.complain(f"epoch {epoch}: samples {again} come again in step {step}")
            if steps == per_epoch and seen:
                self.epochs += 1
                if len(seen) != count:
                    self.complain(f"epoch {epoch} has {len(seen)} samples of {count}")
                if whole is not None and set(seen) != whole:
                    self.complain(f"epoch {epoch} has other samples than the one before")
                whole = set(seen)

    # ---- all of it ----

    def check(self, finished):
        self.finished = finished
        self.read_terms()
        self.replay_servers()
        self.check_beginnings()
        self.check_successors()
        self.check_line()
        self.read_slots()
        self.check_samples()
        if finished is not None and self.base + len(self.line) < finished:
            self.complain(f"{self.base + len(self.line)} steps were committed, expected {finished}")

    def verdict(self):
        slots = max([plan[2] for plan in self.plans], default=0)
        trained = sum(1 for _, decision in self.line if decision.what != "load")
        parts = sum(len(numbers(entry.trained)) for (term, _), (_, entry) in self.begun.items()
                    if self.line and term == self.line[-1][0])
        answers = ", ".join(f"{self.answers[word]} {word}" for word in
                            ("applied", "duplicate", "stale", "future", "bad"))
        if self.samples and not any(self.samples.values()):
            samples = "samples are not kept for this task"
        else:
            samples = (f"{self.sample_count} samples, {self.epochs} whole epoch{'' if self.epochs == 1 else 's'}, "
                       f"each sample once in its epoch")
        return (f"ledger: {trained * slots} slots of {trained} steps, each once, in {parts} parts; "
                f"{len(self.terms)} term{'' if len(self.terms) == 1 else 's'}, {self.redone} steps done again; "
                f"pushes: {answers}; {self.executions} slots computed; {samples}")


def main():
    parser = argparse.ArgumentParser(description="Checks the ledgers of one run.")
    parser.add_argument("folder", help="its ledger_dir")
    parser.add_argument("--finished", type=int, metavar="STEPS", help="so many steps must have been committed")
    args = parser.parse_args()
    ledger = Ledger(args.folder)
    if not ledger.processes:
        print(f"ledger.py: no ledgers in '{args.folder}'", file=sys.stderr)
        return 66
    ledger.check(args.finished)
    if not ledger.violation_count:
        print(ledger.verdict())
        return 0
    for sentence in ledger.violations:
        print(f"  {sentence}")
    if ledger.violation_count > len(ledger.violations):
        print(f"  and {ledger.violation_count - len(ledger.violations)} more")
    print(f"ledger: {ledger.violation_count} violation{'' if ledger.violation_count == 1 else 's'}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
