"""What peers say of each other in an exploration, and whom to believe: who names those that others name too, or that answer."""

from collections.abc import Iterable, Sequence
from typing import final

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import Prefix

_TELLERS_KEPT = 4


@final
class Hearsay:
    """The contacts heard of, with who named them: `limit` of them, and as many more that lie in the region."""

    def __init__(self, seeds: Iterable[Contact], limit: int) -> None:
        self.answered: dict[PeerId, Contact] = {}
        """Those that have answered at least once."""
        self.failed: dict[PeerId, None] = {}
        """Those that have not, when asked last."""
        self._limit = limit
        self._contacts = {contact.peer_id: contact for contact in seeds}
        self._seeds = dict(self._contacts)
        self._tellers: dict[PeerId, list[PeerId]] = {}
        self._named_by: dict[PeerId, dict[PeerId, None]] = {}

    def __contains__(self, peer_id: PeerId) -> bool:
        return peer_id in self._contacts

    def __len__(self) -> int:
        return len(self._contacts)

    def tell(self, teller: PeerId, named: Sequence[Contact], region: Prefix) -> None:
        """A peer has answered, naming these."""
        self.failed.pop(teller, None)
        self.answered[teller] = self._contacts[teller]
        for contact in named:
            if contact.peer_id not in self._contacts:
                if not self._has_room(contact, region):
                    continue
                self._contacts[contact.peer_id] = contact
            tellers = self._tellers.setdefault(contact.peer_id, [])
            if teller not in tellers and len(tellers) < _TELLERS_KEPT:
                tellers.append(teller)
            self._named_by.setdefault(teller, {})[contact.peer_id] = None

    def _has_room(self, contact: Contact, region: Prefix) -> bool:
        limit = 2 * self._limit if region.contains(contact.position) else self._limit
        return len(self._contacts) < limit

    def fail(self, peer_id: PeerId) -> None:
        """A peer has not answered."""
        if peer_id not in self.answered:
            self.failed[peer_id] = None

    def within(self, region: Prefix) -> list[Contact]:
        """All that were heard of in a region and did not fail."""
        return [
            contact
            for peer_id, contact in self._contacts.items()
            if region.contains(contact.position) and peer_id not in self.failed
        ]

    def credible(self, region: Prefix) -> list[Contact]:
        """Those of them that have answered, or that a peer names at least half of whose word is borne out."""
        sound = {teller for teller in self._named_by if self._is_sound(teller)}
        return [
            contact
            for contact in self.within(region)
            if self._is_known(contact.peer_id) or any(teller in sound for teller in self._tellers.get(contact.peer_id, ()))
        ]

    def _is_known(self, peer_id: PeerId) -> bool:
        return peer_id in self.answered or peer_id in self._seeds

    def _is_sound(self, teller: PeerId) -> bool:
        named = self._named_by[teller]
        borne_out = sum(self._is_known(peer_id) or len(self._tellers[peer_id]) > 1 for peer_id in named)
        return 2 * borne_out >= len(named)
