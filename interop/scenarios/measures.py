"""The operations that benchmarks use, in small: here only that they work and count right."""

from functools import partial

from interop.harness.meeting import Meeting, Side, eventually, expect

MIB = 1 << 20


async def perf(meeting: Meeting, near: Side, far: Side) -> None:
    """/perf/1.0.0: upload alone, download alone, both."""
    for upload, download in ((8 * MIB, 0), (0, 8 * MIB), (MIB, MIB), (0, 0)):
        answer = await near.call("perf", peer=far.peer_id, upload=upload, download=download)
        expect(answer["received"] == download, f"{download} bytes", answer["received"])


async def messages(meeting: Meeting, near: Side, far: Side) -> None:
    """10,000 messages of 100 bytes one way, every one counted by the other side."""
    answer = await near.call("messages", peer=far.peer_id, count=10_000, size=100)
    expect(answer["acknowledged"] == 10_000, "10,000 messages", answer["acknowledged"])


async def round_trips(meeting: Meeting, near: Side, far: Side) -> None:
    """200 round trips on one stream, then 200 on a new stream each."""
    for operation in ("round_trips", "requests"):
        answer = await near.call(operation, peer=far.peer_id, count=200, size=100)
        expect(answer["count"] == 200 and 0 < answer["p50_us"] <= answer["p99_us"], "200 sorted times", dict(answer))


async def dials(meeting: Meeting) -> None:
    """20 connections one after the other; the listener is left with none."""
    answer = await meeting.dialer.call("dials", address=meeting.address, count=20)
    expect(answer["count"] == 20, "20 connections", answer["count"])
    await _peers(meeting.listener, 0)


async def idle(meeting: Meeting) -> None:
    """20 connections from as many identities at once, then none."""
    options = meeting.stack.start_options() | {"listen": []}
    answer = await meeting.dialer.call("idle", address=meeting.address, count=20, **options)
    expect(answer["count"] == 20, "20 connections", answer["count"])
    await _peers(meeting.listener, 20)
    expect((await meeting.listener.call("memory"))["rss"] != 0, "a memory figure, or null where there is none")
    await meeting.dialer.call("idle", count=0)
    await _peers(meeting.listener, 0)


async def _peers(side: Side, count: int) -> None:
    await eventually(partial(_has_peers, side, count), f"{side.process.role} has {count} peers")


async def _has_peers(side: Side, count: int) -> bool:
    return len((await side.call("peers"))["peers"]) == count
