"""Latency, loss, bandwidth, and ends that are dead."""

import pytest

from simulation.engine import Simulation
from simulation.latency import Constant, LogNormal
from simulation.network import Conditions, Network, State
from simulation.report import percentile


def network(conditions: Conditions | None = None, seed: int = 1) -> Network:
    return Network(Simulation(seed), conditions)


def test_log_normal_latencies_have_the_median_and_the_tail_they_are_given() -> None:
    latency = LogNormal(median=0.05, p99=0.25)
    assert latency.quantile(0.5) == pytest.approx(0.05)
    assert latency.quantile(0.99) == pytest.approx(0.25)
    assert latency.quantile(0.1) < 0.05 < latency.quantile(0.9) < 0.25
    net = network(Conditions(latency=latency))
    ends = [net.join() for _ in range(100)]
    drawn = [net.latency(one, other) for one in ends for other in ends if one is not other]
    assert 0.04 < percentile(drawn, 50) < 0.06
    assert 0.2 < percentile(drawn, 99) < 0.32
    assert net.typical_latency == pytest.approx(0.05, rel=0.01)


def test_a_pair_has_one_latency_in_both_directions() -> None:
    net = network(Conditions(latency=LogNormal(median=0.05, p99=0.25)))
    one, other = net.join(), net.join()
    assert net.latency(one, other) == net.latency(other, one)


def test_a_message_arrives_after_its_latency_and_its_dial() -> None:
    net = network(Conditions(latency=Constant(0.02), dial_round_trips=3))
    one, other = net.join(), net.join()
    arrived: list[float] = []
    net.send(one, other, 100, lambda: arrived.append(net.simulation.now), wait=net.dial_time(one, other))
    net.simulation.run_until(1.0)
    assert net.connect(one, other)
    assert not net.connect(one, other)
    net.send(one, other, 100, lambda: arrived.append(net.simulation.now), wait=net.dial_time(one, other))
    net.simulation.run_until(2.0)
    assert arrived == pytest.approx([0.14, 1.02])
    assert (net.messages, one.sent) == (2, 200)


def test_what_an_end_sends_goes_out_at_its_bandwidth() -> None:
    net = network(Conditions(latency=Constant(0.1)))
    one, others = net.join(bandwidth=1_000.0), [net.join() for _ in range(3)]
    arrived: list[float] = []
    for other in others:
        net.send(one, other, 500, lambda: arrived.append(net.simulation.now))
    net.simulation.run_until(5.0)
    assert arrived == pytest.approx([0.6, 1.1, 1.6])


def test_lost_messages_come_later_and_in_order() -> None:
    net = network(Conditions(latency=Constant(0.01), loss=0.3))
    one, other = net.join(), net.join()
    arrived: list[tuple[int, float]] = []
    for number in range(300):
        net.send(one, other, 1, lambda number=number: arrived.append((number, net.simulation.now)))  # type: ignore[misc]
    net.simulation.run_until(100.0)
    assert [number for number, _ in arrived] == list(range(300))
    assert arrived[0][1] < arrived[-1][1] <= 0.01 + 0.2 * (2**6 - 1) + 1e-9


@pytest.mark.parametrize("state", [State.REFUSES, State.SILENT])
def test_nothing_arrives_at_an_end_that_is_gone(state: State) -> None:
    net = network()
    one, other = net.join(), net.join()
    net.connect(one, other)
    told: list[str] = []
    net.send(one, other, 1, lambda: told.append("arrived"), lost=lambda: told.append("lost"))
    net.send(one, other, 1, lambda: told.append("arrived"))
    net.leave(other, state)
    net.simulation.run_until(1.0)
    assert told == ["lost"]
    assert not one.connected
    assert not other.connected
