"""A turn of the loop that other connections have used up."""

from collections.abc import Callable

from cortexnet.transport.connection import Connection


class NoTimeLeft:
    """Other connections have used up the time of the turn; who was put off goes on when the test says so."""

    is_over = True
    is_over_for_changes = False
    is_crowded = False

    def __init__(self) -> None:
        self.deferred: list[Callable[[], None]] = []

    def spend(self, seconds: float) -> None:
        pass

    spend_on_change = spend

    def defer(self, resume: Callable[[], None], *, is_light: bool = False) -> None:
        self.deferred.append(resume)

    def resume(self) -> None:
        deferred, self.deferred = self.deferred, []
        for resume in deferred:
            resume()


def out_of_time(connection: Connection) -> NoTimeLeft:
    """A connection that has been there for a while, in a turn that others have used up."""
    connection.link._first_chunks = 0
    turns = connection.link._turns = NoTimeLeft()
    return turns
