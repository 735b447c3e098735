"""The seam itself: a budget without a cap, and that yamux fills the seam."""

from typing import TYPE_CHECKING

from cortexnet.mux.muxer import Unlimited
from cortexnet.mux.yamux import NAME, Yamux

if TYPE_CHECKING:
    from cortexnet.mux.muxer import MemoryBudget, Muxer


def test_a_budget_without_a_cap_takes_everything() -> None:
    budget: MemoryBudget = Unlimited()
    assert budget.reserve(1 << 50)
    budget.charge(1 << 60)
    assert not budget.is_over()
    budget.release(1 << 60)
    assert budget.limit > 1 << 60


def test_yamux_is_a_muxer() -> None:
    muxer: Muxer = Yamux(initiator=True)
    assert muxer.name == NAME == "/yamux/1.0.0"
    assert not muxer.has_backlog
