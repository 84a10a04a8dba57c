#!/usr/bin/env python3
"""Bytes of the newest checkpoint are turned, and its files cut: each time it must be named and passed over.

    flips.py NEWEST_CHECKPOINT OUTPUT_DIR BODY_FLIPS STRIDE SEED

OUTPUT_DIR holds two checkpoints or more and is left as it was. Every STRIDE-th byte of MANIFEST.json, of head.json and of the
headers of safetensors files is turned (one bit, and to another value), BODY_FLIPS random bytes of each body, and every file is cut
at every STRIDE-th length modulo 4 KiB. Prints the tally; exit code 1 if a damaged checkpoint was taken, or not named.
"""
import os
import random
import struct
import subprocess
import sys


def main():
    asked, output = sys.argv[1:3]
    body_flips, stride, seed = map(int, sys.argv[3:])
    dice = random.Random(seed)
    steps = sorted(int(n.split("-")[1]) for n in os.listdir(output) if n.startswith("checkpoint-"))
    newest, before = f"checkpoint-{steps[-1]}", f"checkpoint-{steps[-2]}"
    child = subprocess.Popen([asked, "--say"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer():
        child.stdin.write(output + "\n")
        child.stdin.flush()
        return child.stdout.readline().rstrip("\n").split("\t")

    wrong, tally = [], {"header and manifest bytes": 0, "body bytes": 0, "lengths": 0}

    def held(what, kind):
        taken, *said = answer()
        tally[kind] += 1
        if taken != before:
            wrong.append(f"{what}: {taken} was taken")
        elif not any(newest in sentence for sentence in said):
            wrong.append(f"{what}: {newest} was not named: {said}")

    if answer() != [newest]:
        raise SystemExit(f"undamaged, not {newest} is taken but {answer()}")
    for name in sorted(os.listdir(os.path.join(output, newest))):
        path = os.path.join(output, newest, name)
        with open(path, "rb") as file:
            whole = file.read()
        header = 8 + struct.unpack("<Q", whole[:8])[0] if name.endswith(".safetensors") else len(whole)
        places = [(at, "header and manifest bytes") for at in range(dice.randrange(stride), header, stride)]
        share = body_flips if header < len(whole) else 0
        places += [(dice.randrange(header, len(whole)), "body bytes") for _ in range(share)]
        with open(path, "r+b", buffering=0) as file:
            for at, kind in places:
                for value in {whole[at] ^ 1 << dice.randrange(8), (whole[at] + dice.randrange(1, 256)) % 256}:
                    os.pwrite(file.fileno(), bytes([value]), at)
                    held(f"{name}, byte {at}: {whole[at]:02x} became {value:02x}", kind)
                os.pwrite(file.fileno(), whole[at:at + 1], at)
            for rest in range(dice.randrange(stride), min(4096, len(whole)), stride):
                pages = (len(whole) - rest - 1) // 4096
                length = rest + 4096 * dice.randint(0, pages)
                file.truncate(length)
                held(f"{name}, cut to {length} of {len(whole)} bytes", "lengths")
                os.pwrite(file.fileno(), whole[length:], length)
    if answer() != [newest]:
        wrong.append(f"repaired, not {newest} is taken but {answer()}")
    child.stdin.close()
    child.wait()
    print("# " + ", ".join(f"{count} {kind}" for kind, count in tally.items()) + f"; {len(wrong)} were not found out")
    for sentence in wrong[:10]:
        print("# " + sentence)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
