"""Nodes that come and go."""

from simulation.churn import Churn
from simulation.engine import Simulation


def test_half_of_all_are_gone_after_the_half_life_and_each_is_replaced() -> None:
    simulation = Simulation(5)
    there: dict[int, None] = {}
    numbers = iter(range(1_000, 100_000))

    def leave(node: int) -> None:
        del there[node]

    def come(node: int) -> int:
        new = next(numbers)
        there[new] = None
        return new

    churn = Churn(simulation, half_life=3600.0, away=60.0, leave=leave, come=come)
    for number in range(1_000):
        there[number] = None
        churn.add(number)
    simulation.run_until(3600.0)
    assert 450 <= len([node for node in there if node < 1_000]) <= 550
    assert 960 <= len(there) <= 1_000
    assert churn.left >= 450
