"""What to make of an identify message: what is believed, and which of several messages counts.

Messages overtake each other: the answer to our question may come after a push that was sent later, and there may be several
connections. So every question and every push gets a number, and a thing is replaced only by what has a higher one.

Spec: libp2p/specs identify, "identify/push"; RFC 0003, "Signed Peer Records".
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar, final

from cortexnet.documented import documented
from cortexnet.errors import MessageTooLarge, ProtocolViolation
from cortexnet.host.identify_message import IdentifyMessage
from cortexnet.identity.envelope import SignedRecord
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

T = TypeVar("T")


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class PeerInfo:
    """What is known of a connected peer. But for `peer_id` and `public_key`, which are proved, all is the peer's own word."""

    peer_id: PeerId
    """Who it is."""
    public_key: PublicKey
    """What verifies its signatures."""
    addresses: tuple[Multiaddr, ...]
    """Where it listens, without /p2p at the end; only such as we may be able to reach."""
    protocols: tuple[str, ...]
    """What it answers to."""
    agent_version: str | None
    """The name of its software, at most 128 characters; escape it before it is shown."""
    protocol_version: str | None
    """What it calls its family of protocols, at most 128 characters; escape it before it is shown."""
    observed_address: Multiaddr | None
    """Where it sees us; None where it said nothing of use."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one message tells that can be believed; None leaves what was known."""

    addresses: tuple[Multiaddr, ...] | None
    record: SignedRecord | None
    """The signed record the addresses are from; None where they are from the message itself."""
    protocols: tuple[str, ...] | None
    agent_version: str | None
    protocol_version: str | None
    observed_address: Multiaddr | None


def believed(
    message: IdentifyMessage,
    *,
    key: PublicKey,
    peer_id: PeerId,
    own_id: PeerId,
    remote: Multiaddr,
    is_relayed: bool,
    is_push: bool,
) -> Told:
    """What is believed of a message that came from `peer_id`, who has `key` and is at `remote`.

    A signed record that is none, or somebody else's, is taken for absent: stacks differ in how they sign. An answer replaces the
    lists also where they are empty; a push that lacks one leaves it, as several stacks push only what has changed.
    Raises ProtocolViolation or MessageTooLarge where the key in the message is not `key`.
    """
    if message.public_key is not None and PublicKey.unmarshal(message.public_key) != key:
        raise ProtocolViolation(f"{peer_id} identifies itself by another key than its own")
    record = _record(message.signed_peer_record, peer_id)
    listed = message.addresses if record is None else record.record.addresses
    addresses = tuple(reachable(without_peer(listed, peer_id), remote))
    is_observed = not is_relayed and message.observed_address is not None
    return Told(
        addresses=None if is_push and not listed else addresses,
        record=record,
        protocols=None if is_push and not message.protocols else message.protocols,
        agent_version=message.agent_version,
        protocol_version=message.protocol_version,
        observed_address=_observed(message.observed_address, own_id) if is_observed else None,
    )


def is_near(remote: Multiaddr) -> bool:
    """Whether a peer there is in a network of ours: in a private one, on this machine, or where there are no IP addresses."""
    return remote.is_private or not (remote.has("ip4") or remote.has("ip6"))


def reachable(addresses: Iterable[Multiaddr], remote: Multiaddr) -> list[Multiaddr]:
    """Those of a peer's addresses that whoever sees it at `remote` may be able to reach.

    A peer that is not near is believed no private address, so that it cannot send us into our own network. The rules are those of
    go-libp2p, but for who is at an address neither public nor private, such as 198.18.0.1: that one go believes everything.
    """
    believed = _believed_of(remote)
    return list(addresses) if believed is None else [address for address in addresses if believed(address)]


@lru_cache(maxsize=128)  # the DHT asks for each of the peers that an answer names; and each connection has a port of its own
def _believed_of(remote: Multiaddr) -> Callable[[Multiaddr], bool] | None:
    """What is believed of addresses that are told from there; None: everything."""
    if remote.is_public:
        return lambda address: address.is_public
    if not is_near(remote):
        return lambda address: not address.is_private
    if remote.is_private and not remote.is_loopback:
        return lambda address: not address.is_loopback
    return None


def without_peer(addresses: Iterable[Multiaddr], peer_id: PeerId) -> list[Multiaddr]:
    """The addresses without the peer's own id at the end; those of somebody else are left out."""
    kept = []
    for address in addresses:
        rest, named = address.split_peer()
        if rest is not None and named in (None, bytes(peer_id)):
            kept.append(rest)
    return kept


def _record(data: bytes | None, peer_id: PeerId) -> SignedRecord | None:
    if data is None:
        return None
    try:
        return _opened(data, peer_id)
    except (ProtocolViolation, MessageTooLarge):
        return None


@lru_cache(maxsize=128)  # a peer sends the same record on each of its connections, and a verification takes 0.1 ms
def _opened(data: bytes, peer_id: PeerId) -> SignedRecord:
    return SignedRecord.open(data, peer_id)


def _observed(address: Multiaddr | None, own_id: PeerId) -> Multiaddr | None:
    """js-libp2p appends our own id; the address of a relay says nothing about us."""
    if address is None or address.is_relayed:
        return None
    return next(iter(without_peer([address], own_id)), None)


@final
class _Latest(Generic[T]):
    """One thing a peer says, as it said it last."""

    __slots__ = ("number", "value")

    def __init__(self, value: T) -> None:
        self.value = value
        self.number = 0

    def offer(self, value: T | None, number: int) -> None:
        if value is not None and number > self.number:
            self.value, self.number = value, number


@final
class SelfDescription:
    """What one peer says about itself over all its connections, the newest of each thing."""

    def __init__(self) -> None:
        self._last_number = 0
        self._addresses = _Latest[tuple[Multiaddr, ...]](())
        self._record: SignedRecord | None = None
        self._protocols = _Latest[tuple[str, ...]](())
        self._agent_version = _Latest[str | None](None)
        self._protocol_version = _Latest[str | None](None)

    def next_number(self) -> int:
        """The number of a question that is asked now, or of a push that begins to come in."""
        self._last_number += 1
        return self._last_number

    def update(self, told: Told, number: int) -> None:
        """Take over what is newer than what is known. Between signed lists of addresses their sequence decides."""
        self._protocols.offer(told.protocols, number)
        self._agent_version.offer(told.agent_version, number)
        self._protocol_version.offer(told.protocol_version, number)
        known, new = self._record, told.record
        if known is None or new is None or known.record.sequence == new.record.sequence:
            is_newer = number > self._addresses.number
        else:
            is_newer = new.record.sequence > known.record.sequence
        if told.addresses is not None and is_newer:
            self._addresses.value = told.addresses
            self._addresses.number = max(number, self._addresses.number)
            self._record = new

    @property
    def record(self) -> SignedRecord | None:
        """The signed record that the addresses are from, if they are."""
        return self._record

    def info(self, peer_id: PeerId, public_key: PublicKey, observed_address: Multiaddr | None) -> PeerInfo:
        """All of it as one; where we are seen differs by connection."""
        return PeerInfo(
            peer_id=peer_id,
            public_key=public_key,
            addresses=self._addresses.value,
            protocols=self._protocols.value,
            agent_version=self._agent_version.value,
            protocol_version=self._protocol_version.value,
            observed_address=observed_address,
        )
