"""The numbers of a node for Prometheus; needs `pip install cortexnet[metrics]`.

    from prometheus_client import start_http_server, REGISTRY
    from cortexnet.observe.metrics import NodeCollector

    REGISTRY.register(NodeCollector(node))
    start_http_server(9100)

The node counts in plain integers, whether anybody asks or not; this reads them when they are asked for, from any thread.
"""

from collections.abc import Iterable
from typing import Protocol, final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cortexnet.admission.tally import Tally


class Counted(Protocol):
    """What a node offers to be read."""

    @property
    def counters(self) -> dict[str, int]:
        """What is in use at present."""

    @property
    def totals(self) -> dict[str, int]:
        """What has happened since the start."""

    @property
    def tally(self) -> Tally:
        """The same, with what was refused."""


@final
class NodeCollector(Collector):
    """The counters of one node; several in one registry need a `prefix` each."""

    def __init__(self, node: Counted, *, prefix: str = "cortexnet") -> None:
        self._node = node
        self._prefix = prefix

    def describe(self) -> Iterable[Metric]:
        """Nothing: so registering a node that is not started asks it for no numbers."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All numbers, as they are now."""
        for name, value in self._node.counters.items():
            gauge = GaugeMetricFamily(f"{self._prefix}_{name}", f"{name.replace('_', ' ')}: how many there are")
            gauge.add_metric([], value)
            yield gauge
        for name, value in self._node.totals.items():
            counter = CounterMetricFamily(f"{self._prefix}_{name}", f"{name.replace('_', ' ')} since the start")
            counter.add_metric([], value)
            yield counter
        refused = CounterMetricFamily(f"{self._prefix}_refusals", "what was refused, by setting or rule", labels=["setting"])
        for setting, value in list(self._node.tally.refusals.items()):
            refused.add_metric([setting], value)
        yield refused
