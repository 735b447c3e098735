"""What reputation costs on hot paths: a score, a ping, a message of gossip, each on its own and with 10,000 peers in the ledger.

python -m bench.reputation
"""

import sys
import time
from collections.abc import Callable
from random import Random
from typing import Final

from cortexnet import PeerId
from cortexnet.reputation.config import ReputationConfig
from cortexnet.reputation.ledger import Ledger

PEERS: Final = 10_000
CALLS: Final = 500
"""In one batch; the fastest batch counts, as others use the machine too."""
BATCHES: Final = 400


def fastest(call: Callable[[], object]) -> float:
    """Microseconds of a call."""
    best = float("inf")
    for _ in range(BATCHES):
        begin = time.perf_counter()
        for _ in range(CALLS):
            call()
        best = min(best, time.perf_counter() - begin)
    return best / CALLS * 1e6


def main() -> int:
    random = Random(1)
    ledger = Ledger(ReputationConfig(), on_change=lambda peer: None)
    peers = [PeerId(bytes([0x12, 32]) + number.to_bytes(32, "big")) for number in range(PEERS)]
    for peer in peers:
        for _ in range(5):
            ledger.report(peer, 0.0, success=True, response_time=random.random())
    peer = peers[PEERS // 2]
    for _ in range(100):
        ledger.report(peer, 1.0, success=True, response_time=random.random())
    for name, call in (
        ("score", lambda: ledger.score(peer, 2.0)),
        ("quantile", lambda: ledger.quantile(peer, 0.95)),
        ("success, with its time", lambda: ledger.report(peer, 2.0, success=True, response_time=random.random())),
        ("failure", lambda: ledger.report(peer, 2.0, success=False)),
        ("message delivered", lambda: ledger.shared(peer, 2.0, given=1000)),
        ("violation", lambda: ledger.violation(peer, 2.0)),
    ):
        print(f"{name:24} {fastest(call):6.2f} µs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
