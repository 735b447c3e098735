"""What WebSockets with TLS are configured by."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid

if TYPE_CHECKING:
    import ssl


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketConfig:
    """The TLS around WebSockets (`/wss`, `/tls/ws`), which says who a host is, as browsers want it; who a peer is, the secure
    channel inside says. Raises ConfigInvalid for a setting that is none.
    """

    certificate: str | None = None
    """File with the certificate to listen with and those it depends on (PEM); None: this node does not listen on `/wss`."""
    private_key: str | None = None
    """File with its private key (PEM); None: it is in the file of the certificate."""
    trusted: str | None = None
    """File with the authorities whose certificates are believed when dialing (PEM); None: those the system trusts."""
    verify: bool = True
    """Whether a certificate is looked at when dialing. Off, any will do: the peer's identity is proven inside all the same."""
    server_context: "ssl.SSLContext | None" = None
    """To listen with, instead of `certificate`: for what files do not say, such as several names or a renewed certificate."""
    client_context: "ssl.SSLContext | None" = None
    """To dial with, instead of `trusted` and `verify`."""

    def __post_init__(self) -> None:
        for name, value in (("certificate", self.certificate), ("private_key", self.private_key), ("trusted", self.trusted)):
            if value is not None and not isinstance(value, str):
                raise ConfigInvalid(f"must be the name of a file, but is {value!r}", key=f"websocket.{name}")
        if not isinstance(self.verify, bool):
            raise ConfigInvalid(f"must be True or False, but is {self.verify!r}", key="websocket.verify")
        if self.private_key is not None and self.certificate is None:
            raise ConfigInvalid("is of no use without websocket.certificate", key="websocket.private_key")

    @property
    def can_listen(self) -> bool:
        """Whether there is a certificate."""
        return self.certificate is not None or self.server_context is not None
