"""How much of the peer's bytes one call works on."""

import pytest

from cortexnet.mux.muxer import StreamOpened
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.mux.yamux_frames import DATA, SYN, pack
from tests.support.yamux_session import Session, data, opened

CONFIG = YamuxConfig(frames_at_once=100, opening_weight=9)


def test_a_call_works_on_its_share_of_frames_and_the_next_goes_on_from_there() -> None:
    session = Session(config=CONFIG)
    session.receive(opened(1))
    frames = data(1, b"x") * 250
    assert [len(session.core.receive(frames, 0.0)), session.core.readable_bytes(1)] == [1, 100]
    assert [len(session.core.receive(b"", 0.0)), session.core.readable_bytes(1)] == [1, 200]
    assert session.core.has_backlog
    assert [len(session.core.receive(b"", 0.0)), session.core.readable_bytes(1)] == [1, 250]
    assert not session.core.has_backlog


@pytest.mark.parametrize("frame", [opened, lambda stream_id: pack(DATA | SYN, stream_id, 0)])
def test_a_frame_that_opens_a_stream_counts_as_several(frame: object) -> None:
    assert callable(frame)
    session = Session(config=CONFIG)
    frames = b"".join(frame(stream_id) for stream_id in range(1, 51, 2))
    assert session.core.receive(frames, 0.0) == [StreamOpened(stream_id) for stream_id in range(1, 21, 2)]
    assert session.core.has_backlog
    assert session.core.receive(b"", 0.0) == [StreamOpened(stream_id) for stream_id in range(21, 41, 2)]


def test_even_a_share_too_small_for_it_lets_a_stream_open() -> None:
    session = Session(config=YamuxConfig(frames_at_once=1, opening_weight=20))
    assert session.core.receive(opened(1) + opened(3), 0.0) == [StreamOpened(1)]
    assert session.core.receive(b"", 0.0) == [StreamOpened(3)]
    assert not session.core.has_backlog


def test_what_comes_while_frames_wait_gets_no_share_of_its_own() -> None:
    session = Session(config=CONFIG)
    session.receive(opened(1))
    session.core.receive(data(1, b"x") * 150, 0.0)
    assert session.core.receive(data(1, b"y") * 60, 0.0) == []
    assert session.core.readable_bytes(1) == 100
    session.core.receive(b"", 0.0)
    session.core.receive(b"", 0.0)
    assert session.core.read(1, 1_000) == b"x" * 150 + b"y" * 60
