"""mDNS: nodes that know nothing of each other meet, under the name of their network and no other."""

from dataclasses import dataclass
from functools import partial
from typing import Any, final

from interop.harness.meeting import Meeting, Side, eventually, expect
from interop.harness.private_network import WIRE
from interop.harness.stack import LISTEN
from interop.scenarios.connections import without_peer

LIBP2P = "_p2p._udp"
CORTEX = "loreum-cortex"
"""The name of the reference network: two labels with `.local`, unlike any service of DNS-SD."""
PATIENCE = 20.0
"""Seconds: a question that is lost is asked again after four."""


@final
@dataclass(frozen=True, slots=True)
class MdnsNode:
    """One of the nodes with mDNS that a side runs."""

    side: Side
    number: int
    peer_id: str
    addresses: tuple[str, ...]

    async def call(self, operation: str, **fields: Any) -> dict[str, Any]:
        """One of the operations `mdns_…` on this node."""
        return dict(await self.side.call(f"mdns_{operation}", node=self.number, **fields))

    async def found(self) -> dict[str, set[str]]:
        """Whom it has found by now, and where."""
        found: dict[str, set[str]] = {}
        for each in (await self.call("found"))["found"]:
            found.setdefault(each["peer_id"], set()).update(map(without_peer, each["addresses"]))
        return found

    async def has_found(self, other: "MdnsNode") -> bool:
        """Whether it knows where the other is."""
        return set(map(without_peer, other.addresses)) <= (await self.found()).get(other.peer_id, set())


async def start(meeting: Meeting, side: Side, service: str) -> MdnsNode:
    """A new node of a side, on the cell's stack; on the wire, where one of them leaves loopback out."""
    options, place = meeting.stack.start_options(), LISTEN[meeting.stack.transport]
    if any(each.abilities.get("mdns_loopback") is False for each in (meeting.dialer, meeting.listener)):
        options["listen"] = [place.replace("127.0.0.1", WIRE)]
    answer = await side.call("mdns_start", service=service, **options)
    return MdnsNode(side, answer["node"], answer["peer_id"], tuple(answer["addresses"]))


async def meet(meeting: Meeting, service: str) -> None:
    """Each finds the other, whoever was there first, and connects to it where it was found; but for those who see no answers
    of the other's form."""
    for first, second in meeting.both_ways():
        one = await start(meeting, first, service)
        other = await start(meeting, second, service)
        for near, far in ((one, other), (other, one)):
            if not _sees(near.side, far.side):
                continue
            what = f"the {near.side.process.role} finds the {far.side.process.role}"
            await eventually(partial(near.has_found, far), what, PATIENCE)
            await near.call("connect", peer=far.peer_id)
        for node in (one, other):
            await node.call("stop")


def _sees(near: Side, far: Side) -> bool:
    """Whether answers of one side have all that the other looks for."""
    forms = ("hosts", "additional")
    return not any(near.abilities.get(f"mdns_needs_{each}") and far.abilities.get(f"mdns_{each}") is False for each in forms)


async def by_service(service: str, meeting: Meeting) -> None:
    """Under one name, with a node of another name beside them, where one of the two can have it."""
    sides = [side for side in (meeting.dialer, meeting.listener) if side.abilities.get("mdns_names") is not False]
    strangers = [await start(meeting, side, CORTEX if service == LIBP2P else LIBP2P) for side in sides[:1]]
    await meet(meeting, service)
    for stranger in strangers:
        found = await stranger.found()
        expect(not found, "nobody to be found under another name", found)
