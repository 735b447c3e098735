"""Requests on new streams, many at once, as `python -m bench requests` measures them beside other stacks' peers."""

from typing import Final

from bench.calls import Calls
from bench.half import Figures
from bench.process import MeasurementFailed

AT_ONCE: Final = 1_000
"""Requests under way at any time."""
SIZE: Final = 100


async def requests_at_once(calls: Calls, peer: str, amount: int) -> Figures:
    """Those of a peer of the interop harness. Raises MeasurementFailed, also where it took more than one connection."""
    answer = await calls.call("requests", peer=peer, size=SIZE, count=amount, at_once=AT_ONCE)
    if answer["connections"] != 1:
        raise MeasurementFailed(f"{answer['connections']} connections where one is enough")
    return {"rate": answer["count"] / answer["seconds"], "p50": answer["p50_us"], "p99": answer["p99_us"]}
