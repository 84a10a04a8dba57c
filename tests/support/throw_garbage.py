"""Throws at a coordinator's TCP port what no peer of ours would send, until the connections are refused.

usage: throw_garbage.py PORT SECONDS

Everything is made from a fixed seed. Connections are kept open, up to a limit, as a port scanner or a half-dead peer
would. The last line tells how many connections and messages there were, and how many strangers were answered.
"""

import ctypes
import random
import socket
import struct
import sys
import time

KEPT = 64
XXH3 = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
XXH3.restype, XXH3.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
GREETING = b"\xff" + b"\0" * 8 + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + b"\0" * 31


def property_of(name, value):
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def handshake(sock, peer):
    """ZMTP 3.0 without security: after this the coordinator holds us for the peer of that number."""
    identity = b"P" + struct.pack(">Q", peer)
    if peer < 1 << 63:  # a server, whose process has a name of its own
        identity += b"garbage!"
    body = b"\x05READY" + property_of(b"Socket-Type", b"DEALER") + property_of(b"Identity", identity)
    sock.sendall(GREETING + bytes([4, len(body)]) + body)


def frame(data, more):
    if len(data) < 256:
        return bytes([1 if more else 0, len(data)]) + data
    return bytes([3 if more else 2]) + struct.pack(">Q", len(data)) + data


def message(*frames):
    return b"".join(frame(data, i + 1 < len(frames)) for i, data in enumerate(frames))


def field(number, kind, payload):
    return bytes(varint(number << 3 | kind)) + payload


def varint(value):
    while value >= 128:
        yield value & 127 | 128
        value >>= 7
    yield value


def text(number, value):
    return field(number, 2, bytes(varint(len(value))) + value)


def head(version, job, body_number, body):
    return field(1, 0, bytes(varint(version))) + field(2, 1, struct.pack("<Q", job)) + text(body_number, body)


def sealed(packed):
    """A head as it travels: with the xxh3-64 of its bytes behind it."""
    return packed + struct.pack("<Q", XXH3(packed, len(packed)))


def messages(rng):
    """One of each kind of message that ZeroMQ delivers and that is none of ours."""
    hello = field(1, 0, b"\x02") + text(4, b"stranger") + text(5, b"task=mlm\n") + text(7, field(5, 0, b"\x01"))
    hello += text(8, field(1, 0, b"\x02") + field(2, 0, b"\x02"))
    return [
        message(b""),
        message(rng.randbytes(200)),
        message(head(1, 1, 16, hello)),                            # without a seal
        message(rng.randbytes(70000)),
        message(*[b"x"] * 9),
        message(sealed(head(99, 1, 16, hello))),                    # another version of the protocol
        message(sealed(head(1, rng.getrandbits(64), 16, hello))),   # another job: answered with a sentence
        message(sealed(head(1, rng.getrandbits(64), 22, b"")), b"\0" * 400),  # a push to another job
        message(sealed(head(1, 1, 24, b"")), b"\0" * 7),                    # sums of a broken size
    ]


def attack(rng, port):
    sock = socket.create_connection(("127.0.0.1", port), timeout=2)
    kind = rng.randrange(7)
    sent = 0
    if kind == 0:
        sock.sendall(rng.randbytes(rng.randrange(1, 5000)))
    elif kind == 1:
        sock.sendall(GREETING[: rng.randrange(1, 64)])
    elif kind == 2:
        sock.sendall(GREETING + b"\x04\xff" + rng.randbytes(30))
    elif kind == 3:
        handshake(sock, rng.getrandbits(63))
        sock.sendall(b"\x02" + struct.pack(">Q", 1 << rng.randrange(27, 63)) + rng.randbytes(100))
    elif kind == 4:
        handshake(sock, rng.getrandbits(63))
        sock.sendall(frame(b"the end never comes", True))
    else:
        handshake(sock, (1 << 63 if kind == 5 else 0) | rng.getrandbits(63))
        for data in messages(rng):
            sock.sendall(data)
            sent += 1
    return sock, sent


def answered(sock):
    """Whether more came back than a handshake: REFUSE names both sides."""
    sock.settimeout(0.2)
    got = b""
    try:
        while chunk := sock.recv(65536):
            got += chunk
    except OSError:
        pass
    sock.close()
    return b"stranger" in got


def main():
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    rng = random.Random(1)
    begin = time.monotonic()
    kept, connections, sent, heard = [], 0, 0, 0
    while time.monotonic() < begin + seconds:
        try:
            sock, count = attack(rng, port)
        except OSError:
            if connections:
                break
            time.sleep(0.05)
            continue
        connections += 1
        sent += count
        kept.append(sock)
        if len(kept) == KEPT:
            heard += answered(kept.pop(rng.randrange(KEPT)))
    for sock in kept:
        heard += answered(sock)
    print(connections, sent, heard)


main()
