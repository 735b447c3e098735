"""`python -m bench.storage`: what keeping the address book on disk costs the event loop.

In turns, in one process: nothing to do; so many address updates a second (1,000) in memory alone; the same with a state directory
behind. How late a timer of 1 ms is, is the measure. Then the write-down and the taking back of a full address book: 20,000 peers
with 5 addresses each. Only figures of one run can be compared.
"""

import argparse
import asyncio
import gc
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

from cortexnet import Limits, Multiaddr, PeerId, Peerstore
from cortexnet.admission.access_rules import AccessRules
from cortexnet.storage.storage import Storage

T = TypeVar("T")

PEERS: Final = 20_000
ADDRESSES: Final = 5
TTL: Final = 3_600.0
STEP: Final = 0.01  # seconds between small portions of updates


async def main(rounds: int, seconds: float, rate: int) -> None:
    """Print a table."""
    peers = [PeerId(bytes([0x12, 32]) + number.to_bytes(32, "big")) for number in range(PEERS)]
    addresses = [
        [Multiaddr.parse(f"/ip4/11.{number >> 8}.{number & 255}.{place}/tcp/4001") for place in range(ADDRESSES)]
        for number in range(PEERS)
    ]
    gc.collect()
    gc.freeze()  # what is measured with is not to be measured
    print(f"{'':24}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>9}  ms late")
    for _ in range(rounds):
        with lateness("nothing to do") as late:
            await watch(late, asyncio.sleep(seconds))
        with lateness(f"{rate:,}/s in memory") as late:
            await watch(late, update(Peerstore(Limits()), peers, addresses, seconds, rate))
        async with stored() as (storage, peerstore, _):
            with lateness(f"{rate:,}/s with a disk") as late:
                await watch(late, update(peerstore, peers, addresses, seconds, rate))
            await storage.flush()
    await full(peers, addresses)


async def full(peers: list[PeerId], addresses: list[list[Multiaddr]]) -> None:
    """A book with all it may have: written, and read by another."""
    async with stored() as (storage, peerstore, folder):
        for peer, where in zip(peers, addresses, strict=True):
            peerstore.add_addresses(peer, where, TTL, asyncio.get_running_loop().time())
        began = time.perf_counter()
        with lateness("20,000 peers written") as late:
            await watch(late, storage.flush())
        written = time.perf_counter() - began
        await storage.close()
        again, began = Peerstore(Limits()), time.perf_counter()
        with lateness("20,000 peers read") as late:
            opened = await watch(late, Storage.open(folder, again, AccessRules(limit=1)))
        print(f"written in {written:.2f} s, read in {time.perf_counter() - began:.2f} s: {len(again):,} peers")
        await opened.close()


@asynccontextmanager
async def stored() -> AsyncIterator[tuple[Storage, Peerstore, str]]:
    with tempfile.TemporaryDirectory() as folder:
        peerstore = Peerstore(Limits())
        storage = await Storage.open(folder, peerstore, AccessRules(limit=1))
        try:
            yield storage, peerstore, folder
        finally:
            await storage.close()


async def update(peerstore: Peerstore, peers: list[PeerId], addresses: list[list[Multiaddr]], seconds: float, rate: int) -> None:
    """Learn of one peer after the other, each time at a few places."""
    loop = asyncio.get_running_loop()
    begun, done = loop.time(), 0
    while (passed := loop.time() - begun) < seconds:
        while done < passed * rate:
            peerstore.add_addresses(peers[done % PEERS], addresses[done % PEERS], TTL, loop.time())
            done += 1
        await asyncio.sleep(STEP)


async def watch(late: list[float], work: Coroutine[object, object, T]) -> T:
    """The outcome of some work, and how late each timer was meanwhile."""
    loop = asyncio.get_running_loop()

    async def tick() -> None:
        while True:
            due = loop.time() + 0.001
            await asyncio.sleep(0.001)
            late.append(loop.time() - due)

    ticking = asyncio.create_task(tick())
    try:
        return await work
    finally:
        ticking.cancel()


@contextmanager
def lateness(name: str) -> Iterator[list[float]]:
    """Print a line about what was collected within."""
    late: list[float] = []
    yield late
    ordered = sorted(late)
    figures = [ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3 for share in (0.5, 0.99, 0.999, 1.0)]
    print(f"{name:24}" + "".join(f"{figure:9.2f}" for figure in figures), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.storage", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--rate", type=int, default=1_000, help="updates a second")
    options = parser.parse_args()
    asyncio.run(main(options.rounds, options.seconds, options.rate))
