"""Keeps access rules on disk. A shell around nothing but the database."""

import asyncio
import logging
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, final

from cortexnet.admission.access_rules import Rule
from cortexnet.errors import LimitExceeded, LocalError

if TYPE_CHECKING:
    from cortexnet.admission.access_rules import AccessRules
    from cortexnet.storage.database import Database

log = logging.getLogger(__name__)

TABLE = "rules"
SLICE = 32
"""Rules that are read in one turn of the loop: at 40 µs each, less than 2 ms."""


@final
class AccessStore:
    """The rows of access rules. A rule is written at once: one that denies somebody must not be forgotten."""

    def __init__(self, rules: "AccessRules", database: "Database") -> None:
        self._rules = rules
        self._database = database

    async def load(self, rows: Mapping[bytes, bytes], unix_now: float) -> None:
        """Take back what was written, some rules a turn, and write down changes from now on.

        Rules that are over are dropped. Those that can't be read, and those above the limit, are left alone on disk, with a
        warning for each. A rule that there is already, or that comes or goes meanwhile, goes before one on disk. Cancelled: the
        rest is not taken back.
        """
        newer: set[bytes] = set()

        def changed(rule: Rule, came: bool) -> None:
            newer.add(_key(rule))
            self._changed(rule, came)

        for rule in self._rules:
            changed(rule, True)
        waiting = iter(rows.items())
        while entries := list(islice(waiting, SLICE)):
            self._rules.on_change = None  # what comes from the disk need not go there
            for key, data in entries:
                if key not in newer:
                    self._restore(key, data, unix_now)
            self._rules.on_change = changed
            await asyncio.sleep(0)
        self._rules.on_change = self._changed

    def _restore(self, key: bytes, data: bytes, unix_now: float) -> None:
        try:
            rule = Rule.parse(data.decode())
            if rule.is_over(unix_now):
                self._database.put(TABLE, key, None)
            else:
                self._rules.add(rule, unix_now)
        except (LocalError, LimitExceeded, UnicodeDecodeError) as error:
            log.warning("a rule in %s is left out, %r: %s", self._database.path, data[:100], error)

    def detach(self) -> None:
        """Write down no more changes."""
        self._rules.on_change = None

    def _changed(self, rule: Rule, came: bool) -> None:
        self._database.put(TABLE, _key(rule), str(rule).encode() if came else None)


def _key(rule: Rule) -> bytes:
    return f"{rule.kind} {rule.subject}".encode()
