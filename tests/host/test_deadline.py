"""Deadlines of exchanges with a peer."""

import asyncio

import pytest

from cortexnet.errors import LocalError, PeerTimeout
from cortexnet.host.deadline import deadline


async def test_what_takes_too_long_is_cancelled_and_named() -> None:
    ended = False

    async def wait() -> None:
        nonlocal ended
        async with deadline(2.5, "the answer"):
            try:
                await asyncio.sleep(3)
            finally:
                ended = True

    with pytest.raises(PeerTimeout, match=r"the answer took longer than 2.5 s"):
        await wait()
    assert ended
    assert asyncio.get_running_loop().time() == 2.5


async def test_without_seconds_it_waits_as_long_as_it_takes() -> None:
    async with deadline(None, "the answer"):
        await asyncio.sleep(1_000)


async def test_a_timeout_of_the_block_itself_passes() -> None:
    with pytest.raises(TimeoutError) as caught:
        async with deadline(5, "the answer"):
            raise TimeoutError("of its own")
    assert type(caught.value) is TimeoutError


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def wait() -> None:
        async with deadline(5, "the answer"):
            await asyncio.sleep(10)

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_text_is_no_time() -> None:
    with pytest.raises(LocalError, match="a timeout is a number of seconds, or None, not '5'"):
        async with deadline("5", "an answer"):  # type: ignore[arg-type]
            pytest.fail("it was waited for")
