"""Virtual time and chance."""

import subprocess
import sys

from simulation.engine import UNIX_START, Simulation


def test_events_run_in_the_order_of_their_times_and_equal_ones_as_they_were_made() -> None:
    simulation = Simulation(1)
    ran: list[tuple[str, float]] = []
    simulation.after(2.0, lambda: ran.append(("late", simulation.now)))
    simulation.at(1.0, lambda: ran.append(("first", simulation.now)))
    simulation.at(1.0, lambda: simulation.after(0.5, lambda: ran.append(("made later", simulation.now))))
    simulation.run_until(1.75)
    assert ran == [("first", 1.0), ("made later", 1.5)]
    assert simulation.now == 1.75
    assert simulation.unix_now == UNIX_START + 1.75
    simulation.run_for(1.0)
    assert ran[2:] == [("late", 2.0)]
    assert simulation.events == 4


def test_it_runs_no_further_than_wanted() -> None:
    simulation = Simulation(1)
    ran: list[int] = []
    for number in range(5):
        simulation.at(float(number), lambda number=number: ran.append(number))  # type: ignore[misc]
    simulation.run_while(lambda: len(ran) < 2, until=10.0)
    assert ran == [0, 1]
    assert simulation.now == 1.0
    simulation.run_while(lambda: True, until=3.0)
    assert ran == [0, 1, 2, 3]


def test_chance_of_one_purpose_does_not_change_that_of_another() -> None:
    one, other = Simulation(7), Simulation(7)
    one.chance("latency").random()
    assert one.chance("ids").random() == other.chance("ids").random()
    assert one.chance("ids").random() != one.chance("latency").random()
    assert Simulation(8).chance("ids").random() != other.chance("ids").random()


def test_chance_is_the_same_in_every_process() -> None:
    code = "from simulation.engine import Simulation; print(Simulation(3).chance('x').random())"
    for seed in ("1", "2"):
        done = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True)
        assert float(done.stdout) == Simulation(3).chance("x").random()
