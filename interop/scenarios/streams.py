"""Bytes on streams: echo, ends, resets, windows."""

import asyncio
from collections.abc import Awaitable, Callable

from interop.harness.meeting import End, Meeting, Side, eventually, expect, expect_end, expect_failure, meanwhile
from interop.harness.process import Answer, OperationFailed
from interop.harness.stack import BUILT_IN, Stack

MIB = 1 << 20
WINDOW = 256 << 10  # every muxer's first window here
UNREAD = 4 << 20  # what is kept for a reader where there are no windows
CODE = 0x2A
MPLEX = "/mplex/6.7.0"  # its resets have no code


def echo(size: int) -> Callable[[Meeting], Awaitable[None]]:
    """An echo of `size` bytes with checksums, begun by each side."""

    async def run(meeting: Meeting) -> None:
        await meeting.connect()
        for near, far in meeting.both_ways():
            await meeting.echo(near, far, size)

    return run


async def half_close(meeting: Meeting, near: Side, far: Side) -> None:
    """After the end of one direction the other still carries data, whichever side ended first."""
    opened, accepted = await meeting.link(near, far)
    await _half_close(opened, accepted)
    opened, accepted = await meeting.link(near, far)
    await _half_close(accepted, opened)


async def _half_close(first: End, second: End) -> None:
    await first.write(1000)
    await first.close_write()
    await second.read(1000, ends=True)
    size = 3 * WINDOW  # more than a window: credit must still come from the side that has closed
    async with meanwhile(second.write(size)) as writing:
        await first.read(size)
        await writing
    await second.close_write()
    await first.read(0, ends=True)


async def reset(meeting: Meeting, near: Side, far: Side) -> None:
    """A reset fails the other side's read, with its code, and its later writes; the connection stays.

    Where it looks like an end to who reads, as abilities say, the writes still show that it was none.
    """
    for resets_opener in (True, False):
        opened, accepted = await meeting.link(near, far)
        first, second = (opened, accepted) if resets_opener else (accepted, opened)
        does, sees = first.side.abilities, second.side.abilities
        async with meanwhile(second.side.call("read", stream=second.stream, size=1)) as reading:
            await first.reset(CODE)
            if sees.get("resets_are_ends") or meeting.stack.transport in does.get("no_resets", ()):
                await expect_end(reading)
            else:
                failure = await expect_failure(reading, "reset")
                if meeting.stack.muxer != MPLEX and does.get("reset_codes") and sees.get("reset_codes"):
                    expect(failure.code == CODE, f"the code {CODE:#x}", failure.code)
        await expect_failure(second.write(WINDOW), "reset")
        await expect_failure(first.write(1), "reset", "closed")
    await meeting.echo(near, far, 100)


async def reset_blocked_writer(meeting: Meeting, near: Side, far: Side) -> None:
    """A reset wakes a writer that waits for a window which will not come."""
    writer, reader = await meeting.link(near, far)
    async with meanwhile(writer.write(64 * WINDOW)) as writing:
        await _stalled(writer)
        await reader.reset(CODE)
        await expect_failure(writing, "reset")
    await meeting.echo(near, far, 100)


async def thousand_streams(meeting: Meeting, near: Side, far: Side) -> None:
    """1,000 streams over one connection, 256 of them open at once, each answered before any of its round closes."""
    answer = await near.call("streams", peer=far.peer_id, count=1000, at_once=256, size=100)
    expect(answer["count"] == 1000, "1,000 streams", answer["count"])


async def both_bulk(meeting: Meeting) -> None:
    """Both sides send as fast as they can, each on streams of its own, and echo what the other sends."""
    await meeting.connect()
    await asyncio.gather(
        *(meeting.echo(near, far, 16 * MIB) for near, far in meeting.both_ways()),
        *(near.call("perf", peer=far.peer_id, upload=32 * MIB, download=0) for near, far in meeting.both_ways()),
    )


async def slow_reader(meeting: Meeting, near: Side, far: Side) -> None:
    """A reader that does not read stops its writer, and nothing else; when it reads, every byte comes."""
    total = 8 * MIB
    writer, reader = await meeting.link(near, far)
    async with meanwhile(writer.write(total)) as writing:
        accepted = await _stalled(writer)
        expect(accepted < 2 * MIB, "the writer to be stopped by the window", accepted)
        for one, other in meeting.both_ways():
            await meeting.echo(one, other, MIB)
        for _ in range(total // (WINDOW // 4)):
            await reader.read(WINDOW // 4, block=4096)
        await writing
    await writer.close_write()
    await reader.read(0, ends=True)


async def unread(meeting: Meeting, near: Side, far: Side) -> None:
    """Without windows, a reader that does not read keeps some MiB, then loses its stream, and nothing else."""
    writer, reader = await meeting.link(near, far)
    await expect_failure(_write_on(writer), "reset")
    written = await writer.written()
    expect(written >= UNREAD, f"at least {UNREAD} bytes to be kept for a reader", written)
    await expect_failure(reader.write(WINDOW), "reset", "closed", "failed")
    for one, other in meeting.both_ways():
        await meeting.echo(one, other, MIB)


async def _write_on(writer: End) -> Answer:
    """A MiB at a time, as some implementations take any write at once, and only then look at what the other side says."""
    for _ in range(63):
        await writer.write(MIB)
    return await writer.write(MIB)


async def _stalled(writer: End) -> int:
    """How much had been accepted when it had not changed for ten looks."""
    seen = [-1]

    async def unchanged() -> bool:
        seen.append(await writer.written())
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    await eventually(unchanged, "the writer comes to a stop", timeout=10)
    return seen[-1]


async def large_message(meeting: Meeting, near: Side, far: Side) -> None:
    """One message of 1 MiB and one of 4 MiB, both larger than the first window, in each direction of a stream."""
    opened, accepted = await meeting.link(near, far)
    for size in (MIB, 4 * MIB):
        for sender, receiver in ((opened, accepted), (accepted, opened)):
            async with meanwhile(sender.write_message(size)) as writing:
                await receiver.read_message(size)
                await writing


async def finished_streams(meeting: Meeting, near: Side, far: Side) -> None:
    """A stream closed with data still unread costs nothing but itself: many in a row leave the connection well."""
    for _ in range(20):
        opened, accepted = await meeting.link(near, far)
        await accepted.write(1000)
        await opened.close()
        await _close_behind(accepted, meeting.stack)
    await meeting.echo(near, far, MIB)


async def _close_behind(end: End, stack: Stack) -> None:
    """On QUIC who closes with data unread says so, and go's close at the other end then fails of there being no stream."""
    try:
        await end.close()
    except OperationFailed:
        if stack.transport not in BUILT_IN:
            raise


async def questions(meeting: Meeting, near: Side, far: Side) -> None:
    """Questions and answers in JSON, a stream for each, small and far larger than a window; several at once."""
    asked = ["what", "x" * 700_000, {"n": 1}, *range(8)]
    answers = await asyncio.gather(*(near.call("ask", peer=far.peer_id, question=each) for each in asked))
    expect([each["answer"] for each in answers] == [{"answer to": each} for each in asked], "each question to be in its answer")
