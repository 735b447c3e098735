"""What a node is told about the DHT: which network it joins, and what it does there."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Literal, Self, final

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid, ProtocolViolation
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.store_config import StoreConfig
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.texts import list_of_texts

if TYPE_CHECKING:
    from cortexnet.kad.records.records import Validator

KIB = 1024
MIB = 1024 * KIB

Mode = Literal["auto", "client", "server"]
_MODES = ("auto", "client", "server")

AMINO = "/ipfs"
"""The prefix of the public network of IPFS."""
AMINO_BOOTSTRAP = (
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmQCU2EcMqAqQPR2i9bChDtGNJchTbq5TbXJJ16u19uLTa",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmbLHAnMoJPWSCR5Zhtx6BHJX9KiKNN6tpvbUcqanj75Nb",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmcZf59bWwK5XFi76CZX8cbJ4BhTzzA3gU1ZjYZcYW3dwt",
    "/dnsaddr/va1.bootstrap.libp2p.io/p2p/12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8",
    "/ip4/104.131.131.82/tcp/4001/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ",
)
"""Nodes that are always there to be met first: the list of boxo and go-libp2p-kad-dht."""
AMINO_K = 20
BUILT_IN = ("pk", "ipns")
"""Namespaces whose validators are there without being given."""


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class KadConfig:
    """Which DHT a node joins, and what it does there. Times are seconds, sizes bytes. Raises ConfigInvalid.

    `KadConfig()` speaks what IPFS speaks, but knows nobody of its public network: see `amino`. Each other prefix is a network
    of its own: `KadConfig(prefix="/cortex", validators={"news": NewsValidator()})`.
    """

    prefix: str = AMINO
    """What the protocol ids begin with: those of `/cortex` are `/cortex/kad/1.0.0` and `/cortex/lan/kad/1.0.0`."""
    validators: "Mapping[str, Validator]" = field(default_factory=dict, hash=False)
    """By namespace, who judges the values of keys below it, such as `/news/…`; `pk` and `ipns` are there anyway. Values of any
    other namespace are refused. On the prefix `/ipfs` everybody has these two alone, and so must we."""
    lan: bool = True
    """Have a second DHT with the peers of the same private network, as Kubo has: it needs no public one, and is kept apart."""
    filter_addresses: bool = True
    """Leave out whom and what can't be reached: private addresses of the public DHT, public peers of the private one. Off: all
    are taken, as by go-libp2p-kad-dht where it is used by itself; for networks that mix both. Private addresses are believed of
    those alone who are in a private network themselves, as this node sees them: nobody else shall send it there."""
    loopback: bool | None = None
    """Whether the DHT of the private network may name addresses on loopback. None: where this node listens on nothing else."""
    mode: Mode = "auto"
    """"server" answers others, "client" only asks. "auto": a server in the private network and where addresses are not filtered;
    in the public one, where this node listens on a public address."""
    bootstrap: Sequence[str] = ()
    """Nodes to be met first: they are dialed while nobody else is known, and not kept."""
    dht: DhtConfig = field(default_factory=DhtConfig)
    """The numbers of the algorithm."""
    store: StoreConfig = field(default_factory=StoreConfig)
    """How much is kept for others, and how long."""

    contact_timeout: float = 10.0
    """How long an operation waits for a first peer where none is known yet: as a dial may take."""
    requests: int = 256
    """Requests to peers under way at once, 25 lookups' worth; more wait."""
    request_size: int = 128 * KIB
    """The largest request that is taken: twice the largest value."""
    answer_size: int = 4 * MIB
    """The largest answer that is taken; go-libp2p's and js-libp2p's value."""
    streams_per_connection: int = 32
    """Streams of one connection that are served; beyond, the one that waits longest goes. rust-libp2p's and js-libp2p's value."""
    stream_idle: float = 60.0
    """A stream without a whole request for so long is ended; go-libp2p's value."""
    request_rate: int = 1_000
    """Requests per second of one peer: beyond, it is read more slowly. A third of what a core answers. Not on loopback, unless
    `limits.limit_loopback`."""

    def __post_init__(self) -> None:
        if not _is_prefix(self.prefix):
            raise ConfigInvalid(f"must be like /cortex, but is {self.prefix!r}", key="kad.prefix")
        if self.mode not in _MODES:
            raise ConfigInvalid(f"{self.mode!r} is not one of {', '.join(_MODES)}", key="kad.mode")
        if self.loopback is not None and not isinstance(self.loopback, bool):
            raise ConfigInvalid(f"must be true, false or nothing, but is {self.loopback!r}", key="kad.loopback")
        object.__setattr__(self, "bootstrap", _addresses(self.bootstrap))
        object.__setattr__(self, "validators", _validators(self.validators))
        _check_numbers(self._numbers(), KadConfig, "kad.")
        _check_numbers(asdict(self.dht), DhtConfig, "kad.dht.")
        if self.prefix == AMINO:
            self._check_amino()

    def _numbers(self) -> dict[str, object]:
        return {
            "lan": self.lan,
            "filter_addresses": self.filter_addresses,
            "contact_timeout": self.contact_timeout,
            "requests": self.requests,
            "request_size": self.request_size,
            "answer_size": self.answer_size,
            "streams_per_connection": self.streams_per_connection,
            "stream_idle": self.stream_idle,
            "request_rate": self.request_rate,
        }

    def _check_amino(self) -> None:
        """What all nodes of the public network must have in common. Its private half has the same rules, as in go."""
        if self.dht.k != AMINO_K:
            raise ConfigInvalid(f"is {AMINO_K} on the prefix {AMINO}, as everybody's: use a prefix of your own", key="kad.dht.k")
        if self.dht.namespaces:
            raise ConfigInvalid(f"is unknown on the prefix {AMINO}: use a prefix of your own", key="kad.dht.namespaces")
        own = [name for name in self.validators if name not in BUILT_IN]
        if own:
            message = f"{own[0]!r} is refused by everybody on the prefix {AMINO}: use a prefix of your own, such as /cortex"
            raise ConfigInvalid(message, key="kad.validators")

    @classmethod
    def amino(cls) -> Self:
        """The public network of IPFS, with the nodes through which it is met."""
        return cls(bootstrap=AMINO_BOOTSTRAP)

    @property
    def protocol(self) -> str:
        """The id of the DHT; of the public one, where there are two."""
        return f"{self.prefix}/kad/1.0.0"

    @property
    def lan_protocol(self) -> str:
        """The id of the DHT in the private network."""
        return f"{self.prefix}/lan/kad/1.0.0"


def _is_prefix(value: object) -> bool:
    return (
        isinstance(value, str)
        and value.startswith("/")
        and not value.endswith("/")
        and len(value) <= 64
        and value.isascii()
        and value.isprintable()
        and " " not in value
    )


def _addresses(values: object) -> tuple[str, ...]:
    texts = list_of_texts("kad.bootstrap", values)
    for text in texts:
        try:
            _, peer = Multiaddr.parse(text).split_peer()
        except ProtocolViolation as error:
            raise ConfigInvalid(str(error), key="kad.bootstrap") from None
        if peer is None and not text.startswith("/dnsaddr/"):
            raise ConfigInvalid(f"{text} names no peer: end it in /p2p/ and the id", key="kad.bootstrap")
    return texts


def _validators(values: object) -> "Mapping[str, Validator]":
    if not isinstance(values, Mapping):
        raise ConfigInvalid(f"must give a validator for each namespace, but is {values!r}", key="kad.validators")
    for name in values:
        if not isinstance(name, str) or not name or "/" in name:
            raise ConfigInvalid(f"{name!r} is no namespace: it stands between the first two slashes", key="kad.validators")
        objection = _unfit(name, values[name])
        if objection:
            raise ConfigInvalid(objection, key="kad.validators")
    return dict(values)


def _unfit(name: str, validator: object) -> str:
    """Why it is no validator; nothing where it is."""
    from cortexnet.kad.records.records import Validator  # most nodes are given none, and need not load it

    if isinstance(validator, type):
        return f"give an object for {name!r}, such as {validator.__name__}(), not the class"
    if not isinstance(validator, Validator):
        return f"what judges {name!r} has to `validate` and to `select`, which a {type(validator).__name__} can't"
    return ""


def _check_numbers(values: Mapping[str, object], owner: type[KadConfig | DhtConfig], place: str) -> None:
    defaults: dict[str, object] = {part.name: part.default for part in fields(owner)}
    for name, value in values.items():
        default = defaults[name]
        objection = _objection(value, default) if isinstance(default, int | float) else ""
        if objection:
            raise ConfigInvalid(f"must be {objection}, but is {value!r}", key=place + name)


def _objection(value: object, default: float) -> str:
    """What it should be, by the kind its default has; nothing where it is."""
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        return "a number above 0"
    if isinstance(default, int) and not isinstance(value, int):
        return "a whole number"
    return ""
