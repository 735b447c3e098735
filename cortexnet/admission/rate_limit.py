"""How often something may happen: token buckets, alone and one for each key, the time being handed in.

A bucket holds up to `burst` tokens and gains `rate` of them a second; what happens takes one.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar, final

from cortexnet.admission.limits import Limits
from cortexnet.admission.subnet import Subnets, subnets_of
from cortexnet.errors import LimitExceeded

Key = TypeVar("Key", bound=Hashable)


@final
class TokenBucket:
    """One bucket, full at first. `now` may be any monotonic clock; a step back in it is taken for standing still."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated = now

    def tokens(self, now: float) -> float:
        """How many there are."""
        if now > self._updated:
            self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
            self._updated = now
        return self._tokens

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take `amount` tokens; False, and none taken, where there are fewer."""
        if self.tokens(now) < amount:
            return False
        self._tokens -= amount
        return True

    def delay(self, now: float, amount: float = 1.0) -> float:
        """Seconds until `amount` tokens are there; infinite where they never will be."""
        missing = amount - self.tokens(now)
        if missing <= 0:
            return 0.0
        return missing / self._rate if amount <= self._burst and self._rate > 0 else float("inf")

    def is_full(self, now: float) -> bool:
        """Whether it is as good as new."""
        return self.tokens(now) >= self._burst


@final
class KeyedRateLimit(Generic[Key]):
    """A bucket for each key, at most `size_limit` of them.

    Full buckets are forgotten as they come up for it, which loses nothing; above the limit the least recently used one goes.
    """

    def __init__(self, rate: float, burst: float, *, size_limit: int) -> None:
        self.rate = rate
        self.burst = burst
        self._size_limit = size_limit
        self._buckets: OrderedDict[Key, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def has_token(self, key: Key, now: float) -> bool:
        """Whether `take` would succeed."""
        bucket = self._buckets.get(key)
        return self.burst >= 1 if bucket is None else bucket.tokens(now) >= 1

    def take(self, key: Key, now: float) -> bool:
        """Take a token of this key; False where there is none."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self.rate, self.burst, now)
        else:
            self._buckets.move_to_end(key)
        taken = bucket.take(now)
        self._evict(now)
        return taken

    def _evict(self, now: float) -> None:
        # At most two a call keeps the cost of one constant, and yet the table shrinks faster than it grows.
        for _ in range(2):
            oldest = next(iter(self._buckets), None)
            if oldest is None or not (len(self._buckets) > self._size_limit or self._buckets[oldest].is_full(now)):
                return
            del self._buckets[oldest]


@final
class ConnectRateLimit:
    """How often one address, or its IPv6 site, may open connections. An IPv4 /24 has no rate: carriers put thousands there."""

    def __init__(self, limits: Limits) -> None:
        size = limits.rate_table_size
        self._exempt_loopback = not limits.limit_loopback
        self._hosts: KeyedRateLimit[str] = KeyedRateLimit(
            limits.connect_rate_per_address, limits.connect_burst_per_address, size_limit=size
        )
        self._sites: KeyedRateLimit[str] = KeyedRateLimit(
            limits.connect_rate_per_ipv6_48, limits.connect_burst_per_ipv6_48, size_limit=size
        )

    def admit(self, ip: str | None, now: float) -> None:
        """Count a connection from `ip`, before any handshake. Raises LimitExceeded, and counts nothing, where it comes too early.

        None, and loopback unless `limit_loopback` is set, are always admitted.
        """
        if ip is None:
            return
        subnets = subnets_of(ip)
        if subnets.is_loopback and self._exempt_loopback:
            return
        if not self._hosts.has_token(subnets.host, now):
            raise _too_often(subnets.host, self._hosts, "connect_burst_per_address")
        if subnets.is_ipv6 and not self._sites.take(subnets.network, now):
            raise _too_often(subnets.network, self._sites, "connect_burst_per_ipv6_48")
        self._hosts.take(subnets.host, now)


@final
class StreamRateLimit:
    """How often one address may open streams of one protocol."""

    def __init__(self, limits: Limits) -> None:
        self._limit: KeyedRateLimit[tuple[str, str]] = KeyedRateLimit(
            limits.stream_rate_per_protocol, limits.stream_burst_per_protocol, size_limit=limits.rate_table_size
        )

    def admit(self, protocol: str, subnets: Subnets, now: float) -> None:
        """Count a stream. Raises LimitExceeded, and counts nothing, where it comes too early."""
        if not self._limit.take((protocol, subnets.host), now):
            limit = self._limit
            scope = f"streams of {protocol} from {subnets.host} at once, then {limit.rate:g} a second"
            burst = int(limit.burst)
            raise LimitExceeded(scope, limit=burst, value=burst + 1, setting="limits.stream_burst_per_protocol")


def _too_often(subnet: str, limit: KeyedRateLimit[str], setting: str) -> LimitExceeded:
    burst = int(limit.burst)
    scope = f"new connections from {subnet} at once, then {limit.rate:g} a second"
    return LimitExceeded(scope, limit=burst, value=burst + 1, setting=f"limits.{setting}")
