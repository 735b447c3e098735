"""LogLimit: what a peer can bring about fills no log."""

import asyncio
import logging

import pytest

from cortexnet.transport.log_limit import INTERVAL, LINES, LogLimit
from cortexnet.transport.stream import Stream
from tests.support.pairs import network, settle


@pytest.fixture
def log() -> logging.Logger:
    log = logging.Logger("limited")
    log.addFilter(LogLimit())
    log.parent = logging.getLogger()
    return log


async def test_of_one_kind_some_lines_are_shown_and_the_rest_is_counted(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(LINES + 20):
        log.warning("it failed: %s", number)
    assert caplog.messages == [f"it failed: {number}" for number in range(LINES)]
    await asyncio.sleep(INTERVAL)
    log.warning("it failed: %s", "again")
    assert caplog.messages[LINES:] == ["it failed: again (and 20 more since the last)"]
    await asyncio.sleep(INTERVAL)
    log.warning("it failed: %s", "still")
    assert caplog.messages[LINES + 1 :] == ["it failed: still"]


async def test_kinds_do_not_stand_in_for_each_other(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(LINES):
        log.warning("this")
    log.warning("that")
    log.warning("this")
    assert caplog.messages == ["this"] * LINES + ["that"]


async def test_who_turns_on_more_than_warnings_gets_all_of_it(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for _ in range(LINES + 1):
        log.info("so it goes")
    assert len(caplog.messages) == LINES + 1


async def test_handlers_that_fail_all_the_time_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(stream: Stream) -> None:
        raise ValueError("a bug")

    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle("/app/1", fail)
        connection, _ = await net.connect(alice, bob)
        for _ in range(LINES + 5):
            await connection.open_stream(["/app/1"])
        await settle()
        assert bob.resources.streams.inbound == 0
    assert [message.startswith("handler of /app/1 failed") for message in caplog.messages] == [True] * LINES
