"""Connecting, knowing each other, and letting go."""

import asyncio
from functools import partial

from interop.harness.meeting import ECHO, HOLD, Meeting, Side, eventually, expect, expect_end, expect_failure, meanwhile
from interop.harness.process import Answer, OperationFailed
from interop.harness.stack import BUILT_IN

STRANGER = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"  # nobody's: the key is made up
ALWAYS_SERVED = {ECHO, HOLD, "/perf/1.0.0", "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"}
LATE = "/interop/late-{role}/1.0.0"  # one each: js takes who opens a stream for one who serves its protocol


def without_peer(address: str) -> str:
    """The address without a trailing /p2p part."""
    return address.partition("/p2p/")[0]


async def dial(meeting: Meeting) -> None:
    """The connection is, for both sides, what was asked for; both open streams on it."""
    await meeting.connect()
    able = all(side.abilities["early_muxer"] for side in (meeting.dialer, meeting.listener))
    await _check_connection(meeting, early=able)
    for near, far in meeting.both_ways():
        await meeting.echo(near, far, 100)


async def late_muxer(meeting: Meeting) -> None:
    """The muxer is agreed by multistream-select where one side does not choose it in the handshake."""
    await meeting.connect()
    await _check_connection(meeting, early=False)
    for near, far in meeting.both_ways():
        await meeting.echo(near, far, 1 << 20)


async def _check_connection(meeting: Meeting, *, early: bool) -> None:
    stack = meeting.stack
    for direction, (near, far) in zip(("outbound", "inbound"), meeting.both_ways(), strict=True):
        is_so = await near.call("connection", peer=far.peer_id)
        expect(is_so["peer_id"] == far.peer_id, f"the id {far.peer_id}", is_so["peer_id"])
        expect(is_so["direction"] == direction, f"an {direction} connection", is_so["direction"])
        if not stack.muxer:
            continue
        expect(is_so["security"].startswith(f"/{stack.security}"), stack.security, is_so["security"])
        expect(is_so["muxer"] == stack.muxer, stack.muxer, is_so["muxer"])
        expect(is_so["early_muxer"] in (None, early), f"early muxer choice to be {early}", is_so["early_muxer"])


async def simultaneous(meeting: Meeting) -> None:
    """Both dial each other at the same moment; whatever connections come of it, both sides can use them.

    Both dials may fail, then one side tries again: between stacks that dial from their listen port the two SYNs can meet: TCP
    makes one connection of it, and both are its initiator. (Seen between two go-libp2p nodes, which back off for 5 s.)
    """
    await asyncio.gather(*(_dials(near, far) for near, far in meeting.both_ways()))
    await eventually(partial(_dials, meeting.dialer, meeting.listener), "a dial succeeds", timeout=15)
    for near, far in meeting.both_ways():
        await eventually(partial(near.knows, far), f"{near.process.role} lists the other")
    await asyncio.gather(*(meeting.echo(near, far, 1 << 20) for near, far in meeting.both_ways()))


async def both_connections(meeting: Meeting) -> None:
    """After a simultaneous dial streams go on in both directions, second after second: whoever gives up one of the two
    connections loses none of them. cortexnet does so after 10 s."""
    await simultaneous(meeting)
    loop = asyncio.get_running_loop()
    end = loop.time() + 15
    while loop.time() < end:
        await asyncio.gather(*(meeting.echo(near, far, 10_000) for near, far in meeting.both_ways()))
        await asyncio.sleep(0.2)


async def _dials(near: Side, far: Side) -> bool:
    try:
        await near.call("connect", address=far.addresses[0])
    except OperationFailed as failure:
        expect(failure.kind == "dial_failed", "a dial that fails to fail as such", failure.kind)
        return False
    return True


async def default_limits(meeting: Meeting) -> None:
    """With the limits that an implementation has by itself, ordinary use goes through: bulk, and 32 streams at once."""
    await meeting.connect()
    for near, far in meeting.both_ways():
        await near.call("ping", peer=far.peer_id)
        await meeting.echo(near, far, 16 << 20)
        await near.call("streams", peer=far.peer_id, count=96, at_once=32, size=100)


async def keys(meeting: Meeting) -> None:
    """Each side authenticates the other's key, whatever its type."""
    await meeting.connect()
    for near, far in meeting.both_ways():
        await near.call("ping", peer=far.peer_id)
        await meeting.echo(near, far, 1024)


async def ping(meeting: Meeting, near: Side, far: Side) -> None:
    """Five pings on one stream."""
    answer = await near.call("ping", peer=far.peer_id, count=5)
    expect(len(answer["seconds"]) == 5 and all(0 < each < 5 for each in answer["seconds"]), "five round trips", answer["seconds"])


async def identify(meeting: Meeting, near: Side, far: Side) -> None:
    """What `near` accepted of what `far` says about itself is what is true of `far`."""
    known = await near.call("identify", peer=far.peer_id)
    expect(set(known["protocols"]) >= ALWAYS_SERVED, f"the protocols {sorted(ALWAYS_SERVED)}", known["protocols"])
    listens = {without_peer(address) for address in far.addresses}
    known_addresses = {without_peer(address) for address in known["listen_addresses"]}
    expect(known_addresses == listens, f"the listen addresses {listens}", known_addresses)
    expect(known["agent_version"], "an agent version", known["agent_version"])
    expect(known["key_type"] in (None, "ed25519"), "an ed25519 key", known["key_type"])
    expect(known["signed_record"] in (None, True), "a signed peer record", known["signed_record"])
    observed = known["observed_address"]
    expect(observed is None or without_peer(observed).startswith("/ip4/127.0.0.1/"), "an observed address on loopback", observed)
    if near is meeting.listener and observed is not None and meeting.stack.transport == "tcp":
        expect(without_peer(observed) == without_peer(meeting.address), meeting.address, observed)


async def identify_push(meeting: Meeting) -> None:
    """A protocol that a side begins to serve later is announced by identify push, and works."""
    await meeting.connect()
    for near, far in meeting.both_ways():
        late = LATE.format(role=far.process.role)
        before = await near.call("identify", peer=far.peer_id)
        expect(late not in before["protocols"], "the protocol not to be there yet")
        await far.call("handle", protocol=late)
        await eventually(partial(_knows, near, far, late), f"{near.process.role} learns of the new protocol", timeout=10)
        opened = await near.call("open", peer=far.peer_id, protocol=late)
        await near.call("write", stream=opened["stream"], size=100)
        answer = await near.call("read", stream=opened["stream"], size=100)
        expect(answer["size"] == 100, "the echo of 100 bytes", answer["size"])
        await near.call("close", stream=opened["stream"])


async def _knows(near: Side, far: Side, protocol: str) -> bool:
    return protocol in (await near.call("identify", peer=far.peer_id))["protocols"]


async def wrong_peer_id(meeting: Meeting) -> None:
    """A dial that names somebody else is refused by the dialer and leaves nothing; the right dial works after it."""
    address = f"{without_peer(meeting.address)}/p2p/{STRANGER}"
    await expect_failure(meeting.dialer.call("connect", address=address), "peer_id_mismatch")
    expect((await meeting.dialer.call("peers"))["peers"] == [], "no connection at the dialer")
    if meeting.stack.transport not in meeting.dialer.abilities.get("leaves_open", ()):
        await eventually(partial(_alone, meeting.listener), "no connection at the listener")
    await meeting.connect()
    await meeting.echo(meeting.dialer, meeting.listener, 100)


async def _alone(side: Side) -> bool:
    return not (await side.call("peers"))["peers"]


async def unsupported_protocol(meeting: Meeting, near: Side, far: Side) -> None:
    """A protocol that the other does not serve fails, at the latest at the first read; the connection stays."""
    await expect_failure(_use(near, far, "/interop/nobody-serves-this/1.0.0"), "unsupported_protocol")
    await meeting.echo(near, far, 100)


async def _use(near: Side, far: Side, protocol: str) -> Answer:
    opened = await near.call("open", peer=far.peer_id, protocol=protocol)
    await near.call("write", stream=opened["stream"], size=10)
    return await near.call("read", stream=opened["stream"], size=10)


async def disconnect(meeting: Meeting, near: Side, far: Side) -> None:
    """Closing a connection ends its streams at the other side, and a new one can be made."""
    if not await near.knows(far):
        await meeting.connect()
    _, held = await meeting.link(near, far)
    async with meanwhile(far.call("read", stream=held.stream, size=1)) as reading:
        await near.call("disconnect", peer=far.peer_id)
        await expect_end(reading)
    for side in (near, far):
        await eventually(partial(_alone, side), f"{side.process.role} has no connection left")
    await meeting.connect()
    await meeting.echo(near, far, 100)


async def stopped(meeting: Meeting) -> None:
    """A node that stops says so: the other sees its connection and its streams end."""
    await meeting.connect()
    near, _ = await meeting.link(meeting.dialer, meeting.listener)
    async with meanwhile(near.side.call("read", stream=near.stream, size=1)) as reading:
        await meeting.listener.call("stop")
        await expect_end(reading)
    await eventually(partial(_alone, meeting.dialer), "the dialer has no connection left")
    # A UDP port without anybody is silence to go, and to all on most systems.
    kinds = ["dial_failed", *["timeout"] * (meeting.stack.transport in BUILT_IN)]
    await expect_failure(meeting.dialer.call("connect", address=meeting.address), *kinds)
