"""What a node keeps for others: how much, and how long."""

from dataclasses import asdict, dataclass
from typing import final

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid

HOUR = 3600.0
MIB = 1024 * 1024


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Limits of `ValueStore` and `ProviderStore`. Times are seconds. Raises ConfigInvalid for a setting that is none.

    What this node stores itself is outside of the limits. When a store is full, room is made where most is: of the network that
    holds most of it, the peer that holds most loses what it has sent first. So spam pushes out itself.
    """

    values: int = 10_000
    """Values kept for others: a node of the public network, of ten thousand servers, holds some thousand."""
    values_size: int = 64 * MIB
    """Bytes of them, keys included: 6,000 IPNS records of the largest size."""
    value_size: int = 64 * 1024
    """Bytes of one value. IPNS has 10 KiB at most; a value is stored on 20 nodes, and no place for files."""
    value_ttl: float = 48 * HOUR
    """From the last time a value was stored to its end; go-libp2p's."""
    names_per_namespace: int = 2_000
    """Values of one namespace of `/cx/…` that peers may bring: its keys lie together, so that one could fill a node."""
    providers: int = 50_000
    """Provider records kept for others."""
    providers_memory: int = 16 * MIB
    """Bytes of memory that they may take, as it is estimated. A node that is flooded with a million shall not grow by more than
    32 MiB, and the process grows by 1.7 times what its objects take: room in between them is never given back."""
    providers_per_key: int = 64
    """Providers of one key: whoever asks wants to dial three or so, and an answer holds about a hundred."""
    provider_ttl: float = 48 * HOUR
    """From the last announcement to the end of a provider record; go-libp2p's. Announcements are due each 22 h."""
    provider_address_ttl: float = 24 * HOUR
    """From the last announcement to the end of a provider's addresses; after it the id alone is told, as go-libp2p does."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 < value < float("inf"):
                raise ConfigInvalid(f"must be above 0, but is {value!r}", key=f"kad.store.{name}")
