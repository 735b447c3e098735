"""What this node says about itself to all of its peers, as numbered snapshots.

Spec: libp2p/specs identify; RFC 0003, "Signed Peer Records".
"""

from collections.abc import Iterable
from typing import final

from cortexnet.admission.limits import CONTROL_PROTOCOLS
from cortexnet.host.identify_message import IdentifyMessage, best_first, record_addresses
from cortexnet.identity.envelope import PeerRecord
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr


@final
class Announcement:
    """The latest snapshot of addresses and protocols. Its `number` rises with each change, so that one knows who has seen it."""

    def __init__(self, private_key: PrivateKey, *, agent_version: str, protocol_version: str) -> None:
        self._private_key = private_key
        self._peer_id = PeerId.from_public_key(private_key.public_key)
        self._agent_version = agent_version
        self._protocol_version = protocol_version
        self._addresses: tuple[Multiaddr, ...] = ()
        self._protocols: tuple[str, ...] = ()
        self._record: bytes | None = None
        self._sequence = 0
        self.number = 0

    def update(self, addresses: Iterable[Multiaddr], protocols: Iterable[str], unix_ns: int) -> bool:
        """Take a new snapshot; whether it differs from the last one.

        Where the addresses do, they are signed anew. The record's sequence is `unix_ns`, the time in nanoseconds, as go-libp2p's;
        where that clock stands still or goes back, one more than the last.
        """
        new_addresses = tuple(best_first(addresses))
        # Peers take no endless lists: what every node needs of another comes first.
        new_protocols = tuple(sorted(dict.fromkeys(protocols), key=lambda protocol: protocol not in CONTROL_PROTOCOLS))
        if self.number and (new_addresses, new_protocols) == (self._addresses, self._protocols):
            return False
        if new_addresses != self._addresses:
            self._addresses = new_addresses
            self._sequence = max(unix_ns, self._sequence + 1)
            self._record = self._signed() if new_addresses else None
        self._protocols = new_protocols
        self.number += 1
        return True

    def _signed(self) -> bytes:
        return PeerRecord(self._peer_id, self._sequence, record_addresses(self._addresses)).seal(self._private_key)

    def parts(self, *, observed: Multiaddr | None, to_loopback: bool) -> list[bytes]:
        """The snapshot as the messages of one exchange, for a peer seen at `observed`.

        Who does not come over loopback is not told our loopback addresses; the signed record, the same for all, has them.
        """
        message = IdentifyMessage(
            public_key=self._private_key.public_key.marshal(),
            addresses=tuple([address for address in self._addresses if to_loopback or not address.is_loopback]),
            protocols=self._protocols,
            observed_address=observed,
            protocol_version=self._protocol_version,
            agent_version=self._agent_version,
            signed_peer_record=self._record,
        )
        return message.fitted().split()
