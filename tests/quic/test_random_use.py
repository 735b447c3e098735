"""Two engines used at random over a network that loses, repeats and mixes up: what is read is what was written so far."""

from dataclasses import dataclass, field
from random import Random

import pytest

from cortexnet.admission.memory_budget import NodeMemory
from cortexnet.errors import LimitExceeded, StreamClosed
from cortexnet.mux.muxer import ConnectionFailed, StreamOpened
from cortexnet.quic.engine import QuicConfig, QuicEngine
from tests.support.quic_pair import Conditions, Pair, pair


@dataclass
class Half:
    """What one side wrote to a stream, and read of it."""

    written: bytearray = field(default_factory=bytearray)
    read: bytearray = field(default_factory=bytearray)


class Use:
    """One run; the pair's sides are 0 and 1."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        conditions = Conditions(self.random, jitter=0.02, loss=0.08 * self.random.random(), duplication=0.1)
        self.memory = NodeMemory(1 << 30).open(1 << 20)
        self.both: Pair = pair(conditions, config=QuicConfig(max_streams=8, connection_window=600_000), memory=self.memory)
        self.streams: dict[int, tuple[Half, Half]] = {}
        self._seen = [0, 0]

    def engine(self, side: int) -> QuicEngine:
        return (self.both.client, self.both.server)[side]

    def step(self) -> None:
        side = self.random.randrange(2)
        engine = self.engine(side)
        known = [stream for stream in self.streams if engine.knows(stream)]
        act = self.random.choice([self.open, self.send, self.send, self.send, self.read, self.read, self.read, self.end])
        if act == self.open:
            self.open(side)
        elif known:
            act(side, self.random.choice(known))
        for _ in range(self.random.randrange(4)):
            self.both.flush()
            self.both.step()
        for each, events in enumerate((self.both.client_events, self.both.server_events)):
            for event in events[self._seen[each] :]:
                assert not isinstance(event, ConnectionFailed)
                if isinstance(event, StreamOpened):
                    assert event.stream_id in self.streams
            self._seen[each] = len(events)

    def open(self, side: int, _stream: int = 0) -> None:
        if self.engine(side).can_open():
            self.streams[self.engine(side).open_stream()] = Half(), Half()

    def send(self, side: int, stream: int) -> None:
        data = self.random.randbytes(self.random.choice([1, 10, 1_000, 60_000]))
        try:
            taken = self.engine(side).send(stream, data)
        except StreamClosed:
            return
        self.streams[stream][side].written += data[:taken]

    def read(self, side: int, stream: int) -> None:
        engine = self.engine(side)
        if self.random.random() < 0.1:
            try:
                engine.expect(stream, self.random.choice([0, 300_000, 900_000]))
            except LimitExceeded:
                return
        data = engine.read(stream, self.random.choice([1, 1_000, 65_536]))
        if data:
            self.streams[stream][side].read += data
            sent = self.streams[stream][1 - side].written
            got = self.streams[stream][side].read
            assert sent[: len(got)] == got

    def end(self, side: int, stream: int) -> None:
        self.random.choice([self.engine(side).close_write, self.engine(side).discard_reads, self.engine(side).reset])(stream)

    def finish(self) -> None:
        """End all; nothing may be left, on either side."""
        self._reset_all()
        self.both.conditions.loss = 0.0
        for _ in range(10):  # what was under way may open streams yet, and losses of before are waited for longer and longer
            self.both.flush()
            self.both.run(60)
            self._reset_all()
        assert self.both.client._streams == self.both.server._streams == {}
        assert self.memory.used == 0
        assert self.both.client.can_open()
        assert self.both.server.can_open()

    def _reset_all(self) -> None:
        for side in (0, 1):
            for stream in self.streams:
                if self.engine(side).knows(stream):
                    self.engine(side).reset(stream)


@pytest.mark.parametrize("seed", [*range(25), 593])  # in that one a stream of the server's arrives at the client last of all
def test_whatever_is_done_bytes_stay_in_order_and_nothing_is_left(seed: int) -> None:
    use = Use(seed)
    for _ in range(300):
        use.step()
    use.finish()
