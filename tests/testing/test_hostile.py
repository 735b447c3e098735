"""The hostile catalogues against our own cores: only typed errors, the same however they are cut, and an end."""

from collections.abc import Callable
from random import Random

import pytest

from cortexnet.errors import RemoteError
from cortexnet.handshake import Handshake
from cortexnet.identity.keys import PrivateKey
from cortexnet.multistream import be_selected, select
from cortexnet.mux.muxer import ConnectionFailed, StreamReadable
from cortexnet.mux.yamux import Yamux
from cortexnet.security.noise import NoiseKeys, initiate, respond
from cortexnet.security.noise_session import NoiseSession
from cortexnet.testing.adversary import mutations
from cortexnet.testing.handshakes import run_over, run_pair
from cortexnet.testing.hostile import (
    hostile_multistream,
    hostile_noise_frames,
    hostile_noise_records,
    hostile_tls_records,
    hostile_yamux,
)
from tests.support.tls import ANNA, CHANNELS, tls_pair

KEYS = NoiseKeys.create(PrivateKey.generate(), ["/yamux/1.0.0"])
OTHER_KEYS = NoiseKeys.create(PrivateKey.generate(), ["/yamux/1.0.0"])
HANDSHAKES: dict[str, tuple[Callable[[], Handshake[object]], dict[str, bytes]]] = {
    "multistream responder": (lambda: be_selected(lambda protocol: protocol == "/ours"), hostile_multistream()),
    "multistream initiator": (lambda: select(["/ours", "/theirs"]), hostile_multistream()),
    "noise responder": (lambda: respond(KEYS), hostile_noise_frames()),
    "noise initiator": (lambda: initiate(KEYS, None), hostile_noise_frames()),
    "tls responder": (lambda: CHANNELS[ANNA].respond(), hostile_tls_records()),
    "tls initiator": (lambda: CHANNELS[ANNA].initiate(None), hostile_tls_records()),
}
CASES = [(who, name) for who, (_, catalogue) in HANDSHAKES.items() for name in catalogue]


def cut(data: bytes, random: Random) -> list[bytes]:
    pieces, position = [], 0
    while position < len(data):
        size = random.choice([1, 2, 11, random.randint(1, 5_000)])
        pieces.append(data[position : position + size])
        position += size
    return pieces


def handshake_outcome(who: str, pieces: list[bytes]) -> tuple[object, ...]:
    make, _ = HANDSHAKES[who]
    outcome = run_over(make(), pieces)
    assert outcome.error is None or isinstance(outcome.error, RemoteError)
    assert outcome.result is None
    return type(outcome.error), str(outcome.error)


@pytest.mark.parametrize(("who", "name"), CASES)
def test_no_hostile_handshake_succeeds_and_any_cut_fails_alike(who: str, name: str) -> None:
    data = HANDSHAKES[who][1][name]
    whole = handshake_outcome(who, [data])
    assert handshake_outcome(who, cut(data, Random(name))) == whole


@pytest.mark.parametrize("who", list(HANDSHAKES))
def test_damaged_hostile_handshakes_raise_typed_errors_only(who: str) -> None:
    random = Random(who)
    for data in HANDSHAKES[who][1].values():
        for mutated in mutations(data[:3_000], random, 5):
            outcome = run_over(HANDSHAKES[who][0](), [mutated])
            assert outcome.error is None or isinstance(outcome.error, RemoteError)


def yamux_outcome(pieces: list[bytes]) -> tuple[list[str], dict[int, bytes]]:
    """Events in order, readability left out, and what can be read."""
    core, events = Yamux(initiator=False), []
    for piece in pieces:
        events += core.receive(piece, 0.0)
        while core.has_backlog:
            events += core.receive(b"", 0.0)
    readable = {
        stream_id: core.read(stream_id, 1 << 20) or b""
        for stream_id in sorted({event.stream_id for event in events if isinstance(event, StreamReadable)})
        if core.knows(stream_id)
    }
    failures = [event.error for event in events if isinstance(event, ConnectionFailed)]
    assert len(failures) <= 1
    return [repr(event) for event in events if not isinstance(event, StreamReadable)], readable


@pytest.mark.parametrize("name", list(hostile_yamux()))
def test_hostile_yamux_ends_in_events_the_same_for_any_cut(name: str) -> None:
    data = hostile_yamux()[name]
    assert yamux_outcome(cut(data, Random(name))) == yamux_outcome([data])


def test_damaged_hostile_yamux_raises_nothing() -> None:
    random = Random(5)
    for data in hostile_yamux().values():
        for mutated in mutations(data[:3_000], random, 5):
            yamux_outcome([mutated])


def new_session() -> NoiseSession:
    _, responder = run_pair(initiate(KEYS, None), respond(OTHER_KEYS))
    assert responder.result is not None
    return responder.result


@pytest.mark.parametrize("name", list(hostile_noise_records()))
def test_no_hostile_record_yields_plaintext(name: str) -> None:
    data, session = hostile_noise_records()[name], new_session()
    plaintexts, taken = session.decrypt(data)
    assert plaintexts == []
    assert session.error is not None or taken == 0
    if session.error is not None:
        assert session.decrypt(data) == ([], len(data))


@pytest.mark.parametrize("name", list(hostile_tls_records()))
def test_no_hostile_record_of_tls_yields_plaintext(name: str) -> None:
    data = hostile_tls_records()[name]
    for session in tls_pair():
        plaintexts, taken = session.decrypt(data)
        assert plaintexts == []
        assert session.error is not None or taken == 0
        if session.error is not None:
            assert session.decrypt(data) == ([], len(data))


@pytest.mark.parametrize("name", [name for name in hostile_noise_frames() if "low order" in name])
def test_ephemeral_keys_of_low_order_are_refused(name: str) -> None:
    outcome = run_over(respond(KEYS), [hostile_noise_frames()[name]])
    assert isinstance(outcome.error, RemoteError)
