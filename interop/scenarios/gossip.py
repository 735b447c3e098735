"""Gossip: messages of every version in meshes of two and three kinds, each everywhere once; policies, sizes, faults."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, final

from cortexnet import Identity
from cortexnet.gossip.message import Message
from cortexnet.gossip.messages import Rpc, Subscription, frame
from cortexnet.gossip.signing import Signer
from interop.harness.meeting import Meeting, Side, eventually, expect
from interop.harness.process import Answer

TOPIC = "interop"
SCORED = "scored"
"""The topic whose messages count in the scores of all kinds."""
VERSIONS = ("/meshsub/1.3.0", "/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0", "/floodsub/1.0.0")
NEWEST_EVERYWHERE = "/meshsub/1.2.0"
SMALLER, LARGER = 5, 10
"""Nodes of a mixed mesh: of the other kind, and of cortexnet's."""
LINKS = 3
"""Others that each node of a larger mesh dials."""
MESSAGES, FEWER = 1000, 200
"""From each kind, in a mesh with go alone, and in others."""
SIZES = {"cortexnet": LARGER, "js": 3}
"""Nodes of a kind, where not `SMALLER`."""
BURST = 50
"""Of those, under way at once."""
SIZE = 200
QUIET = 0.5
"""Seconds in which a message that must not come would have."""
LARGEST = (1 << 20) - 2048
"""Bytes of a message that just fits into go's largest RPC, and cortexnet's."""
ECHOES = {("go", "js"), ("rust", "js")}
"""js sends messages to their author, too, where they came by others; go and rust take that for an offence."""
MEETINGS = 5
"""Times that two nodes dial each other at once."""
BEATS = {"heartbeat": 0.3}
"""For scenarios that would wait for hearts to beat."""


@final
@dataclass(frozen=True, slots=True)
class GossipNode:
    """One of the nodes with gossip that a side runs."""

    side: Side
    number: int
    peer_id: str
    address: str

    async def call(self, operation: str, **fields: Any) -> Answer:
        """One of the operations `gossip_…` on this node."""
        return await self.side.call(f"gossip_{operation}", node=self.number, **fields)

    async def meet(self, *others: "GossipNode") -> None:
        """Connect."""
        if others:
            await self.call("connect", addresses=[other.address for other in others])

    async def publish(self, tag: int, count: int, *, first: int = 0, size: int = SIZE, topic: str = TOPIC) -> None:
        """Messages of that tag, numbered from the first."""
        await self.call("publish", topic=topic, tag=tag, first=first, count=count, size=size)

    async def has_met(self, others: "Sequence[GossipNode]", topic: str) -> bool:
        """Whether it knows that all of them want the topic."""
        known = (await self.call("peers", topic=topic))["subscribers"]
        return all(other.peer_id in known for other in others)

    async def has_in_mesh(self, others: "Sequence[GossipNode]", topic: str) -> bool:
        """Whether all of them are in its mesh."""
        mesh = (await self.call("peers", topic=topic))["mesh"]
        return all(other.peer_id in mesh for other in others)

    async def is_connected(self, other: "GossipNode") -> bool:
        """Whether there is a connection."""
        return other.peer_id in (await self.call("connected"))["peers"]

    @property
    def kind(self) -> str:
        """Which implementation it is."""
        return self.side.process.kind.name

    def __str__(self) -> str:
        return f"gossip node {self.number} of the {self.side.process.role}"


async def start(meeting: Meeting, side: Side, count: int = 1, *, topic: str = TOPIC, **fields: Any) -> list[GossipNode]:
    """New nodes of a side, on the cell's stack, which want the topic."""
    options = meeting.stack.start_options()
    answer = await side.call("gossip_start", count=count, topic=topic, **options, **fields)
    return [GossipNode(side, each["node"], each["peer_id"], each["addresses"][0]) for each in answer["nodes"]]


async def start_one_each(meeting: Meeting, **fields: Any) -> tuple[GossipNode, GossipNode]:
    """A node of the dialer and one of the listener, which is dialed."""
    (one,), (other,) = [await start(meeting, side, **fields) for side in (meeting.dialer, meeting.listener)]
    await one.meet(other)
    return one, other


async def know(nodes: Sequence[GossipNode], topic: str = TOPIC, *, mesh: bool = False) -> None:
    """Wait until all of them, each connected with each, know of each other that they want the topic; with `mesh`, are in it."""
    for node in nodes:
        others = [other for other in nodes if other is not node]
        what = "has all others in its mesh" if mesh else "knows the others"
        await eventually(partial(node.has_in_mesh if mesh else node.has_met, others, topic), f"{node} {what}", timeout=10)


async def heard(sides: Sequence[Side], expected: dict[int, int], *, topic: str = TOPIC, timeout: float = 20) -> None:
    """Every node of the sides has had so many different messages of each tag, each once and whole."""
    count = sum(expected.values())
    waits = [side.call("gossip_wait", topic=topic, count=count, timeout=timeout) for side in sides]
    await asyncio.gather(*waits)
    for side in sides:
        for node in (await side.call("gossip_received", topic=topic))["nodes"]:
            tags = {int(tag): number for tag, number in node["tags"].items()}
            expect(tags == expected, f"the messages {expected} at each node of the {side.process.role}", node)
            expect(not node["repeated"] and not node["wrong"], "each message once, and whole", node)


# --- versions, policies, sizes ---


async def versions(meeting: Meeting) -> None:
    """Nodes that speak one version only are connected through one of the other kind that speaks all of them."""
    for number, (near, far) in enumerate(meeting.both_ways()):
        topic = f"{TOPIC} {number}"
        alone = near.abilities.get("gossip_alone", near.abilities.get("gossip_versions", VERSIONS))
        among_others = far.abilities.get("gossip_versions", VERSIONS)
        spoken = [version for version in VERSIONS if version in alone and version in among_others]
        (hub,) = await start(meeting, far, topic=topic)
        nodes = [(await start(meeting, near, topic=topic, protocols=[version]))[0] for version in spoken]
        for node in nodes:
            await node.meet(hub)
        await eventually(partial(hub.has_met, nodes, topic), f"{hub} knows nodes of all versions", timeout=10)
        await asyncio.gather(*(know([node, hub], topic) for node in nodes))
        known = (await hub.call("peers", topic=topic))["protocols"]
        for node, version in zip(nodes, spoken, strict=True):
            expect(known is None or known[node.peer_id] == version, f"{version} to be spoken", known and known[node.peer_id])
        for tag, node in enumerate([hub, *nodes]):
            await node.publish(tag, 10, topic=topic)
        await heard([near, far], dict.fromkeys(range(len(nodes) + 1), 10), topic=topic)


async def unsigned(meeting: Meeting) -> None:
    """Messages that say nothing of their author; nodes that want signatures take none of them, and the other way round."""
    policy: dict[str, Any] = {"ids": "content", "unsigned": True}
    one, other = await start_one_each(meeting, **policy)
    await know([one, other])
    await one.publish(1, 10)
    await other.publish(2, 10)
    await heard([meeting.dialer, meeting.listener], {1: 10, 2: 10})
    for number, (near, far) in enumerate(meeting.both_ways()):
        topic = f"{TOPIC} {number}"
        (signs,) = await start(meeting, near, topic=topic, ids="content")
        (signs_not,) = await start(meeting, far, topic=topic, **policy)
        await signs.meet(signs_not)
        await know([signs, signs_not], topic)
        await signs.publish(1, 5, topic=topic)
        await signs_not.publish(2, 5, topic=topic)
        await asyncio.sleep(QUIET)
        for side, tag in ((near, "1"), (far, "2")):
            (state,) = (await side.call("gossip_received", topic=topic))["nodes"]
            expect(state["tags"] == {tag: 5}, "nothing of the other policy", state["tags"])


async def large(meeting: Meeting) -> None:
    """Messages of nearly a MiB, and many of 60 KB at once."""
    one, other = await start_one_each(meeting)
    await know([one, other])
    for tag, node in enumerate((one, other)):
        await node.publish(tag, 3, size=LARGEST)
    await heard([meeting.dialer, meeting.listener], {0: 3, 1: 3})
    for tag, node in enumerate((one, other)):
        await node.publish(2 + tag, 30, size=60_000)
    await heard([meeting.dialer, meeting.listener], {0: 3, 1: 3, 2: 30, 3: 30})


async def told(meeting: Meeting) -> None:
    """Nodes that have no mesh get everything by IHAVE and IWANT, so both must call messages the same.

    Who can tell only of what it has sent to somebody has another node of its own in its mesh, which is connected with it alone.
    """
    for ids in ("", "content"):
        topic = f"{TOPIC} {ids}"
        one, other = await start_one_each(meeting, topic=topic, degree=0, ids=ids, **BEATS)
        await know([one, other], topic)
        for node in (one, other):
            if node.side.abilities.get("gossip_keeps_unsent") is False:
                fields: dict[str, Any] = {"ids": ids, **BEATS}
                (fellow,) = await start(meeting, node.side, topic=topic, **fields)
                await fellow.meet(node)
                await know([node, fellow], topic, mesh=True)
        await one.publish(1, 20, topic=topic)
        await other.publish(2, 20, size=4000, topic=topic)
        await heard([meeting.dialer, meeting.listener], {1: 20, 2: 20}, topic=topic)


async def unwanted(meeting: Meeting) -> None:
    """A large message is not sent to who has said IDONTWANT, which all say as soon as they have it, before they check it."""
    for number, (near, far) in enumerate(meeting.both_ways()):
        topic, size, count = f"{TOPIC} {number}", 50_000, 5
        fields: dict[str, Any] = {"topic": topic, "ids": "content", **BEATS}
        (source,) = await start(meeting, near, **fields)
        (mine,) = await start(meeting, near, slow=0.2, **fields)
        (theirs,) = await start(meeting, far, slow=0.2, **fields)
        await source.meet(mine, theirs)
        await mine.meet(theirs)
        await know([source, mine, theirs], topic, mesh=True)
        await source.publish(number, count, size=size, topic=topic)
        await heard([near, far], {number: count}, topic=topic)
        await asyncio.sleep(QUIET)
        for node in (mine, theirs):
            counts = await node.call("counts")
            expect(counts["bytes"] < count * size * 1.5, f"each message to come once to {node}", counts)
            expect(
                counts["idontwant"] is None or counts["idontwant"] >= count, f"an IDONTWANT to {node} for each message", counts
            )


# --- faults ---


async def forged(meeting: Meeting) -> None:
    """Of what a stranger sends, only what is signed by its author is delivered, and passed on; the rest costs score."""
    for near, far in meeting.both_ways():
        topic = SCORED
        (victim,) = await start(meeting, far, topic=topic, scoring=True)
        (stranger,) = await start(meeting, near, topic="")
        await stranger.meet(victim)
        await asyncio.sleep(QUIET)  # for the streams of its own, which this one takes the place of
        rpcs = (Rpc([Subscription(topic)]), *forgeries(topic))
        await stranger.call("say", peer=victim.peer_id, protocol="/meshsub/1.1.0", value=b"".join(map(frame, rpcs)).hex())
        await eventually(partial(_blames, victim, stranger), f"{victim} holds it against who sent it")
        (state,) = (await far.call("gossip_received", topic=topic))["nodes"]
        expect(state["tags"] == {"7": 1} and not state["wrong"], "the one right message", state)


async def _blames(victim: GossipNode, sender: GossipNode) -> bool:
    held = (await victim.call("scores"))["held"].get(sender.peer_id)
    return bool(held and held["lowest"] < 0 and (held["invalid"] is None or held["invalid"] >= 1))


def forgeries(topic: str) -> list[Rpc]:
    """A message that is right, and then: one signed by another, one changed after its signature, one without a signature."""
    author, other = Signer(Identity.generate().private_key, 1), Signer(Identity.generate().private_key, 1)
    data = [(7).to_bytes(4, "big") + number.to_bytes(4, "big") for number in range(4)]
    right, changed, bare = (author.sign(topic, each) for each in (data[0], data[2], data[3]))
    stolen = other.sign(topic, data[1])

    def again(message: Message, data: bytes, author: bytes | None, signature: bytes | None) -> Message:
        return Message.build(topic, data, author=author, seqno=message.seqno, signature=signature)

    return [
        Rpc(messages=[each])
        for each in (
            right,
            again(stolen, data[1], right.author, stolen.signature),
            again(changed, data[1], right.author, changed.signature),
            again(bare, data[3], right.author, None),
        )
    ]


async def reopened(meeting: Meeting) -> None:
    """After either side that can has reset all streams of gossip, messages go both ways again.

    Who has `gossip_notices_resets` false loses what it says next: here, that it wants another topic.
    """
    one, other = await start_one_each(meeting)
    await know([one, other])
    expected: dict[int, int] = {}
    for breaker in (one, other):
        if breaker.side.abilities.get("gossip_resets") is False:
            continue
        expect((await breaker.call("reset"))["count"] >= 2, "a stream each way")
        await asyncio.sleep(0.3)  # until all have noticed, and opened others
        for node in (one, other):
            if node.side.abilities.get("gossip_notices_resets") is False:
                await node.call("subscribe", topic=f"{TOPIC}, lost")
        await know([one, other])
        for node in (one, other):
            tag = len(expected)
            await node.publish(tag, 10)
            expected[tag] = 10
        await heard([meeting.dialer, meeting.listener], expected)


async def met_twice(meeting: Meeting) -> None:
    """Nodes that dial each other at the same moment have two connections for a while; everything comes all the same."""
    for number in range(MEETINGS):
        topic = f"{TOPIC} {number}"
        (one,), (other,) = [await start(meeting, side, topic=topic) for side in (meeting.dialer, meeting.listener)]
        await asyncio.gather(one.meet(other), other.meet(one))
        await know([one, other], topic)
        for tag, node in enumerate((one, other)):
            await node.publish(tag, 10, topic=topic)
        await heard([meeting.dialer, meeting.listener], {0: 10, 1: 10}, topic=topic)
        await asyncio.sleep(QUIET)  # until one of the connections is gone
        for tag, node in enumerate((one, other)):
            await node.publish(tag, 10, first=10, topic=topic)
        await heard([meeting.dialer, meeting.listener], {0: 20, 1: 20}, topic=topic)


async def exchange(meeting: Meeting) -> None:
    """A node that leaves a topic names others to its mesh, who connect with each other."""
    for number, (near, far) in enumerate(meeting.both_ways()):
        topic = f"{TOPIC} {number}"
        (hub,) = await start(meeting, near, topic=topic, scoring=True, exchange=True)
        nodes = await start(meeting, far, 2, topic=topic, scoring=True)
        for node in nodes:
            await node.meet(hub)
        await eventually(partial(hub.has_in_mesh, nodes, topic), f"{hub} has both in its mesh", timeout=10)
        await asyncio.sleep(QUIET)  # for the records of identify
        await hub.call("unsubscribe", topic=topic)
        one, other = nodes
        await eventually(partial(one.is_connected, other), f"{one} and {other} meet")
        await know(nodes, topic)


# --- meshes ---


@asynccontextmanager
async def a_mesh(meeting: Meeting, sides: Sequence[Side], **fields: Any) -> AsyncIterator[list[GossipNode]]:
    """Some nodes of each side, each of which dials some others; none may have anything against another at the end."""
    counts = [SIZES.get(side.process.kind.name, SMALLER) for side in sides]
    groups = [
        await start(meeting, side, count, topic="", scoring=True, **fields) for side, count in zip(sides, counts, strict=True)
    ]
    nodes = [node for row in itertools.zip_longest(*groups) for node in row if node is not None]
    count = len(nodes)
    await asyncio.gather(
        *(node.meet(*(nodes[(at + step) % count] for step in range(1, LINKS + 1))) for at, node in enumerate(nodes))
    )
    await asyncio.gather(*(node.call("subscribe", topic=SCORED) for node in nodes))  # now: silence in a mesh costs score
    await asyncio.gather(*(_meets_its_neighbours(nodes, at) for at in range(count)))
    yield nodes
    for node in nodes:
        held = {peer: dict(what) for peer, what in (await node.call("scores"))["held"].items() if any(what.values())}
        echoing = [other.peer_id for other in nodes if (node.kind, other.kind) in ECHOES]
        expect(not set(held) - set(echoing), f"{node} to hold nothing against anybody", held)


async def _meets_its_neighbours(nodes: Sequence[GossipNode], at: int) -> None:
    linked = [nodes[(at + step) % len(nodes)] for step in range(-LINKS, LINKS + 1) if step]
    await eventually(partial(nodes[at].has_met, linked, SCORED), f"{nodes[at]} knows those that it is connected with", timeout=15)


async def spread(nodes: Sequence[GossipNode], sides: Sequence[Side], count: int) -> None:
    """Each side publishes so many, from its nodes in turn, some at once."""
    groups = [[node for node in nodes if node.side is side] for side in sides]
    for first in range(0, count, BURST):
        burst = min(BURST, count - first)
        turn = first // BURST
        await asyncio.gather(
            *(group[turn % len(group)].publish(tag, burst, first=first, topic=SCORED) for tag, group in enumerate(groups))
        )
        await heard(sides, dict.fromkeys(range(len(sides)), first + burst), topic=SCORED)


def mesh(*, ids: str = "", seconds: float = 0) -> Callable[[Meeting], Awaitable[None]]:
    """A mesh of both kinds, and a third where one is guest: everything everywhere once, and nobody's score ever below 0.

    For so many `seconds` after that some messages are published each second, and the scores watched.
    """

    async def run(meeting: Meeting) -> None:
        sides = [meeting.dialer, meeting.listener, *meeting.guests]
        with_go = {side.process.kind.name for side in sides} == {"cortexnet", "go"}
        messages = MESSAGES if with_go else FEWER
        async with a_mesh(meeting, sides, ids=ids) as nodes:
            await spread(nodes, sides, messages)
            await trickle(nodes, sides, messages, seconds)

    return run


async def trickle(nodes: Sequence[GossipNode], sides: Sequence[Side], first: int, seconds: float) -> None:
    """Messages from one node after the other, for a while."""
    loop = asyncio.get_running_loop()
    end, expected, turn = loop.time() + seconds, dict.fromkeys(range(len(sides)), first), 0
    while loop.time() < end:
        node = nodes[turn % len(nodes)]
        tag = sides.index(node.side)
        await node.publish(tag, 5, first=expected[tag], topic=SCORED)
        expected[tag] += 5
        turn += 1
        await asyncio.sleep(0.1)
    await heard(sides, expected, topic=SCORED)
