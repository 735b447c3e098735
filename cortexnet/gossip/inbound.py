"""The streams that peers talk to us on: one of each connection, read in whole chunks by one task while there is room. A shell.

What has come is taken in by steps of a ms or two. All peers together have a share of each turn of the loop, in time and in what
is looked at, and take it by turns: a single RPC may hold thousands of messages, and nobody else shall wait for them. A stream on
which the next message is for a full queue waits for that, and no other.
"""

import asyncio
from typing import TYPE_CHECKING, Literal, Protocol, final

from cortexnet.errors import RemoteError, StreamCode
from cortexnet.gossip.frames import Frames
from cortexnet.gossip.messages import decode, decoding, portions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cortexnet.gossip.config import GossipConfig
    from cortexnet.gossip.messages import Rpc
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.transport.stream import Stream

_CHUNK = 65_536  # bytes of a read
_WHOLE = 65_536  # bytes of a frame that are missing: from here on they wait in the stream's inbox, where they are counted
_SHARE = 0.005  # seconds of RPCs in one turn of the loop, of all peers together
ELEMENTS = 500
"""Messages and other elements of RPCs in one turn, of all peers together: no step is begun where so many were looked at."""
_SHORT = 1_024  # bytes of an RPC that is read at once: it can't have more elements than a turn may bring
HELD_LIMIT = 4 * 1024 * 1024
"""Bytes read of all streams that wait for full queues, from which on no other is read: as messages they take three times that."""
_LEAST = 1e-9  # so that a turn counts as begun where time stands still
_State = Literal["over", "more", "held"]  # of what was read: all was taken in, not yet, or not before there is room for the next


class Hearer(Protocol):
    """Who is told what peers say."""

    def begun(self, stream: "Stream") -> None:
        """A peer has opened a stream to us, which is not counted yet."""

    def greeted(self, peer: "PeerId") -> None:
        """What is heard next is the first RPC of a stream."""

    def heard(self, peer: "PeerId", rpc: "Rpc", size: int) -> None:
        """An RPC has come, or of one with many messages the next portion. `size` is bytes, 0 for a further portion."""

    def settle(self) -> None:
        """These were all for now."""

    def fell_silent(self, peer: "PeerId") -> None:
        """The peer has no stream to us any more."""

    def may_read(self) -> bool:
        """Whether more can be taken in."""

    def may_hear(self, rpc: "Rpc") -> bool:
        """Whether there is room for this one; if not, `Inbound.resume` is called when there may be."""


@final
class Inbound:
    """The gossip streams of all peers."""

    def __init__(self, hearer: Hearer, config: "GossipConfig") -> None:
        self._hearer = hearer
        self._config = config
        self._streams: dict[PeerId, list[Stream]] = {}
        self._unheard: dict[Stream, None] = {}  # those on which no RPC has come yet
        self._spent = 0.0  # seconds of this turn of the loop
        self._elements = 0  # and what was looked at in it
        self._line: dict[PeerId, dict[Stream, None]] = {}  # who waits for its turn, with which streams, the longest first of both
        self._waiting: dict[Stream, asyncio.Future[None]] = {}  # who waits for room
        self._held = 0  # bytes of what has no room, as they were read

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, peer: "PeerId") -> bool:
        return peer in self._streams

    async def serve(self, stream: "Stream") -> None:
        """The handler of gossip's protocols. A second stream on a connection takes the place of the first, which is reset.

        Not so on another connection: rust says one thing here and the next there. Raises RemoteError for what is no RPC, or too
        large: the frames before it count.
        """
        if not stream.connection.is_open:
            return  # nobody would tell us any more that the peer is gone
        for before in self._of(stream.peer_id):
            if before.connection is stream.connection:
                self._end(before, StreamCode.SUPPLANTED)
        self._hearer.begun(stream)
        self._streams.setdefault(stream.peer_id, []).append(stream)
        self._unheard[stream] = None
        try:
            await self._read(stream)
        except RemoteError as error:
            stream.connection.offended(error)
            raise
        finally:
            self._forget(stream)

    async def _read(self, stream: "Stream") -> None:
        frames = Frames(self._config.rpc_limit)
        data = await stream.read(_CHUNK)
        while data:
            steps = self._steps(stream, frames.take(data))
            state: _State = "more"
            while state != "over":
                if state == "held":
                    state = await self._hold(stream, steps, len(data))
                else:
                    await self._wait_turn(stream)
                    state = self._hear(stream, steps)
            if frames.fault is not None:
                raise frames.fault
            while self._counts(stream) and not self._is_open:
                await self._wait(stream)
            data = await (stream.read_exactly(frames.missing) if frames.missing > _WHOLE else stream.read(_CHUNK))

    async def _wait_turn(self, stream: "Stream") -> None:
        """Until there is room, this turn of the loop has not had enough, and whoever waits for longer was heard.

        A peer with several streams has one place in the line: else who says most, or on most connections, is heard alone.
        """
        line, peer = self._line, stream.peer_id
        if not line and self._is_open and not self._has_enough:
            return
        own = line.setdefault(peer, {})
        own[stream] = None
        try:
            while self._counts(stream):
                if not self._is_open:
                    await self._wait(stream)
                elif self._has_enough or next(iter(line.values())) is not own or next(iter(own)) is not stream:
                    await asyncio.sleep(0)  # to be woken would cost as much as what is waited for
                else:
                    return
        finally:
            del own[stream], line[peer]
            if own:
                line[peer] = own  # behind all others

    async def _hold(self, stream: "Stream", steps: "Iterator[int]", size: int) -> "_State":
        """Until there is room for what comes next on a stream, of which `size` bytes were read; then go on with that.

        It stands in no line, or who waits there for the memory it holds would keep it from giving that back.
        """
        self._held += size
        try:
            state: _State = "held"
            while state == "held":
                await self._wait(stream)
                while self._counts(stream) and ((is_full := not self._hearer.may_read()) or self._has_enough):
                    await (self._wait(stream) if is_full else asyncio.sleep(0))
                state = self._hear(stream, steps)
            return state
        finally:
            self._held -= size
            if self._held <= HELD_LIMIT < self._held + size:
                self.resume()

    def _steps(self, stream: "Stream", frames: "Iterable[bytes]") -> "Iterator[int]":
        """Take in frames, in steps that each give how many elements were looked at: none where what comes next has no room."""
        peer = stream.peer_id
        config, heard, may_hear = self._config, self._hearer.heard, self._hearer.may_hear
        for frame in frames:
            size = len(frame)
            rpc = decode(frame, config) if size <= _SHORT else (yield from decoding(frame, config))
            for portion in portions(rpc):
                while not may_hear(portion):
                    yield 0
                if stream in self._unheard:
                    del self._unheard[stream]
                    self._hearer.greeted(peer)
                heard(peer, portion, size)
                yield 1 + len(portion.messages)
                size = 0

    def _hear(self, stream: "Stream", steps: "Iterator[int]") -> "_State":
        """Go on taking in, for a little while."""
        if not self._counts(stream):
            return "over"
        loop = stream.connection.loop
        began = loop.time()
        until = began + _SHARE - self._spent
        try:
            for elements in steps:
                if not elements:
                    return "held"
                self._elements += elements
                if self._elements >= ELEMENTS or loop.time() > until:
                    return "more"
        finally:
            self._hearer.settle()
            if not self._spent:
                loop.call_soon(self._begin_turn)
            self._spent += max(loop.time() - began, _LEAST)
        return "over"

    @property
    def _is_open(self) -> bool:
        """Whether more may be taken in, or read."""
        return self._held <= HELD_LIMIT and self._hearer.may_read()

    @property
    def _has_enough(self) -> bool:
        """Whether what this turn brought is enough for it."""
        return self._spent >= _SHARE or self._elements >= ELEMENTS

    def _begin_turn(self) -> None:
        self._spent, self._elements = 0.0, 0

    def _counts(self, stream: "Stream") -> bool:
        """Whether it is one of the peer's: another one may have taken its place, or the peer be gone."""
        return stream in self._streams.get(stream.peer_id, ())

    def _of(self, peer: "PeerId") -> "list[Stream]":
        return list(self._streams.get(peer, ()))

    async def _wait(self, stream: "Stream") -> None:
        """Until `resume`, or the stream does not count any more, which has to be looked at before."""
        self._waiting[stream] = stream.connection.loop.create_future()
        try:
            await self._waiting[stream]
        finally:
            del self._waiting[stream]

    def resume(self) -> None:
        """`may_read` or `may_hear` may say something else now."""
        for stream in self._waiting:
            self._wake(stream)

    def _wake(self, stream: "Stream") -> None:
        waiting = self._waiting.get(stream)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def reset(self, peer: "PeerId", code: int = StreamCode.NONE) -> None:
        """End the streams of a peer, if it has any: it may open others."""
        for stream in self._of(peer):
            self._end(stream, code)

    def _end(self, stream: "Stream", code: int) -> None:
        stream.reset(code)
        self._forget(stream)

    def _forget(self, stream: "Stream") -> None:
        if not self._counts(stream):
            return
        streams = self._streams[stream.peer_id]
        streams.remove(stream)
        self._unheard.pop(stream, None)
        self._wake(stream)
        if not streams:
            del self._streams[stream.peer_id]
            self._hearer.fell_silent(stream.peer_id)

    def close(self) -> None:
        """End all streams."""
        for peer in list(self._streams):
            self.reset(peer, StreamCode.SHUTDOWN)
