"""Cards that are kept: the newest of each node, for a time, and no more of them than there may be."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cortexnet.discovery.card_cache import CardCache
from cortexnet.identity.card import Card, CardDetails
from cortexnet.identity.keys import PrivateKey

KEYS = [PrivateKey.generate() for _ in range(4)]
CARDS = [[Card.issue(key, CardDetails(), sequence=number, issued=0, lifetime=1) for number in range(4)] for key in KEYS]
TWIN = Card.issue(KEYS[0], CardDetails(region="u"), sequence=1, issued=0, lifetime=1)
PEERS = [cards[0].peer_id for cards in CARDS]
FOREVER = 1e9


def test_an_older_card_loses_silently() -> None:
    cache = CardCache(2)
    assert cache.keep(CARDS[0][1], FOREVER, 0.0) is CARDS[0][1]
    assert cache.keep(CARDS[0][0], FOREVER, 0.0) is CARDS[0][1]
    assert cache.get(PEERS[0], 0.0) is CARDS[0][1]
    assert cache.keep(CARDS[0][2], FOREVER, 0.0) is CARDS[0][2]
    assert cache.get(PEERS[0], 0.0) is CARDS[0][2]


def test_of_two_cards_of_one_number_the_first_counts() -> None:
    cache = CardCache(2)
    cache.keep(CARDS[0][1], FOREVER, 0.0)
    assert cache.keep(TWIN, FOREVER, 0.0) is CARDS[0][1]


def test_the_same_card_again_counts_for_longer() -> None:
    cache = CardCache(2)
    cache.keep(CARDS[0][1], 10.0, 0.0)
    cache.keep(CARDS[0][1], 20.0, 5.0)
    assert cache.get(PEERS[0], 19.9) is CARDS[0][1]


def test_after_its_time_a_card_is_gone_and_an_older_one_may_come() -> None:
    cache = CardCache(2)
    cache.keep(CARDS[0][1], 10.0, 0.0)
    assert cache.get(PEERS[0], 9.9) is CARDS[0][1]
    assert cache.keep(CARDS[0][0], 20.0, 10.0) is CARDS[0][0]
    assert cache.get(PEERS[0], 20.0) is None
    assert len(cache) == 0


def test_the_one_used_longest_ago_goes_first() -> None:
    cache = CardCache(2)
    cache.keep(CARDS[0][0], FOREVER, 0.0)
    cache.keep(CARDS[1][0], FOREVER, 0.0)
    cache.get(PEERS[0], 0.0)
    cache.keep(CARDS[2][0], FOREVER, 0.0)
    assert [cache.get(peer, 0.0) is not None for peer in PEERS[:3]] == [True, False, True]


class CacheMachine(RuleBasedStateMachine):
    """Whatever comes: what is there is what a plain dict says, unless it had to go; and a number never falls while it is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = CardCache(3)
        self.now = 0.0
        self.model: dict[int, tuple[int, float]] = {}

    @rule(who=st.integers(0, 3), number=st.integers(0, 3), seconds=st.integers(1, 5))
    def keep(self, who: int, number: int, seconds: int) -> None:
        before, card = self.cache.get(PEERS[who], self.now), CARDS[who][number]
        counts = card if before is None or card.sequence >= before.sequence else before
        assert self.cache.keep(card, self.now + seconds, self.now) is counts
        assert self.cache.get(PEERS[who], self.now) is counts
        if counts is card:
            self.model[who] = number, self.now + seconds

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(who=st.integers(0, 3))
    def get(self, who: int) -> None:
        found = self.cache.get(PEERS[who], self.now)
        if found is None:
            self.model.pop(who, None)  # it had to go, or its time was over
        else:
            number, until = self.model[who]
            assert found is CARDS[who][number]
            assert self.now < until

    @invariant()
    def there_are_no_more_than_there_may_be(self) -> None:
        assert len(self.cache) <= 3


TestCache = CacheMachine.TestCase
