"""The attacker of `bench.attack`: a process that does one bad thing to a node, over and over, until its stdin says otherwise.

It runs at the lowest priority: the machine's cores are few, and a process of the same rank as the attacked one would measure how
the system shares them. Run as `python -m bench.attacker`; speaks JSON lines: a `bench.half.Task`, then `{"attacking": true}`,
then, at the next line, `{"attacks": …}` a second.
"""

import contextlib
import itertools
import json
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from bench.attacked import DISCARD, HOLD, RAISE
from bench.half import Task
from bench.raw_peer import RawPeer, Target, opening, target_of
from cortexnet import multistream
from cortexnet.mux.window import INITIAL_WINDOW
from cortexnet.mux.yamux_frames import DATA, PING, RST, SYN, TYPE_MASK, WINDOW_UPDATE, pack
from cortexnet.testing.hostile import hostile_multistream

Attack = Callable[[Target], Iterator[int]]
"""Yields again and again how much it has done since: frames, streams, sockets or peers."""
ROUND: Final = 1.0
"""Seconds between two looks at sockets that do next to nothing."""


def raising(target: Target) -> Iterator[int]:
    """Streams whose handler raises; 32 at a time, so that they are answered and not refused."""
    peer = RawPeer(target)
    for first in itertools.count(1, 64):
        ids = set(range(first, first + 64, 2))
        peer.send(b"".join(opening(stream_id, RAISE) for stream_id in ids))
        while ids:
            ids -= {stream_id for word, stream_id, _ in peer.read_headers() if word & RST}
        yield 32


def vanishing(target: Target) -> Iterator[int]:
    """Peers that open a stream and are killed, 16 at a time: the system ends their connections, they say nothing."""
    while True:
        child = os.fork()
        if not child:
            try:
                peers = [RawPeer(target) for _ in range(16)]
                for peer in peers:
                    peer.send(opening(1, DISCARD) + pack(DATA, 1, 1_000) + bytes(500))
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        yield 16


def garbage(target: Target) -> Iterator[int]:
    """Sockets with bytes on them that mean nothing, or another protocol; the last 64 are open at any time."""
    chance = random.Random(1)
    catalogue = [data for data in hostile_multistream().values() if data]
    sockets: list[socket.socket] = []
    while True:
        connected = socket.create_connection(target)
        sockets.append(connected)
        connected.setblocking(False)
        _send_what_goes(
            connected, chance.choice(catalogue) if chance.random() < 0.5 else chance.randbytes(chance.randint(1, 4_096))
        )
        if len(sockets) > 64:
            sockets.pop(0).close()
        yield 1


def bursts(target: Target) -> Iterator[int]:
    """Sockets that all want to be accepted in one turn of the loop."""
    while True:
        sockets = []
        for _ in range(400):
            connected = socket.socket()
            connected.setblocking(False)
            connected.connect_ex(target)
            sockets.append(connected)
        time.sleep(0.1)
        for connected in sockets:
            connected.close()
        yield len(sockets)


def stalled(target: Target) -> Iterator[int]:
    """100 handshakes that get one byte a second; those that the node has ended begin again."""
    return _slow(target, 100, multistream.propose("/noise") + b"\x00\x20" + random.Random(2).randbytes(31))


def silent(target: Target) -> Iterator[int]:
    """300 sockets without a byte; those that the node has closed are opened again once a second."""
    return _slow(target, 300, b"")


def _slow(target: Target, count: int, text: bytes) -> Iterator[int]:
    held: dict[socket.socket, Iterator[int]] = {}
    while True:
        begun = time.monotonic()
        for connected in [connected for connected in held if _is_over(connected)]:
            connected.close()
            del held[connected]
        opened = count - len(held)
        for _ in range(opened):
            connected = socket.create_connection(target)
            connected.setblocking(False)
            held[connected] = iter(text)
        for connected, rest in held.items():
            _send_what_goes(connected, bytes(itertools.islice(rest, 1)))
        yield opened
        select.select([sys.stdin], [], [], max(0.0, begun + ROUND - time.monotonic()))


def _is_over(connected: socket.socket) -> bool:
    try:
        while connected.recv(4_096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _send_what_goes(connected: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # closed already, or full: both are fine
        connected.send(data)


def small_data(size: int) -> Attack:
    """Data frames of so few bytes on one stream whose handler reads them all, as fast as its window allows."""

    def attack(target: Target) -> Iterator[int]:
        count = 16_384
        batch = (pack(DATA, 1, size) + bytes(size)) * count
        peer = RawPeer(target)
        peer.send(opening(1, DISCARD))
        credit = INITIAL_WINDOW - len(multistream.propose(DISCARD))
        while True:
            while credit < size * count:
                credit += sum(length for word, stream_id, length in peer.read_headers() if stream_id == 1 and _is_credit(word))
            peer.send(batch)
            credit -= size * count
            yield count

    return attack


def _is_credit(word: int) -> bool:
    return word & TYPE_MASK == WINDOW_UPDATE


def flood(frames: Callable[[int], bytes], count: int) -> Attack:
    """Batches of `count` frames, made of their number, without a look at the answers; a peer that is thrown out comes again."""

    def attack(target: Target) -> Iterator[int]:
        while True:
            try:
                yield from _flood_once(RawPeer(target), frames, count)
            except OSError:
                continue

    return attack


def _flood_once(peer: RawPeer, frames: Callable[[int], bytes], count: int) -> Iterator[int]:
    try:
        peer.send(opening(1, DISCARD))
        for number in itertools.count():
            peer.send(frames(number))
            peer.throw_away()
            yield count
    finally:
        peer.close()


def pings(number: int) -> bytes:
    return b"".join(pack(PING | SYN, 0, value) for value in range(500))


def syns(number: int) -> bytes:
    """Streams without a protocol: all but 256 are refused."""
    return b"".join(pack(WINDOW_UPDATE | SYN, stream_id, 0) for stream_id in _next_ids(number))


def resets(number: int) -> bytes:
    """Streams that are reset as soon as they are open, so that no limit is reached."""
    return b"".join(
        pack(WINDOW_UPDATE | SYN, stream_id, 0) + pack(WINDOW_UPDATE | RST, stream_id, 0) for stream_id in _next_ids(number)
    )


def requests(number: int) -> bytes:
    """Streams that are reset as soon as their handler is asked for."""
    return b"".join(opening(stream_id, DISCARD) + pack(WINDOW_UPDATE | RST, stream_id, 0) for stream_id in _next_ids(number))


def _next_ids(number: int) -> range:
    first = 3 + number * 1_000
    return range(first, first + 1_000, 2)


def credits(number: int) -> bytes:
    """One byte of credit at a time, for a stream that sends nothing."""
    return pack(WINDOW_UPDATE, 1, 1) * 5_000


def crowd(attack: Attack) -> Attack:
    """Eight peers that do the same, each on a connection of its own."""

    def attacks(target: Target) -> Iterator[int]:
        peers = [attack(target) for _ in range(8)]
        for peer in itertools.cycle(peers):
            yield next(peer)

    return attacks


def prefixes(target: Target) -> Iterator[int]:
    """A length that no message may have, instead of the first message of a handshake."""
    while True:
        connected = socket.create_connection(target)
        with contextlib.suppress(OSError):
            connected.sendall(multistream.propose("/noise") + b"\xff" * 4_096)
            connected.settimeout(0.05)
            connected.recv(4_096)
        connected.close()
        yield 1


def syn_data(target: Target) -> Iterator[int]:
    """Streams that bring data at once, for a handler that never asks for it."""
    peer = RawPeer(target)
    block = bytes(65_536)
    for number in itertools.count(1, 2):
        peer.send(opening(number, HOLD) + pack(DATA, number, len(block)) + block)
        peer.throw_away()
        yield 1


def overrun(target: Target) -> Iterator[int]:
    """One byte more than the window holds."""
    peer = RawPeer(target)
    peer.send(opening(1, HOLD))
    for _ in range(INITIAL_WINDOW // 65_536 + 1):
        peer.send(pack(DATA, 1, 65_536) + bytes(65_536))
    while list(peer.read_headers()):
        pass
    yield 1


def again(attack: Attack) -> Attack:
    """The same once more whenever the node has ended it, or refuses to be attacked."""

    def attack_on(target: Target) -> Iterator[int]:
        while True:
            try:
                yield from attack(target)
            except OSError:
                time.sleep(0.01)
                yield 0

    return attack_on


def nothing(target: Target) -> Iterator[int]:
    """No attack: a process that computes, to see what the system's scheduling does."""
    while True:
        yield sum(range(100_000)) * 0


ATTACKS: Final[dict[str, Attack]] = {
    "attack_none": nothing,
    "attack_raising": raising,
    "attack_vanishing": vanishing,
    "attack_garbage": garbage,
    "attack_bursts": bursts,
    "attack_stalled": stalled,
    "attack_silent": silent,
    "attack_data_1": small_data(1),
    "attack_data_2": small_data(2),
    "attack_pings": flood(pings, 500),
    "attack_syns": flood(syns, 500),
    "attack_resets": flood(resets, 1_000),
    "attack_requests": flood(requests, 500),
    "attack_credits": flood(credits, 5_000),
    "flood_silent": silent,
    "flood_stalled": stalled,
    "flood_prefix": prefixes,
    "flood_syns": again(flood(syns, 500)),
    "flood_syn_data": again(syn_data),
    "flood_data_1": again(small_data(1)),
    "flood_overrun": again(overrun),
    "attack_data_crowd": crowd(small_data(1)),
    "attack_syn_crowd": crowd(flood(syns, 500)),
}


def _give_way() -> None:
    """An attacker's machine is another one: what it computes takes no time of the node and of the honest peer.

    Niceness alone is not enough: on two cores an honest peer, woken behind an attacker that was just killing its peers, waited
    for half a millisecond, which was no doing of the node's. Where this peer alone was scheduled before all, the same node,
    attacked as fast, cost it 3.1 times the calm p99, and not 5.6.
    """
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main() -> None:
    _give_way()
    task = Task(**json.loads(sys.stdin.readline()))
    attack = ATTACKS[task.workload](target_of(task.address))
    attacks = next(attack)
    print(json.dumps({"attacking": True}), flush=True)
    begun = time.monotonic()
    for done in attack:
        attacks += done
        if select.select([sys.stdin], [], [], 0)[0]:
            break
    print(json.dumps({"attacks": attacks / (time.monotonic() - begun)}), flush=True)


if __name__ == "__main__":
    main()
