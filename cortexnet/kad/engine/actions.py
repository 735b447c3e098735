"""What a Dht asks of whoever drives it: requests to send, requests to give up, contacts to bring."""

from dataclasses import dataclass
from typing import final

from cortexnet.kad.messages import Message
from cortexnet.kad.routing.contact import Contact


@final
@dataclass(frozen=True, slots=True)
class Send:
    """Send `message` to `contact`, dialing it first where there is no connection.

    Ends in exactly one call of `Dht.on_answer(id, …)` or `Dht.on_failure(id, …)` at most `timeout` seconds later, dialing
    included, unless a `Cancel` comes first. Where `expects_answer` is false (ADD_PROVIDER) success is a message that was written:
    `on_answer(id, None, …)`.
    """

    id: int
    contact: Contact
    message: Message
    expects_answer: bool
    timeout: float


@final
@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for the answer of this request any more. What comes of it later may be told or not; it changes nothing."""

    id: int


@final
@dataclass(frozen=True, slots=True)
class ContactsWanted:
    """The routing table is short of contacts: offer connected peers by `Dht.candidate`, dial bootstrap nodes if `is_empty`."""

    is_empty: bool


Action = Send | Cancel | ContactsWanted
