"""Keeps the address book on disk: takes it back at the start, and writes down what changes. A shell."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from itertools import islice
from math import isinf
from typing import TYPE_CHECKING, final

from cortexnet.errors import ProtocolViolation
from cortexnet.storage import peer_codec

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.storage.database import Database
    from cortexnet.swarm.peerstore import Peerstore

log = logging.getLogger(__name__)

TABLE = "peers"
WRITE_DELAY = 1.0
"""Seconds from a change to its writing: what changes many times within them is written once."""
SLICE = 32
"""Entries that are decoded or encoded in one turn of the loop at most: 50 µs each."""
TURN = 0.002
"""Seconds after which a turn ends earlier, on a slow machine."""


@final
class PeerstoreStore:
    """The rows of a peerstore. `unix` is the wall clock, which goes on while no node runs."""

    def __init__(self, peerstore: "Peerstore", database: "Database", unix: Callable[[], float]) -> None:
        self._peerstore = peerstore
        self._database = database
        self._unix = unix
        self._loop = asyncio.get_running_loop()
        self._changed: dict[PeerId, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def load(self, rows: Mapping[bytes, bytes]) -> None:
        """Take back what was written, some entries a turn, and write down changes from now on.

        Addresses whose time is over are left out. Rows that can't be read are left alone, with one warning for all of them.
        Cancelled: the rest is not taken back.
        """
        for peer in (*self._peerstore.peers(), *self._peerstore.noted()):  # which the application has made known before the start
            self._note(peer)
        self._peerstore.on_change = self._note
        unreadable = 0
        end, left = 0.0, 0
        for key, data in rows.items():
            if not left or self._loop.time() > end:
                await asyncio.sleep(0)
                end, left = self._loop.time() + TURN, SLICE
            unreadable += not self._restore(key, data)
            left -= 1
        if unreadable:
            log.warning("%d entries of the address book can't be read; they stay in %s", unreadable, self._database.path)

    def _restore(self, key: bytes, data: bytes) -> bool:
        now = self._loop.time()
        try:
            known = peer_codec.decode(key, data, now, self._unix())
        except ProtocolViolation as error:
            log.debug("an entry of the address book can't be read: %s", error)
            return False
        self._peerstore.restore(known, now)
        is_over = any(isinf(expires) or expires <= now for expires in known.addresses.values())
        if is_over or known.peer_id not in self._peerstore:
            self._note(known.peer_id)  # it is known in another way than it was written
        return True

    async def settle(self) -> None:
        """Give all that has changed so far to the database, some entries a turn. Cancelled: the rest is given later."""
        left = len(self._changed)
        while left > 0 and self._changed:
            left -= self._write_slice()
            await asyncio.sleep(0)

    def detach(self) -> None:
        """Write down no more changes."""
        self._peerstore.on_change = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _note(self, peer: "PeerId") -> None:
        self._changed[peer] = None
        if self._timer is None:
            self._timer = self._loop.call_later(WRITE_DELAY, self._write_all)

    def _write_all(self) -> None:
        """One slice, and the next one in another turn."""
        self._write_slice()
        self._timer = self._loop.call_later(0.0, self._write_all) if self._changed else None

    def _write_slice(self) -> int:
        """How many entries it was."""
        now, unix_now = self._loop.time(), self._unix()
        peers = list(islice(self._changed, SLICE))
        for count, peer in enumerate(peers, 1):
            del self._changed[peer]
            known = self._peerstore.known(peer, now)
            data = None if known is None else peer_codec.encode(known, now, unix_now)
            self._database.put(TABLE, bytes(peer), data)
            if self._loop.time() > now + TURN:
                return count
        return len(peers)
