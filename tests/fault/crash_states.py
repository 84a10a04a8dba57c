#!/usr/bin/env python3
"""What a power cut may leave of a folder, from a record of what a program did to it (calls.c).

    crash_states.py RECORD FOLDER PROBE COUNT SEED

For every moment between two operations, any of those that are not yet made durable may have reached
the disk or not: data by a sync of their file, names by a sync of their folder, in any combination,
and the last data of a file only up to some block.  Some COUNT of these states are built in a
scratch folder and shown to PROBE (newest.c).  It must answer with a checkpoint that was complete,
byte for byte, and not with an older one than the newest whose writing had returned.
"""
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

BLOCK = 4096


def read_record(path, root):
    """Operations: tuples of a word, names below root, and data."""
    operations = []
    with open(path, "rb") as f:
        while line := f.readline():
            word, rest = line[:-1].decode().split(" ", 1)
            if word == "write":
                name, offset, size = rest.rsplit(" ", 2)
                operations.append((word, os.path.relpath(name, root), int(offset), f.read(int(size))))
            elif word == "rename":
                operations.append((word, *(os.path.relpath(p, root) for p in rest.split("\t"))))
            else:
                operations.append((word, os.path.relpath(rest, root)))
    return operations


class Crash:
    """The operations before a moment: which must have reached the disk, and which may have."""

    def __init__(self, operations):
        self.events = []  # ("data", file, offset, bytes) | ("name", folder, name, file or None) | folder kinds
        self.durable = []
        names, number = {}, 0
        for op in operations:
            word, path = op[0], op[1]
            folder = os.path.dirname(path) or "."
            if word == "create":
                number += 1
                names[path] = number
                self.add("name", folder, [(path, number)])
            elif word == "write" and path in names:
                self.add("data", names[path], op[2], op[3])
            elif word == "rename":
                names[op[2]] = names.pop(path)
                self.add("name", folder, [(path, None), (op[2], names[op[2]])])
            elif word == "unlink" and path in names:
                del names[path]
                self.add("name", folder, [(path, None)])
            elif word == "mkdir":
                self.add("name", folder, [(path, "folder")])
            elif word == "rmdir":
                self.add("name", folder, [(path, None)])
            elif word == "sync" and path in names:
                self.settle(lambda e: e[0] == "data" and e[1] == names[path])
            elif word == "syncdir":
                self.settle(lambda e: e[0] == "name" and e[1] == path)

    def add(self, *event):
        self.events.append(event)
        self.durable.append(False)

    def settle(self, covered):
        for i, event in enumerate(self.events):
            self.durable[i] = self.durable[i] or covered(event)

    def state(self, chosen, torn):
        """{path: bytes or None for a folder} with the optional events in chosen; one write torn."""
        data, tree = {}, {".": "folder"}
        for i, event in enumerate(self.events):
            if not (self.durable[i] or i in chosen):
                continue
            if event[0] == "data":
                content = data.setdefault(event[1], bytearray())
                piece = event[3][: torn[1]] if i == torn[0] else event[3]
                end = event[2] + len(piece)
                if len(content) < end:
                    content.extend(bytes(end - len(content)))
                content[event[2] : end] = piece
            else:
                for path, what in event[2]:
                    if what is None:
                        tree.pop(path, None)
                    else:
                        tree[path] = what
        out = {}
        for path, what in sorted(tree.items()):
            parent = os.path.dirname(path)
            while parent and tree.get(parent) == "folder":
                parent = os.path.dirname(parent)
            if not parent:  # else its folder is not there, and nobody sees it
                out[path] = None if what == "folder" else bytes(data.get(what, b""))
        return out


def build(state, root):
    shutil.rmtree(root, ignore_errors=True)
    for path, content in state.items():
        whole = os.path.join(root, path)
        if content is None:
            os.makedirs(whole, exist_ok=True)
        else:
            with open(whole, "wb") as f:
                f.write(content)


def fingerprint(state):
    h = hashlib.blake2b()
    for path, content in state.items():
        h.update(repr((path, content is None, len(content or b""))).encode() + (content or b""))
    return h.digest()


def folder_of(state, name):
    return {p: c for p, c in state.items() if p.startswith(name + "/") and ".tmp-" not in p}


def main():
    record, root, probe_path, count, seed = sys.argv[1:4] + [int(a) for a in sys.argv[4:6]]
    operations = read_record(record, root)
    dice = random.Random(seed)

    # The moments at which writing a checkpoint returned, and what it held.
    # Another thread may do other things between the manifest's rename and the sync of its folder.
    complete, returned, named = {}, [], set()
    for i, op in enumerate(operations):
        if op[0] == "rename" and op[2].startswith("checkpoint-") and op[2].endswith("/MANIFEST.json"):
            named.add(os.path.dirname(op[2]))
        renamed = op[0] == "syncdir" and op[1] in named
        named -= {op[1]} if renamed else set()
        in_place = op[0] == "write" and op[1].endswith("/MANIFEST.json")  # as a broken build does
        if renamed or in_place:
            crash = Crash(operations[: i + 1])
            name = os.path.dirname(op[1]) if in_place else op[1]
            complete[name] = folder_of(crash.state(set(range(len(crash.events))), (-1, 0)), name)
            # What comes after in the same round (the sync of the folder above) belongs to it.
            after = i + 1
            while after < len(operations) and operations[after] == ("syncdir", "."):
                after += 1
            returned.append((after, name))
    assert len(complete) >= 3, "the record has too few checkpoints to learn from"

    scratch = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    folder = os.path.join(scratch, "out")
    probe = subprocess.Popen([probe_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    seen, bad, number_of = set(), [], lambda name: int(re.sub(r"\D", "", name) or 0)
    try:
        rounds = 0
        while len(seen) < count and rounds < 50 * count:
            rounds += 1
            moment = rounds - 1 if rounds <= len(operations) + 1 else dice.randrange(len(operations) + 1)
            crash = Crash(operations[:moment])
            free = [i for i, durable in enumerate(crash.durable) if not durable]
            style = dice.randrange(4) if rounds > len(operations) + 1 else 1
            share = (0.0, 1.0, 0.5, 0.9)[style]
            chosen = {i for i in free if dice.random() < share}
            writes = [i for i in chosen if crash.events[i][0] == "data" and len(crash.events[i][3]) > 1]
            torn = (-1, 0)
            if writes and dice.random() < 0.5:
                i = dice.choice(writes)
                size = len(crash.events[i][3])
                torn = (i, dice.randrange(size) // BLOCK * BLOCK)
            state = crash.state(chosen, torn)
            mark = fingerprint(state)
            if mark in seen:
                continue
            seen.add(mark)
            build(state, folder)
            probe.stdin.write(folder + "\n")
            probe.stdin.flush()
            answer = probe.stdout.readline().strip()
            due = max((number_of(n) for at, n in returned if at <= moment), default=0)
            if answer != "none" and folder_of(state, answer) != complete.get(answer):
                bad.append(f"moment {moment}: {answer} is not what was written")
            elif number_of(answer if answer != "none" else "") < due:
                bad.append(f"moment {moment}: {answer}, although step {due} was saved")
    finally:
        probe.stdin.close()
        probe.wait()
        shutil.rmtree(scratch)
    print(f"{len(seen)} states, {len(operations)} operations, {len(complete)} checkpoints, {len(bad)} bad")
    for line in bad[:5]:
        print(line)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
