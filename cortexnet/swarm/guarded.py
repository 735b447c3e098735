"""Observers that belong to the application, which may have bugs. A shell."""

import logging
from typing import TYPE_CHECKING

from cortexnet.transport.log_limit import LogLimit

if TYPE_CHECKING:
    from cortexnet.swarm.swarm import Observer
    from cortexnet.transport.connection import Connection

log = logging.getLogger(__name__)
log.addFilter(LogLimit())


def guarded(observer: "Observer") -> "Observer":
    """One that does the same, and where that raises writes it to the log."""

    def observe(connection: "Connection") -> None:
        try:
            observer(connection)
        except Exception as error:  # boundary: the node's own observers come after it, and have to
            log.warning("an observer of connections failed: %r", error, exc_info=error)

    return observe
