"""The bytes of frames: as the specification and other stacks write them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import MessageTooLarge, ProtocolViolation
from cortexnet.mux.mplex import Mplex
from cortexnet.mux.mplex_frames import CLOSE, MESSAGE, RESET, frame, key_of, opening, read_header
from cortexnet.mux.muxer import StreamOpened, StreamReadable, StreamWasReset
from tests.support.mplex_session import drain, mine, theirs

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "mplex.json").read_text())["frames"]
LIMIT = 1 << 20


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["meaning"])
def test_frames_are_what_others_send(golden: dict[str, Any]) -> None:
    wire, body, flag = bytes.fromhex(golden["hex"]), bytes.fromhex(golden["body"]), golden["flag"]
    opener = flag % 2 == 0
    if flag == 0:
        assert opening(golden["number"]) == wire
    else:
        assert frame(golden["number"], flag if opener else flag + 1, ours=opener, body=body) == wire
    assert read_header(wire, 0, LIMIT) == (golden["number"] << 3 | flag, len(body), len(wire) - len(body))


@given(st.integers(0, (1 << 60) - 1), st.sampled_from([MESSAGE, CLOSE, RESET]), st.booleans(), st.binary(max_size=300))
def test_a_header_is_read_as_it_was_written(number: int, kind: int, ours: bool, body: bytes) -> None:
    wire = b"??" + frame(number, kind, ours=ours, body=body)
    assert read_header(wire, 2, LIMIT) == (number << 3 | kind - (not ours), len(body), len(wire) - len(body))
    for cut in range(2, len(wire) - len(body)):
        assert read_header(wire[:cut], 2, LIMIT) is None


def test_a_length_is_refused_before_its_body() -> None:
    assert read_header(bytes.fromhex("02808040"), 0, LIMIT) == (2, LIMIT, 4)
    with pytest.raises(MessageTooLarge):
        read_header(bytes.fromhex("02818040"), 0, LIMIT)


@pytest.mark.parametrize("wire", ["0700", "0f00", "820000", "028000", "8080808080808080808001", "02ffffffffffffffffffff"])
def test_what_is_no_header_is_refused(wire: str) -> None:
    with pytest.raises(ProtocolViolation):
        read_header(bytes.fromhex(wire), 0, LIMIT)


def test_both_sides_number_from_0_and_streams_do_not_mix() -> None:
    """The worked exchange: both open a stream 0 at the same time."""
    dialer, acceptor = Mplex(initiator=True), Mplex(initiator=False)
    assert dialer.open_stream() == acceptor.open_stream() == mine(0)
    proposal = bytes.fromhex("132f6d756c746973747265616d2f312e302e300a")
    assert dialer.send(mine(0), proposal) == 20
    assert acceptor.send(mine(0), proposal) == 20
    sent = drain(dialer), drain(acceptor)
    assert sent == (bytes.fromhex("0001300214") + proposal,) * 2
    assert acceptor.receive(sent[0], 0.0) == dialer.receive(sent[1], 0.0) == [StreamOpened(theirs(0)), StreamReadable(theirs(0))]
    acceptor.send(theirs(0), proposal)
    answer = drain(acceptor)
    assert answer == bytes.fromhex("0114") + proposal
    assert dialer.receive(answer, 0.0) == [StreamReadable(mine(0))]
    assert dialer.read(mine(0), 100) == proposal
    dialer.close_write(mine(0))
    dialer.close_write(theirs(0))
    assert drain(dialer) == bytes.fromhex("04000300")
    acceptor.reset(mine(0))
    assert drain(acceptor) == bytes.fromhex("0600")
    assert dialer.receive(bytes.fromhex("0600"), 0.0) == [StreamWasReset(theirs(0), 0, by_peer=True)]
    assert key_of(0, ours=True) != key_of(0, ours=False)
