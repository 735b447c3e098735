"""How a session learns that the end of a stream may arrive while its peer still negotiates it."""

import pytest

from cortexnet.mux.yamux import Yamux
from cortexnet.mux.yamux_frames import ACK, DATA, FIN, WINDOW_UPDATE, pack


def opened() -> tuple[Yamux, int]:
    session = Yamux(initiator=True)
    stream_id = session.open_stream()
    session.data_to_send()
    return session, stream_id


def test_nothing_is_known_of_a_peer_that_acknowledged_nothing() -> None:
    assert not opened()[0].takes_early_end


def test_who_acknowledges_a_stream_with_nothing_more_takes_its_end_at_any_time() -> None:
    session, stream_id = opened()
    session.receive(pack(WINDOW_UPDATE | ACK, stream_id, 0), 0.0)
    assert session.takes_early_end


@pytest.mark.parametrize("frame", [pack(WINDOW_UPDATE | ACK, 1, 262_144), pack(DATA | ACK, 1, 1) + b"x", pack(DATA | ACK, 1, 0)])
def test_who_acknowledges_a_stream_with_credit_or_data_may_be_js(frame: bytes) -> None:
    session, stream_id = opened()
    assert stream_id == 1
    session.receive(frame, 0.0)
    assert not session.takes_early_end


def test_what_is_known_is_kept() -> None:
    session, first = opened()
    second = session.open_stream()
    session.receive(pack(WINDOW_UPDATE | ACK, first, 0) + pack(WINDOW_UPDATE | ACK, second, 262_144), 0.0)
    assert session.takes_early_end


def test_the_end_leaves_in_one_record_with_the_last_byte() -> None:
    session, stream_id = opened()
    session.send(stream_id, b"request")
    session.close_write(stream_id)
    assert b"".join(session.data_to_send()) == pack(DATA, stream_id, 7) + b"request" + pack(WINDOW_UPDATE | FIN, stream_id, 0)
    assert not session.has_output


def test_a_code_that_does_not_fit_is_sent_as_the_nearest_that_does() -> None:
    session, stream_id = opened()
    session.reset(stream_id, -1)
    assert b"".join(session.data_to_send()) == pack(WINDOW_UPDATE | 8, stream_id, 0)
