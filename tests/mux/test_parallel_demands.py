"""Many readers who each wait for much at a time, on one connection: they take turns, and nobody's stream is lost."""

import pytest

from cortexnet.mux.muxer import StreamWasReset
from cortexnet.mux.yamux import Yamux
from tests.support.yamux_session import Budget

MIB = 1024 * 1024


@pytest.mark.parametrize("count", [1, 20, 40, 50])
def test_parallel_uploads_of_a_mebibyte_all_arrive_within_the_memory_of_a_connection(count: int) -> None:
    memory = Budget(16 * MIB)
    writer, reader = Yamux(initiator=True), Yamux(initiator=False, memory=memory)
    left = {writer.open_stream(): MIB for _ in range(count)}
    for _ in range(3):  # the streams are open, and every reader waits for a whole message
        reader.receive(b"".join(writer.data_to_send()), 0.0)
        while reader.has_backlog:
            reader.receive(b"", 0.0)
        writer.receive(b"".join(reader.data_to_send()), 0.0)
    for stream_id in left:
        reader.expect(stream_id, MIB)
    arrived = 0
    for _ in range(100 * count):
        for stream_id, size in left.items():
            left[stream_id] -= writer.send(stream_id, bytes(size)) if size else 0
        events = reader.receive(b"".join(writer.data_to_send()), 0.0)
        while reader.has_backlog:
            events += reader.receive(b"", 0.0)
        assert not [event for event in events if isinstance(event, StreamWasReset)]
        for stream_id in left:
            if reader.readable_bytes(stream_id) == MIB:
                assert reader.read_exactly(stream_id, MIB) == bytes(MIB)
                reader.expect(stream_id, 0)
                arrived += 1
        writer.receive(b"".join(reader.data_to_send()), 0.0)
        if arrived == count:
            break
    assert arrived == count
    assert memory.peak <= memory.limit
