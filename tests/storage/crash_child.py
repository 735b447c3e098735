"""Processes that write a state directory without pause and are killed at a random moment; what each of them left is looked at.

    python -m tests.storage.crash_child FOLDER ROUNDS SEED

One process imports everything once, and is copied for each round: a writer that says what it was told is on disk, and after its
end a reader that says what is wrong with what is there. Prints one line a round; exits with 1 where something was wrong.
"""

import asyncio
import functools
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path

from cortexnet.admission.access_rules import AccessRules, Rule
from cortexnet.admission.limits import Limits
from cortexnet.identity.envelope import PeerRecord, SignedRecord
from cortexnet.identity.identity import Identity
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records.provider_store import ProviderStore
from cortexnet.kad.records.value_store import ValueStore
from cortexnet.kad.routing.contact import Contact
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.storage.storage import Storage
from cortexnet.swarm.peerstore import ADDRESS_TTL, Peerstore

PEERS = [PeerId(bytes([0x12, 32]) + number.to_bytes(32, "big")) for number in range(60)]
KEYS = [PrivateKey.generate() for _ in range(3)]
PROTOCOL = "/test/kad/1.0.0"
LONGEST_LIFE = 0.1  # seconds of a writer, drawn anew each time


def address(number: int) -> Multiaddr:
    return Multiaddr.parse(f"/ip4/1.2.3.4/tcp/{number % 60_000 + 1}")


def subject(number: int) -> PeerId:
    return PEERS[number % len(PEERS)]


async def write(folder: Path, told: int, first: int) -> None:
    """Write step after step for ever; after each that is on disk, say its number."""
    peerstore, rules = Peerstore(Limits()), AccessRules(limit=1_000)
    storage = await Storage.open(str(folder), peerstore, rules)
    values, providers = ValueStore(), ProviderStore()
    await storage.kad(PROTOCOL).load(values, providers)
    os.write(told, b"open\n")
    now = asyncio.get_running_loop().time()
    for number in range(first, sys.maxsize):
        peer = subject(number)
        peerstore.forget(peer)
        peerstore.add_addresses(peer, [address(number)], ADDRESS_TTL, now)
        peerstore.set_metadata(peer, "step", number)
        key = KEYS[number % len(KEYS)]
        record = PeerRecord(PeerId.from_public_key(key.public_key), number, (address(number),))
        peerstore.accept_record(SignedRecord.open(record.seal(key), record.peer_id), now)
        rules.add(Rule("deny", peer, f"step {number}"), time.time())
        values.put(bytes(peer), b"%d" % number, time.time(), sender=peer)
        providers.add(bytes(peer), Contact(peer, [address(number)]), time.time())
        storage.kad(PROTOCOL).keep_reprovide(bytes(peer), b"%d" % number)
        if not number % 7:
            rules.remove("deny", subject(number - 1))
        line = f"{number}"
        if not number % 5:
            line += f" {Identity.load_or_create(folder / f'{number}.key').peer_id}"
        await storage.flush()
        os.write(told, f"{line}\n".encode())


async def read(folder: Path, last: int, identities: dict[int, str]) -> list[str]:
    """What is wrong, after step `last` was said to be on disk."""
    peerstore, rules = Peerstore(Limits()), AccessRules(limit=1_000)
    storage = await Storage.open(str(folder), peerstore, rules)
    kad, values, providers = storage.kad(PROTOCOL), ValueStore(), ProviderStore()
    await kad.load(values, providers)
    await storage.close()
    wrong = list[str]()
    for number in range(max(0, last - len(PEERS) + 1), last + 1):
        wrong += problems(number, last, peerstore, rules)
        wrong += problems_of_kad(number, last, values, providers, kad.reprovide_rows())
    return wrong + problems_of_files(folder, identities)


def problems(number: int, last: int, peerstore: Peerstore, rules: AccessRules) -> list[str]:
    """What is wrong with the outcome of a step. Of the one after the last, a part may be on disk."""
    peer, steps, found = subject(number), [number], list[str]()
    if subject(number) == subject(last + 1):
        steps.append(last + 1)
    noted = peerstore.metadata(peer).get("step")
    if noted not in steps:
        found.append(f"step {number}: the address book has {noted}")
    elif peerstore.addresses(peer, 0.0) != [address(noted)]:
        found.append(f"step {number}: other addresses")
    rule = rules.of_peer("deny", peer, time.time())
    may_be = [f"step {step}" for step in steps]
    if not (number + 1) % 7:
        may_be = [*may_be[number + 1 <= last :], ""]  # the step after it removed the rule
    if (rule.reason if rule is not None else "") not in may_be:
        found.append(f"step {number}: the rule is {rule}")
    return found


def problems_of_kad(
    number: int, last: int, values: ValueStore, providers: ProviderStore, reprovide: Mapping[bytes, bytes]
) -> list[str]:
    """As `problems`, of what the DHT keeps."""
    key = bytes(subject(number))
    steps = [number] if subject(number) != subject(last + 1) else [number, last + 1]
    value, contacts = values.get(key, time.time()), providers.get(key, time.time())
    found = [] if value is not None and value.value in [b"%d" % step for step in steps] else [f"step {number}: value {value}"]
    if [contact.addresses for contact in contacts] not in [[(address(step),)] for step in steps]:
        found.append(f"step {number}: providers {contacts}")
    if reprovide.get(key) not in [b"%d" % step for step in steps]:
        found.append(f"step {number}: reprovide {reprovide.get(key)!r}")
    return found


def problems_of_files(folder: Path, identities: dict[int, str]) -> list[str]:
    found = [f"moved aside: {path.name}" for path in folder.iterdir() if ".damaged-" in path.name]
    for path in folder.glob("*.key"):  # whole, whether it was told or not
        peer = str(Identity.load(path).peer_id)
        if identities.pop(int(path.stem), peer) != peer:
            found.append(f"another identity: {path.name}")
    return found + [f"no identity of step {number}" for number in identities]


def forked(work: Callable[[], Coroutine[None, None, bool]]) -> int:
    """The process id of a copy that does the work."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = int(asyncio.run(work()))
    finally:
        sys.stdout.flush()
        os._exit(code)


def killed_writer(folder: Path, first: int, chance: random.Random) -> str:
    """What a writer has said before it was killed, at a random moment: one in five while it opens the directory."""
    reading, writing = os.pipe()
    child = forked(lambda: write(folder, writing, first))
    os.close(writing)
    said = b"" if chance.randrange(5) else b"as if "
    end = None if not said else time.monotonic() + 0.04 * chance.random()
    while end is None or time.monotonic() < end:
        if select.select([reading], [], [], 0.001)[0]:
            piece = os.read(reading, 65_536)
            if not piece:
                break  # it has failed, and says why on stderr
            said += piece
        if end is None and b"open\n" in said:
            end = time.monotonic() + LONGEST_LIFE * chance.random()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while piece := os.read(reading, 65_536):
        said += piece
    os.close(reading)
    return said.decode()


async def look(folder: Path, last: int, identities: dict[int, str], name: str) -> bool:
    wrong = await read(folder, last, identities)
    sys.stdout.write(f"{name}, up to step {last}: {'; '.join(wrong) or 'whole'}\n")
    return bool(wrong)


def main(folder: Path, rounds: int, seed: int) -> int:
    chance, last, identities, code = random.Random(seed), -1, dict[int, str](), 0
    for number in range(rounds):
        for line in killed_writer(folder, last + 1, chance).splitlines(keepends=True):
            words = line.split()
            if line.endswith("\n") and words[-1] != "open":
                last = int(words[0])
                identities |= {last: words[1]} if len(words) > 1 else {}
        child = forked(functools.partial(look, folder, last, identities, f"round {number} of seed {seed}"))
        code |= os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
