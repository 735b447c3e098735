"""Whole Noise handshakes: golden ones, honest ones of every key type, and all the ways in which they must fail."""

import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import HandshakeFailed, LocalError, MessageTooLarge, PeerIdMismatch, ProtocolViolation, RemoteError
from cortexnet.handshake import Handshake
from cortexnet.identity.keys import KeyType, PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.security import noise
from cortexnet.security.noise import MAX_REMEMBERED, SIGNATURE_PREFIX, NoiseKeys, NoiseSession, initiate, respond
from cortexnet.security.noise_messages import MAX_PAYLOAD, Payload
from cortexnet.security.noise_xx import XX, Engine, LeanXX, NoiseprotocolXX
from cortexnet.testing.handshakes import Outcome, run_over, run_pair

YAMUX = "/yamux/1.0.0"
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "noise.json").read_text())
IDENTITIES = {name: PrivateKey.unmarshal(bytes.fromhex(entry["private"])) for name, entry in VECTORS["identities"].items()}
ANNA, BERT, EVE = (PrivateKey.generate() for _ in range(3))
ENGINES = pytest.mark.parametrize("engine", [LeanXX, NoiseprotocolXX])


def id_of(key: PrivateKey) -> PeerId:
    return PeerId.from_public_key(key.public_key)


def keys_of(key: PrivateKey, *muxers: str, engine: Engine = LeanXX) -> NoiseKeys:
    return NoiseKeys.create(key, muxers, engine=engine)


KEYS = {key: keys_of(key, YAMUX) for key in (ANNA, BERT)}


def x25519(hex_bytes: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(hex_bytes))


def fixed(engine: Callable[..., XX], ephemeral: str) -> Engine:
    """The engine with a fixed ephemeral key, of which noiseprotocol warns with reason."""

    def make(static: X25519PrivateKey, initiator: bool) -> XX:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return engine(static, initiator, ephemeral=x25519(ephemeral))

    return make


def failure(outcome: Outcome[Any]) -> BaseException:
    assert outcome.result is None
    assert outcome.error is not None
    return outcome.error


def session(outcome: Outcome[NoiseSession]) -> NoiseSession:
    assert outcome.error is None
    assert outcome.result is not None
    return outcome.result


# --- golden handshakes


@ENGINES
@pytest.mark.parametrize("golden", VECTORS["handshakes"])
def test_a_golden_handshake_is_repeated_byte_for_byte(engine: Callable[..., XX], golden: dict[str, Any]) -> None:
    def keys(side: str) -> NoiseKeys:
        payload = bytes.fromhex(golden[f"{side}_payload"])
        muxers = [muxer.decode() for muxer in Payload.decode(payload).muxers]
        make = fixed(engine, golden[f"{side}_ephemeral"])
        return NoiseKeys(x25519(golden[f"{side}_static"]), payload, muxers, engine=make)

    frames = [bytes.fromhex(frame.split()[1]) for frame in golden["frames"]]
    responder_id = PeerId.from_bytes(bytes.fromhex(VECTORS["identities"][golden["responder"]]["peer_id"]))
    initiator_id = PeerId.from_bytes(bytes.fromhex(VECTORS["identities"][golden["initiator"]]["peer_id"]))

    dialer = run_over(initiate(keys("initiator"), responder_id), [frames[1] + frames[4]])
    listener = run_over(respond(keys("responder")), [frames[0], frames[2] + frames[3]])
    assert (dialer.sent, listener.sent) == (frames[0] + frames[2], frames[1])
    ours, theirs = session(dialer), session(listener)
    assert (ours.remote_peer, theirs.remote_peer) == (responder_id, initiator_id)
    assert ours.remote_key == IDENTITIES[golden["responder"]].public_key
    assert ours.muxer == theirs.muxer == (golden["muxer"] or None)
    assert (ours.encrypt([b"hello"]), theirs.encrypt([b"world"])) == (frames[3], frames[4])
    assert ours.decrypt(dialer.rest) == ([b"world"], len(frames[4]))
    assert theirs.decrypt(listener.rest) == ([b"hello"], len(frames[3]))


@pytest.mark.parametrize(("side", "number"), [("initiator", 0), ("responder", 0), ("initiator", 1)])
def test_a_node_signs_the_payload_that_go_signs(side: str, number: int) -> None:
    golden = VECTORS["handshakes"][number]
    keys = NoiseKeys.create(IDENTITIES[golden[side]], [YAMUX], static=x25519(golden[f"{side}_static"]))
    assert keys.signed_payload.hex() == golden[f"{side}_payload"]


# --- honest handshakes


@pytest.mark.parametrize("dialer", get_args(KeyType))
@pytest.mark.parametrize("listener", get_args(KeyType))
def test_keys_of_all_types_authenticate_each_other(dialer: KeyType, listener: KeyType) -> None:
    first, second = IDENTITIES[dialer], IDENTITIES[listener]
    one, other = run_pair(initiate(keys_of(first, YAMUX), id_of(second)), respond(keys_of(second, YAMUX)))
    assert (session(one).remote_peer, session(other).remote_peer) == (id_of(second), id_of(first))
    assert session(one).remote_key == second.public_key
    assert session(other).remote_key == first.public_key
    assert session(one).muxer == session(other).muxer == YAMUX


@pytest.mark.parametrize("dialer", [LeanXX, NoiseprotocolXX])
@pytest.mark.parametrize("listener", [LeanXX, NoiseprotocolXX])
def test_the_channel_carries_data_both_ways_whatever_the_engines(dialer: Engine, listener: Engine) -> None:
    outcomes = run_pair(initiate(keys_of(ANNA, engine=dialer), None), respond(keys_of(BERT, engine=listener)))
    one, other = map(session, outcomes)
    for writer, reader in ((one, other), (other, one)):
        for data in (b"x", bytes(70_000)):
            sealed = bytes(writer.encrypt([data]))
            plaintexts, consumed = reader.decrypt(sealed)
            assert (b"".join(plaintexts), consumed) == (data, len(sealed))


@pytest.mark.parametrize(
    ("dialers", "listeners", "agreed"),
    [
        ([YAMUX], [YAMUX], YAMUX),
        (["/a", "/b"], ["/b", "/a"], "/a"),
        (["/b", "/a"], ["/a", "/b"], "/b"),
        (["/a"], ["/b"], None),
        ([], [YAMUX], None),
        ([YAMUX], [], None),
    ],
)
def test_both_sides_agree_on_the_muxer(dialers: list[str], listeners: list[str], agreed: str | None) -> None:
    one, other = run_pair(initiate(keys_of(ANNA, *dialers), None), respond(keys_of(BERT, *listeners)))
    assert session(one).muxer == session(other).muxer == agreed


def test_a_node_that_dials_itself_finds_itself() -> None:
    one, other = run_pair(initiate(KEYS[ANNA], None), respond(KEYS[ANNA]))
    assert session(one).remote_peer == session(other).remote_peer == id_of(ANNA)


def test_muxer_frames_behind_the_last_message_are_left_to_the_session() -> None:
    start, input_bytes = SIDES["responder"]
    outcome = run_over(start(), [input_bytes + b"\x00\x20muxer"])
    assert (session(outcome).remote_peer, outcome.rest) == (id_of(ANNA), b"\x00\x20muxer")


def test_data_in_the_first_message_is_ignored() -> None:
    key = X25519PrivateKey.generate().public_key().public_bytes_raw()
    outcome = run_over(respond(KEYS[BERT]), [frame(key + b"data")])
    assert (outcome.error, len(outcome.sent)) == (None, 2 + 216)


def test_too_many_muxers_are_the_callers_error() -> None:
    NoiseKeys.create(ANNA, ["/a"] * 16)
    with pytest.raises(LocalError):
        NoiseKeys.create(ANNA, ["/a"] * 17)


# --- whose identity it is


def test_another_peer_than_the_expected_one_gets_no_third_message() -> None:
    """js-libp2p 3.3.11 dials a hashed id over Noise and takes whoever answers."""
    for expected in (id_of(EVE), id_of(IDENTITIES["rsa"])):
        one, other = run_pair(initiate(KEYS[ANNA], expected), respond(KEYS[BERT]))
        error = failure(one)
        assert isinstance(error, PeerIdMismatch)
        assert (error.expected, error.actual) == (expected, id_of(BERT))
        assert len(one.sent) == 2 + 32
        assert (other.result, other.error) == (None, None)


def forged(payload: Payload) -> NoiseKeys:
    return NoiseKeys(X25519PrivateKey.generate(), payload.encode())


ANNAS = Payload.decode(KEYS[ANNA].signed_payload)
FORGERIES = {
    "a replayed payload": ANNAS,
    "no signature": Payload(ANNAS.identity_key),
    "no key": Payload(b"", ANNAS.identity_signature),
    "no payload": Payload(),
    "signed by another": Payload(ANNAS.identity_key, EVE.sign(SIGNATURE_PREFIX + bytes(32))),
    "a key of an unknown type": Payload(b"\x08\x09\x12\x01k", b"s"),
    "a key cut short": Payload(ANNAS.identity_key[:-1], ANNAS.identity_signature),
    "an RSA key of a few bits": Payload(b"\x08\x00\x12\x04\x30\x02\x02\x00", b"s"),
}


@pytest.mark.parametrize("payload", FORGERIES.values(), ids=FORGERIES)
def test_a_false_identity_is_found_by_both_sides(payload: Payload) -> None:
    dialer, listener = keys_of(BERT), keys_of(BERT)
    run_pair(initiate(dialer, None), respond(KEYS[ANNA]))  # that Anna is known helps nobody else
    for expected in (None, id_of(ANNA)):
        outcome, _ = run_pair(initiate(dialer, expected), respond(forged(payload)))
        assert type(failure(outcome)) is HandshakeFailed
    _, outcome = run_pair(initiate(forged(payload), None), respond(listener))
    assert type(failure(outcome)) is HandshakeFailed


@pytest.mark.parametrize("prefix", [b"", b"noise-libp2p-static-key", b"libp2p-tls-handshake:"])
def test_a_signature_in_another_domain_is_worth_nothing(prefix: bytes) -> None:
    static = X25519PrivateKey.generate()
    signature = ANNA.sign(prefix + static.public_key().public_bytes_raw())
    keys = NoiseKeys(static, Payload(ANNA.public_key.marshal(), signature).encode())
    assert type(failure(run_pair(initiate(keys_of(BERT), None), respond(keys))[0])) is HandshakeFailed


# --- what is remembered


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The signature of every verification that really happens."""
    seen: list[bytes] = []
    real = noise._verify

    def counted(identity_key: bytes, remote_static: bytes, signature: bytes) -> tuple[PeerId, Any]:
        seen.append(signature)
        return real(identity_key, remote_static, signature)

    monkeypatch.setattr(noise, "_verify", counted)
    return seen


def test_the_signature_of_a_peer_that_comes_again_is_not_verified_again(verifications: list[bytes]) -> None:
    dialer, listener = keys_of(ANNA), keys_of(BERT)
    for _ in range(3):
        one, other = run_pair(initiate(dialer, id_of(BERT)), respond(listener))
        assert (session(one).remote_peer, session(other).remote_peer) == (id_of(BERT), id_of(ANNA))
    assert len(verifications) == 2


def test_a_remembered_peer_is_still_compared_with_the_expected_one(verifications: list[bytes]) -> None:
    dialer, listener = keys_of(ANNA), keys_of(BERT)
    run_pair(initiate(dialer, None), respond(listener))
    assert isinstance(failure(run_pair(initiate(dialer, id_of(EVE)), respond(listener))[0]), PeerIdMismatch)


def test_a_new_static_key_of_a_known_peer_is_verified(verifications: list[bytes]) -> None:
    dialer = keys_of(ANNA)
    for count in (1, 2):
        one, _ = run_pair(initiate(dialer, id_of(BERT)), respond(keys_of(BERT)))
        assert session(one).remote_peer == id_of(BERT)
        assert len(verifications) == 2 * count  # Anna's is new to each of Bert's restarted nodes


def test_failures_are_not_remembered(verifications: list[bytes]) -> None:
    dialer, listener = keys_of(BERT), forged(ANNAS)
    for count in (1, 2):
        assert type(failure(run_pair(initiate(dialer, None), respond(listener))[0])) is HandshakeFailed
        assert len(verifications) == count


def test_the_memory_is_bounded_and_forgets_whom_it_has_not_seen_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def accepting(identity_key: bytes, remote_static: bytes, signature: bytes) -> tuple[PeerId, Any]:
        seen.append(signature)
        return id_of(ANNA), ANNA.public_key

    monkeypatch.setattr(noise, "_verify", accepting)
    keys = keys_of(ANNA)

    def met(name: object) -> bool:
        """Whether this one was remembered."""
        before = len(seen)
        keys.verify(Payload(b"", str(name).encode()), b"")
        return len(seen) == before

    assert not any(met(number) for number in range(MAX_REMEMBERED))
    assert met(0)
    assert not met("one more")
    assert met(0)
    assert not met(1)
    assert all(met(number) for number in range(3, MAX_REMEMBERED))
    assert not met(2)


# --- hostile bytes


class Transcript:
    """One honest handshake with fixed ephemeral keys, so that each side can be run again over its bytes."""

    def __init__(self) -> None:
        self._keys = {
            side: NoiseKeys(keys.static, keys.signed_payload, [YAMUX], engine=fixed(LeanXX, ephemeral * 32))
            for side, keys, ephemeral in (("dialer", KEYS[ANNA], "11"), ("listener", KEYS[BERT], "22"))
        }
        one, other = run_pair(initiate(self.dialer(), None), respond(self.listener()))
        self.messages = one.sent[:34], other.sent, one.sent[34:]

    def dialer(self) -> NoiseKeys:
        return self._keys["dialer"]

    def listener(self) -> NoiseKeys:
        return self._keys["listener"]


TRANSCRIPT = Transcript()
SIDES: dict[str, tuple[Callable[[], Handshake[NoiseSession]], bytes]] = {
    "initiator": (lambda: initiate(TRANSCRIPT.dialer(), id_of(BERT)), TRANSCRIPT.messages[1]),
    "responder": (lambda: respond(TRANSCRIPT.listener()), TRANSCRIPT.messages[0] + TRANSCRIPT.messages[2]),
}
BOTH = pytest.mark.parametrize(("start", "input_bytes"), SIDES.values(), ids=SIDES)


def frame(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


@BOTH
def test_a_transcript_can_be_replayed_to_a_side_with_the_same_ephemeral_key(
    start: Callable[[], Handshake[NoiseSession]], input_bytes: bytes
) -> None:
    assert session(run_over(start(), [input_bytes])).muxer == YAMUX


@BOTH
def test_a_transcript_that_stops_early_leaves_the_side_waiting(
    start: Callable[[], Handshake[NoiseSession]], input_bytes: bytes
) -> None:
    for size in range(0, len(input_bytes), 7):
        outcome = run_over(start(), [input_bytes[:size]])
        assert (outcome.result, outcome.error) == (None, None)


@BOTH
def test_any_flipped_bit_costs_the_handshake(start: Callable[[], Handshake[NoiseSession]], input_bytes: bytes) -> None:
    for position in range(0, len(input_bytes), 5):
        damaged = bytearray(input_bytes)
        damaged[position] ^= 1 << position % 8
        outcome = run_over(start(), [bytes(damaged)])
        assert outcome.result is None
        # A length that grew makes it wait for more; all else is seen at once.
        assert outcome.error is None or isinstance(outcome.error, HandshakeFailed | MessageTooLarge)


@BOTH
def test_a_repeated_message_is_no_handshake(start: Callable[[], Handshake[NoiseSession]], input_bytes: bytes) -> None:
    first = TRANSCRIPT.messages[0]
    assert type(failure(run_over(start(), [first, first, first]))) is HandshakeFailed


def test_a_repeated_second_message_ends_the_session_that_reads_it() -> None:
    start, message = SIDES["initiator"]
    outcome = run_over(start(), [message, message])
    established = session(outcome)
    assert established.decrypt(outcome.rest) == ([], len(message))
    assert isinstance(established.error, ProtocolViolation)


def test_a_replayed_handshake_fails_against_a_fresh_ephemeral_key() -> None:
    first, second, third = TRANSCRIPT.messages
    assert type(failure(run_over(initiate(KEYS[ANNA], None), [second]))) is HandshakeFailed
    assert type(failure(run_over(respond(KEYS[BERT]), [first, third]))) is HandshakeFailed


OVERHEADS = {"initiator": (96, b""), "responder": (32, b""), "responder, last": (64, TRANSCRIPT.messages[0])}


@pytest.mark.parametrize(("side", "overhead", "before"), [(side, *entry) for side, entry in OVERHEADS.items()])
def test_sizes_that_can_not_be_are_refused_before_the_body_has_come(side: str, overhead: int, before: bytes) -> None:
    start, _ = SIDES[side.partition(",")[0]]

    def announced(size: int) -> Outcome[NoiseSession]:
        return run_over(start(), [before + size.to_bytes(2, "big")])

    assert type(failure(announced(0))) is HandshakeFailed
    assert type(failure(announced(overhead - 1))) is HandshakeFailed
    assert announced(overhead).error is None
    assert announced(overhead + MAX_PAYLOAD).error is None
    error = failure(announced(overhead + MAX_PAYLOAD + 1))
    assert isinstance(error, MessageTooLarge)
    assert (error.size, error.limit) == (overhead + MAX_PAYLOAD + 1, overhead + MAX_PAYLOAD)


def test_a_key_that_leads_to_no_secret_costs_the_handshake_only() -> None:
    """Found here: an ephemeral key of zeros made the responder raise ValueError while it wrote its answer."""
    for engine in (LeanXX, NoiseprotocolXX):
        assert type(failure(run_over(respond(keys_of(ANNA, engine=engine)), [frame(bytes(32))]))) is HandshakeFailed


@pytest.mark.parametrize(
    "payload", [b"\x0b", b"\x0a\x7f", Payload(ANNAS.identity_key, b"s", [b"/a"] * 17).encode(), Payload(bytes(3000)).encode()]
)
def test_an_unreadable_payload_costs_the_handshake(payload: bytes) -> None:
    keys = NoiseKeys(X25519PrivateKey.generate(), payload)
    one, _ = run_pair(initiate(keys_of(BERT), None), respond(keys))
    _, other = run_pair(initiate(keys, None), respond(keys_of(BERT)))
    assert type(failure(one)) is type(failure(other)) is HandshakeFailed


starts = st.sampled_from(list(SIDES.values()))


@given(starts, st.data())
def test_cutting_the_bytes_elsewhere_changes_nothing(
    side: tuple[Callable[[], Handshake[NoiseSession]], bytes], data: st.DataObject
) -> None:
    start, input_bytes = side
    damaged = bytearray(input_bytes + b"rest")
    if data.draw(st.booleans()):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1
    pieces, rest = [], bytes(damaged)
    for cut in data.draw(st.lists(st.integers(0, 40), max_size=20)):
        pieces.append(rest[:cut])
        rest = rest[cut:]
    whole, cut_up = run_over(start(), [bytes(damaged)]), run_over(start(), [*pieces, rest])
    assert (whole.sent, repr(whole.error), whole.rest) == (cut_up.sent, repr(cut_up.error), cut_up.rest)
    assert (whole.result is None) == (cut_up.result is None)


@given(starts, st.integers(0, 250), st.one_of(st.binary(max_size=300), st.binary(min_size=32, max_size=300).map(frame)))
def test_any_bytes_end_in_a_remote_error_or_a_wait(
    side: tuple[Callable[[], Handshake[NoiseSession]], bytes], honest: int, garbage: bytes
) -> None:
    start, input_bytes = side
    data = input_bytes[: min(honest, len(input_bytes) - 1)] + garbage
    outcome = run_over(start(), [data])
    assert outcome.error is None or isinstance(outcome.error, RemoteError)
    assert outcome.result is None or data.startswith(input_bytes)


@given(st.binary(max_size=20).map(partial(Payload, ANNAS.identity_key)))
def test_no_signature_but_the_right_one_authenticates(payload: Payload) -> None:
    assert type(failure(run_pair(initiate(KEYS[BERT], None), respond(forged(payload)))[0])) is HandshakeFailed
