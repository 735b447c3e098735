"""Keeps on disk how peers have behaved: takes it back at the start, and writes down what changes. A shell.

The ledger has a clock of its own, which goes as long as the node runs, whatever is done to that of the machine meanwhile. Between
two runs there is only the latter to go by, so what it says is believed up to a limit.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final, final

from cortexnet.errors import RemoteError
from cortexnet.identity.peer_id import PeerId
from cortexnet.storage import reputation_codec as codec

if TYPE_CHECKING:
    from cortexnet.reputation.ledger import Ledger
    from cortexnet.reputation.subnets import Networks
    from cortexnet.storage.database import Database
    from cortexnet.storage.sqlite_file import Rows

log = logging.getLogger(__name__)

PEERS, NETWORKS = "reputation", "reputation_networks"
TABLES: Final = (PEERS, NETWORKS)
WRITE_DELAY = 30.0
"""Seconds from a change to its writing: counts of connected peers change all the time. What a process that is killed loses."""
URGENT_DELAY = 1.0
"""The same for what a peer may want us to forget."""
MOMENT_INTERVAL = 600.0
"""Seconds between notes of the time, without which it counts as downtime that the node has run."""
SLICE = 32
"""Entries that are decoded or encoded in one turn of the loop at most: 20 µs each."""
TURN = 0.002
"""Seconds after which a turn ends earlier, on a slow machine."""
_MOMENT = b""  # the key, among the networks, of the last time that is known


@final
class ReputationStore:
    """The rows of the ledger. Made by `Storage.reputation`. `unix` is the wall clock."""

    def __init__(self, database: "Database", rows: "Rows", unix: Callable[[], float]) -> None:
        self._database = database
        self._unix = unix
        self._loop = asyncio.get_running_loop()
        self._rows: Rows = {table: rows[table] for table in TABLES}
        self._ledger: Ledger | None = None
        self._networks: Networks | None = None
        self._clock: Callable[[], float] = self._loop.time
        self._changed: dict[tuple[str, bytes], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._moment_timer: asyncio.TimerHandle | None = None
        self._unreadable = 0

    def time(self, downtime_limit: float) -> float:
        """What the clock of the ledger has come to: no more than `downtime_limit` seconds after the last run."""
        data = self._rows[NETWORKS].get(_MOMENT)
        try:
            moment = None if data is None else codec.decode_moment(data)
        except RemoteError as error:
            log.debug("the time of the last run can't be read: %s", error)
            moment = None
        if moment is not None:
            return moment.ledger + min(downtime_limit, max(0.0, self._unix() - moment.unix))
        return 0.0

    async def load(self, ledger: "Ledger", networks: "Networks", clock: Callable[[], float]) -> None:
        """Take back what was written, some a turn, and write down changes from now on. `clock` has gone on from `time`.

        What can't be read is left alone on disk, with one warning for all of it. Cancelled: the rest is not taken back.
        """
        self._ledger, self._networks, self._clock = ledger, networks, clock
        ledger.on_change = lambda peer: self._note(PEERS, bytes(peer))
        networks.on_change = lambda name: self._note(NETWORKS, name.encode(), URGENT_DELAY)
        await self._restore_all(PEERS, self._restore_peer)
        await self._restore_all(NETWORKS, self._restore_network)
        if self._unreadable:
            log.warning("%d entries of the ledger can't be read; they stay in %s", self._unreadable, self._database.path)
        self._note_moment()

    def hurry(self) -> None:
        """What has changed so far is to be written soon."""
        if self._changed:
            self._arm(URGENT_DELAY)

    async def settle(self) -> None:
        """Give all that has changed so far to the database, some a turn. Cancelled: the rest is given later."""
        left = len(self._changed)
        while left > 0 and self._changed:
            left -= self._write_slice()
            await asyncio.sleep(0)
        if self._ledger is not None:
            self._put_moment()

    def detach(self) -> None:
        """Write down no more changes."""
        if self._ledger is not None and self._networks is not None:
            self._ledger.on_change = self._networks.on_change = None
        for timer in (self._timer, self._moment_timer):
            if timer is not None:
                timer.cancel()

    async def _restore_all(self, table: str, restore: Callable[[bytes, bytes], bool]) -> None:
        end, left = 0.0, 0
        rows: Mapping[bytes, bytes]
        rows, self._rows[table] = self._rows[table], {}
        for key, data in rows.items():
            if not left or self._loop.time() > end:
                await asyncio.sleep(0)
                end, left = self._loop.time() + TURN, SLICE
            left -= 1
            try:
                if not restore(key, data):
                    self._note(table, key)  # it is known in another way than it was written, or not at all
            except (RemoteError, UnicodeDecodeError) as error:
                log.debug("an entry of %s can't be read: %s", table, error)
                self._unreadable += 1

    def _restore_peer(self, key: bytes, data: bytes) -> bool:
        assert self._ledger is not None  # from `load` on
        return self._ledger.restore(PeerId.from_bytes(key), codec.decode_entry(data), self._clock())

    def _restore_network(self, key: bytes, data: bytes) -> bool:
        assert self._networks is not None  # from `load` on
        if key == _MOMENT:
            return True
        since, offences = codec.decode_network(data)
        return self._networks.restore(key.decode(), since, offences, self._clock())

    def _note(self, table: str, key: bytes, delay: float = WRITE_DELAY) -> None:
        self._changed[table, key] = None
        self._arm(delay)

    def _arm(self, delay: float) -> None:
        due = self._loop.time() + delay
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._write_all)

    def _write_all(self) -> None:
        """One slice, and the next one in another turn."""
        self._timer = None
        self._write_slice()
        if self._changed:
            self._timer = self._loop.call_later(0.0, self._write_all)
        else:
            self._put_moment()

    def _write_slice(self) -> int:
        """How many entries it was."""
        end = self._loop.time() + TURN
        places = list(islice(self._changed, SLICE))
        for count, (table, key) in enumerate(places, 1):
            del self._changed[table, key]
            self._database.put(table, key, self._encoded(table, key))
            if self._loop.time() > end:
                return count
        return len(places)

    def _encoded(self, table: str, key: bytes) -> bytes | None:
        assert self._ledger is not None  # nothing changes before `load`
        assert self._networks is not None
        if table == PEERS:
            entry = self._ledger.entry(PeerId.from_bytes(key))
            return None if entry is None else codec.encode_entry(entry)
        known = self._networks.known(key.decode())
        return None if known is None else codec.encode_network(*known)

    def _note_moment(self) -> None:
        self._put_moment()
        self._moment_timer = self._loop.call_later(MOMENT_INTERVAL, self._note_moment)

    def _put_moment(self) -> None:
        self._database.put(NETWORKS, _MOMENT, codec.encode_moment(codec.Moment(self._clock(), self._unix())))
