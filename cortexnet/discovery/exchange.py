"""Peer exchange: a peer is asked whom it is connected to, and names some, each with the record it signed itself; a core.

    /cortex/px/1.0.0, one stream for each question; both messages with a varint of their length in front:
    Question { uint32 want = 1 }
    Answer   { repeated Peer peers = 1 }
    Peer     { bytes id = 1; bytes record = 2 }    the signed envelope of a libp2p peer record, as identify carries it

A record can't be edited, so it is told whole, and only where the asker can reach one of its addresses; what the asker believes of
them is its own decision. An answer goes to who asked and paid for the connection, and is bounded by `want` and by `PEER_LIMIT`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, final

from cortexnet.admission.rate_limit import KeyedRateLimit, TokenBucket
from cortexnet.errors import ProtocolViolation
from cortexnet.identity.envelope import SignedRecord
from cortexnet.identity.peer_id import PeerId
from cortexnet.protobuf import BYTES, VARINT, Field, Schema, field_bytes, field_varint

if TYPE_CHECKING:
    from random import Random

    from cortexnet.discovery.config import DiscoveryConfig

PROTOCOL: Final = "/cortex/px/1.0.0"
QUESTION_LIMIT: Final = 64
"""Bytes of a question."""
RECORD_LIMIT: Final = 2_048
"""Bytes of a signed record that is told: some 60 addresses. Larger ones are left out."""
PEER_LIMIT: Final = RECORD_LIMIT + 64
"""Bytes of one peer in an answer."""
ANSWERS_AT_ONCE: Final = 4
"""To one peer, and as often in each `discovery.exchange_interval`."""
ANSWERS_A_SECOND: Final = 20.0
"""To all peers together, as identities cost nothing; each takes some 50 µs."""

_ID_LIMIT: Final = 64
_QUESTION = Schema("question of a peer exchange", Field(1, VARINT))
_PEER = Schema("peer of a peer exchange", Field(1, BYTES, size_limit=_ID_LIMIT), Field(2, BYTES, size_limit=RECORD_LIMIT))


def encode_question(want: int) -> bytes:
    """How many peers are wanted."""
    return field_varint(1, want)


def decode_question(data: bytes) -> int:
    """How many peers are wanted, none where it says nothing. Raises ProtocolViolation."""
    want = 0
    for _, value, _ in _QUESTION.read(data):
        want = value
    return want


def encode_answer(peers: Iterable[tuple[PeerId, bytes]]) -> bytes:
    """Peers with their signed records."""
    return b"".join([field_bytes(1, field_bytes(1, bytes(peer)) + field_bytes(2, record)) for peer, record in peers])


def decode_answer(data: bytes, *, want: int, is_known: Callable[[PeerId], bool]) -> list[SignedRecord]:
    """The records in an answer, verified; those of peers `is_known` is true of, and of a peer that comes again, are left out.

    Raises ProtocolViolation, MessageTooLarge: for more than `want` peers, and where any record is not signed by its peer, as who
    tells it must have checked. None of the others counts then.
    """
    schema = Schema("answer of a peer exchange", Field(1, BYTES, size_limit=PEER_LIMIT, count_limit=want))
    found: dict[PeerId, SignedRecord] = {}
    for _, _, content in schema.read(data):
        raw_id = record = b""
        for number, _, value in _PEER.read(content):
            if number == 1:
                raw_id = value
            else:
                record = value
        peer = PeerId.from_bytes(raw_id)
        if not is_known(peer) and peer not in found:
            found[peer] = SignedRecord.open(record, peer)
    return list(found.values())


def answer_limit(want: int) -> int:
    """Bytes of an answer of so many peers."""
    return want * (PEER_LIMIT + 4)


@final
class ExchangeRates:
    """Who may ask us again, and whom we may ask again."""

    def __init__(self, config: "DiscoveryConfig", *, table_size: int, random: "Random", now: float) -> None:
        self._random = random
        self._interval = config.exchange_interval
        self._answers: KeyedRateLimit[PeerId] = KeyedRateLimit(
            ANSWERS_AT_ONCE / config.exchange_interval, ANSWERS_AT_ONCE, size_limit=table_size
        )
        self._all_answers = TokenBucket(ANSWERS_A_SECOND, ANSWERS_A_SECOND, now)
        self._asked: dict[PeerId, float] = {}  # those connected that were, and when

    def may_answer(self, peer: PeerId, now: float) -> bool:
        """Count a question of a peer; False where it comes too soon."""
        return self._answers.take(peer, now) and self._all_answers.take(now)

    def choose(self, able: Sequence[PeerId], now: float, count: int) -> list[PeerId]:
        """Up to `count` of the connected peers that could be asked, by chance of those whose turn it is. They are asked now."""
        self._asked = {peer: self._asked[peer] for peer in able if peer in self._asked}
        due = [peer for peer in able if self._due(peer) <= now]
        chosen = due if len(due) <= count else self._random.sample(due, count)
        self._asked.update(dict.fromkeys(chosen, now))
        return chosen

    def next_timeout(self, able: Iterable[PeerId]) -> float | None:
        """When the first of them may be asked."""
        return min((self._due(peer) for peer in able), default=None)

    def _due(self, peer: PeerId) -> float:
        asked = self._asked.get(peer)
        return float("-inf") if asked is None else asked + self._interval


def check_want(want: int, limit: int) -> int:
    """How many to name to who wants so many. Raises ProtocolViolation where it wants none."""
    if want < 1:
        raise ProtocolViolation("a peer exchange was asked for nobody")
    return min(want, limit)
