"""Thousands of connections, one after the other, leave nothing behind: no task, no descriptor, no reservation, no memory."""

import pytest

from bench.cycles import STACKS, cycle


@pytest.mark.slow
@pytest.mark.parametrize("stack", [stack for stack in STACKS if stack != "ws-noise"])
async def test_two_thousand_connections_leave_nothing_behind(stack: str) -> None:
    outcome = await cycle(stack, 2_000)
    assert outcome.leftovers == []


async def test_connections_over_websockets_leave_nothing_behind() -> None:
    outcome = await cycle("ws-noise", 200)
    assert outcome.leftovers == []
