"""What a node is started with, put together from a profile, a file, the environment and options."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, final, get_args

from cortexnet.admission.access_rules import parse_subject
from cortexnet.config import Config
from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid, LocalError, ProtocolViolation
from cortexnet.identity.keys import KeyType
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.texts import list_of_texts

if TYPE_CHECKING:
    from collections.abc import Callable

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `cortexnet run` starts a node with: where it listens and who it is, beside its `Config`. Raises ConfigInvalid."""

    profile: str = "default"
    """Which defaults are taken where nothing else is said: "default", "light" (a client that asks and serves little) or "server"
    (a public node with memory to spare). What is set explicitly goes before it. A program takes `Config.profile` for `config`."""
    listen: tuple[str, ...] = ("/ip4/0.0.0.0/tcp/0",)
    """Where connections are accepted. Port 0 takes any that is free; an empty list makes a node that only dials."""
    bootstrap: tuple[str, ...] = ()
    """Peers that are connected to from the start, again and again until they answer."""
    identity: str = ""
    """The key file, made where there is none. Nothing: the one in the state directory, or without that a new one each time."""
    key_type: KeyType = "ed25519"
    """Of what type a new key is: "ed25519", which every stack takes, "secp256k1", "ecdsa" or "rsa". One that is there stays."""
    deny: tuple[str, ...] = ()
    """Peer ids, IP addresses and networks that are refused. SIGHUP takes over what the file says then."""
    allow_only: tuple[str, ...] = ()
    """Where it is not empty, all others are refused. SIGHUP takes over what the file says then."""
    echo: bool = False
    """Serve /cortex/echo/1.0.0, which sends back what it gets."""
    ready_file: str = ""
    """A file that is there while the node accepts connections, with its process id, peer id and addresses in JSON."""
    log_level: LogLevel = "warning"
    """From which level on the log, on stderr, has lines. SIGHUP takes over what the file says then."""
    log_format: LogFormat = "text"
    """How its lines look: "text" for people, "json" for programs that collect logs."""
    config: Config = field(default_factory=Config)
    """The node's own configuration; in a file its settings stand beside these."""

    def __post_init__(self) -> None:
        for key, value in (("identity", self.identity), ("ready_file", self.ready_file)):
            if not isinstance(value, str) or "\0" in value:
                raise ConfigInvalid(f"must be the name of a file, but is {value!r}", key=key)
        if not isinstance(self.echo, bool):
            raise ConfigInvalid(f"must be True or False, but is {self.echo!r}", key="echo")
        for key, choice, known in (
            ("key_type", self.key_type, get_args(KeyType)),
            ("log_level", self.log_level, get_args(LogLevel)),
            ("log_format", self.log_format, get_args(LogFormat)),
        ):
            if choice not in known:
                raise ConfigInvalid(f"must be one of {', '.join(known)}, but is {choice!r}", key=key)
        for key, values in (("listen", self.listen), ("bootstrap", self.bootstrap)):
            object.__setattr__(self, key, _checked(key, values, _check_address))
        for key, values in (("deny", self.deny), ("allow_only", self.allow_only)):
            object.__setattr__(self, key, _checked(key, values, _check_subject))
        Config.profile(self.profile)


def _checked(key: str, values: object, check: "Callable[[str, str], None]") -> tuple[str, ...]:
    texts = list_of_texts(key, values)
    for text in texts:
        check(key, text)
    return texts


def _check_address(key: str, text: str) -> None:
    try:
        Multiaddr.parse(text)
    except ProtocolViolation as error:
        raise ConfigInvalid(f"{error}; write it like /ip4/192.0.2.7/tcp/4001", key=key) from None


def _check_subject(key: str, text: str) -> None:
    try:
        parse_subject(text)
    except LocalError as error:
        raise ConfigInvalid(str(error), key=key) from None
