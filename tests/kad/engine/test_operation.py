import pytest

from cortexnet.errors import LocalError
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.engine.operation import NameFound, Operation, Stored

PEER = PeerId(b"\x12\x20" + bytes(32))


def test_a_running_operation_has_no_result_yet() -> None:
    operation: Operation[int] = Operation()
    with pytest.raises(LocalError, match="still runs"):
        operation.result()
    operation.finish(3)
    assert operation.result() == 3
    assert not operation.has_failed


def test_events_are_given_once_and_none_comes_after_the_end() -> None:
    operation: Operation[int] = Operation()
    changes: list[int] = []
    operation.on_change = lambda: changes.append(1)
    operation.emit(NameFound(b"a"))
    operation.emit(Stored(b"a", PEER))
    assert operation.take_events() == [NameFound(b"a"), Stored(b"a", PEER)]
    assert operation.take_events() == []
    operation.finish(1)
    operation.emit(NameFound(b"b"))
    assert operation.take_events() == []
    assert len(changes) == 3


def test_it_ends_once() -> None:
    operation: Operation[int] = Operation()
    ends: list[str] = []
    operation.when_over(lambda: ends.append("first"))
    operation.when_over(lambda: ends.append("second"))
    operation.cancel()
    operation.finish(5)
    operation.fail(LocalError("late"))
    with pytest.raises(LocalError, match="cancelled"):
        operation.result()
    assert operation.has_failed
    operation.when_over(lambda: ends.append("third"))
    assert ends == ["first", "second", "third"]
