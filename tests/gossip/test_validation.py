"""Between arrival and verdict: signatures in batches beside the loop, validators of all kinds, and bounds on both."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cortexnet.errors import LocalError
from cortexnet.gossip.actions import Validate
from cortexnet.gossip.config import GossipConfig
from cortexnet.gossip.delivery import Accept, GossipMessage, Ignore, Reject
from cortexnet.gossip.message import Message
from cortexnet.gossip.validation import SIGNATURES_AHEAD, Validation, Validator
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId
from cortexnet.transport.scope import Scope

SENDER = PeerId.parse("12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq")


class Course:
    """Notes how it goes; what is verified goes on to the validators."""

    validation: Validation

    def __init__(self) -> None:
        self.verdicts: list[tuple[bytes, str]] = []
        self.batches: list[int] = []
        self.paces = 0

    def verified(self, tokens: Sequence[tuple[Validate, Any]]) -> None:
        self.batches.append(len(tokens))
        for token, reason in tokens:
            if reason is None:
                self.validation.validate(token)
            else:
                self.verdicts.append((token.id, str(reason)))

    def decided(self, token: Validate, verdict: Any) -> None:
        self.verdicts.append((token.id, verdict.name))

    def throttled(self, token: Validate) -> None:
        self.verdicts.append((token.id, "throttled"))

    def message_of(self, token: Validate) -> GossipMessage:
        return GossipMessage(token.message.topic, token.message.data, None, None, token.id, token.sender)

    def pace_changed(self) -> None:
        self.paces += 1


def token(number: int, topic: str = "t", sender: PeerId = SENDER) -> Validate:
    return Validate(Message.build(topic, b"data"), number.to_bytes(2, "big"), sender, {})


@asynccontextmanager
async def validation(
    verify: Callable[[Message], Any] = lambda _: None, **settings: float
) -> AsyncIterator[tuple[Validation, Course]]:
    course, scope = Course(), Scope()
    course.validation = Validation(GossipConfig(**settings), verify, course, scope)  # type: ignore[arg-type]
    try:
        yield course.validation, course
    finally:
        course.validation.close()
        await scope.close()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# --- signatures


async def test_one_signature_is_checked_at_once_and_several_beside_the_loop() -> None:
    threads: list[str] = []

    def verify(message: Message) -> None:
        threads.append(threading.current_thread().name)

    async with validation(verify) as (validating, course):
        validating.flush()
        validating.add(token(0))
        assert validating.pending == 1
        validating.flush()
        assert course.batches == [1]
        for number in range(1, 4):
            validating.add(token(number))
        validating.flush()
        validating.flush()
        assert (course.batches, validating.pending) == ([1], 3)
        await asyncio.sleep(0.001)
        assert course.batches == [1, 3]
        assert threads[0] == "MainThread"
        assert {name.split("_")[0] for name in threads[1:]} == {"gossip"}
    assert [id for id, _ in course.verdicts] == [token(number).id for number in range(4)]


async def test_batches_are_bounded_and_reading_waits_while_too_many_are_ahead() -> None:
    async with validation() as (validating, course):
        for number in range(SIGNATURES_AHEAD):
            assert not validating.is_ahead
            validating.add(token(number))
        assert validating.is_ahead
        validating.flush()
        assert validating.is_ahead
        await asyncio.sleep(0.001)
        assert not validating.is_ahead
        assert sum(course.batches) == SIGNATURES_AHEAD
        assert max(course.batches) <= 64
        assert course.paces == 1


async def test_where_the_thread_is_slow_the_loop_checks_a_few_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexnet.gossip.validation._SLOW", -1.0)
    async with validation() as (validating, course):
        for number in range(SIGNATURES_AHEAD):
            validating.add(token(number))
        validating.flush()
        await asyncio.sleep(0.001)
        assert course.batches == [64, *[8] * 56]
        assert course.paces == 1
        await asyncio.sleep(1)
        for number in range(8):
            validating.add(token(number))
        validating.flush()
        assert validating.pending == 8  # the thread is tried again
        await asyncio.sleep(0.001)


async def test_a_message_that_was_announced_is_checked_beside_the_loop_even_alone() -> None:
    large = Validate(Message.build("topic", bytes(GossipConfig().idontwant_size)), b"large", SENDER, {})
    async with validation() as (validating, course):
        validating.add(large)
        validating.flush()
        assert (course.batches, validating.pending) == ([], 1)
        await asyncio.sleep(0.001)
        assert course.batches == [1]


async def test_a_signature_that_does_not_hold_is_told_with_its_reason() -> None:
    async with validation(lambda _: "invalid signature") as (validating, course):
        validating.add(token(1))
        validating.flush()
    assert course.verdicts == [(token(1).id, "invalid signature")]


async def test_closing_forgets_what_waits() -> None:
    async with validation() as (validating, course):
        for number in range(200):
            validating.add(token(number))
        validating.flush()
        validating.close()
        assert validating.pending == 64
    assert course.verdicts == []


async def test_what_comes_after_the_end_is_left_unchecked() -> None:
    async with validation() as (validating, course):
        validating.close()
        await validating._scope.close()
        for number in range(100):
            validating.add(token(number))
            validating.flush()
    assert course.batches == []


async def test_nobody_is_asked_after_the_end_about_what_was_in_the_thread() -> None:
    async with validation() as (validating, course):
        validating.set_validator("t", hanging)
        for number in range(3):
            validating.add(token(number))
        validating.flush()
        validating.close()
        await asyncio.sleep(0.001)
        assert (course.batches, course.verdicts, validating.failed) == ([3], [], 0)
        assert len(validating._scope) == 0


async def test_closing_lets_reading_go_on() -> None:
    async with validation() as (validating, course):
        for number in range(SIGNATURES_AHEAD + 1):
            validating.add(token(number))
        validating.close()
        assert (validating.is_ahead, course.paces) == (False, 1)


# --- validators


async def test_a_topic_has_one_validator_and_others_have_none() -> None:
    async with validation() as (validating, course):
        validating.set_validator("t", lambda message: Reject if message.data else Accept)
        with pytest.raises(LocalError, match="has a validator already"):
            validating.set_validator("t", lambda _: Accept)
        validating.validate(token(1))
        validating.validate(token(2, "other"))
        validating.remove_validator("t")
        with pytest.raises(LocalError, match="has no validator"):
            validating.remove_validator("t")
        validating.validate(token(3))
    assert [verdict for _, verdict in course.verdicts] == ["REJECT", "ACCEPT", "ACCEPT"]


async def test_a_validator_may_take_its_time() -> None:
    release = asyncio.Event()

    async def validator(message: GossipMessage) -> Any:
        await release.wait()
        return Ignore

    async with validation() as (validating, course):
        validating.set_validator("t", validator)
        validating.validate(token(1))
        await settle()
        assert (course.verdicts, validating.pending) == ([], 1)
        release.set()
        await settle()
        assert (course.verdicts, validating.pending) == ([(token(1).id, "IGNORE")], 0)
        assert validating.failed == 0


async def hanging(_: GossipMessage) -> Any:
    await asyncio.get_running_loop().create_future()


async def test_one_that_takes_too_long_has_ignored_the_message(caplog: pytest.LogCaptureFixture) -> None:
    async with validation(validation_timeout=30.0) as (validating, course):
        validating.set_validator("t", hanging)
        validating.validate(token(1))
        await asyncio.sleep(29)
        assert course.verdicts == []
        await asyncio.sleep(2)
        assert course.verdicts == [(token(1).id, "IGNORE")]
        assert (validating.failed, validating.pending) == (1, 0)
    assert "a verdict took longer than 30 s" in caplog.text


@pytest.mark.parametrize(("limits", "taken"), [({"topic_validation_limit": 2}, 2), ({"validation_limit": 3}, 3)])
async def test_what_is_too_much_is_dropped_and_counted(limits: dict[str, int], taken: int) -> None:
    async with validation(**limits) as (validating, course):
        validating.set_validator("t", hanging)
        for number in range(5):
            validating.validate(token(number))
        assert course.verdicts == [(token(number).id, "throttled") for number in range(taken, 5)]
        assert validating.throttled == 5 - taken
        future = asyncio.get_running_loop().create_future()
        validating.remove_validator("t")
        validating.set_validator("t", lambda _: future)
        validating.validate(token(9))
        assert validating.throttled == 6 - taken


@pytest.mark.parametrize("limit", ["topic_validation_limit", "validation_limit"])
async def test_one_sender_of_what_takes_long_leaves_places_to_others(limit: str) -> None:
    release, other = asyncio.Event(), Identity.generate().peer_id

    async def validator(_: GossipMessage) -> Any:
        await release.wait()
        return Accept

    async with validation(**{limit: 100}) as (validating, course):
        validating.set_validator("t", validator)
        for number in range(200):
            validating.validate(token(number))
        assert validating.pending == 80
        for number in range(200, 220):
            validating.validate(token(number, sender=other))
        assert course.verdicts == [(token(number).id, "throttled") for number in [*range(80, 200), *range(216, 220)]]
        release.set()
        await settle()
        assert validating.pending == 0
        validating.validate(token(300))
        assert validating.pending == 1


@pytest.mark.parametrize("limit", ["topic_validation_limit", "validation_limit"])
async def test_who_has_no_place_gets_the_newest_of_the_greediest(limit: str) -> None:
    senders = [Identity.generate().peer_id for _ in range(6)]
    begun: list[bytes] = []
    cancelled: list[bytes] = []

    async def validator(message: GossipMessage) -> Any:
        begun.append(message.id)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(message.id)
            raise

    async with validation(**{limit: 100}) as (validating, course):
        validating.set_validator("t", validator)
        for index, sender in enumerate(senders[:5]):  # 80, 16, and four each
            for number in range(100):
                validating.validate(token(100 * index + number, sender=sender))
            await settle()
        assert (validating.pending, len(begun), cancelled) == (100, 108, [token(79 - number).id for number in range(8)])
        throttled = len(course.verdicts)
        validating.validate(token(1000, sender=senders[5]))
        await settle()
        assert (validating.pending, begun[-1], cancelled[-1]) == (100, token(1000).id, token(71).id)
        assert course.verdicts[throttled:] == [(token(71).id, "throttled")]
        assert validating.throttled == len(course.verdicts)
        assert validating.failed == 0
    await settle()
    assert len(cancelled) == len(begun)


async def test_what_waits_for_its_signature_needs_a_place_too() -> None:
    async with validation(validation_limit=10) as (validating, course):
        validating.set_validator("t", hanging)
        for number in range(9):
            validating.add(token(number, "other"))
        for number in range(20, 22):
            validating.validate(token(number))
        assert (course.verdicts, validating.pending) == ([(token(21).id, "throttled")], 10)


def raising(_: GossipMessage) -> Any:
    raise ValueError("a bug")


async def raising_later(_: GossipMessage) -> Any:
    await asyncio.sleep(0)
    raise ValueError("a bug")


async def cancelling(_: GossipMessage) -> Any:
    raise asyncio.CancelledError


async def saying_yes(_: GossipMessage) -> Any:
    return "yes"


@pytest.mark.parametrize(
    ("validator", "says"),
    [
        (raising, "a bug"),
        (raising_later, "a bug"),
        (cancelling, "cancelled itself"),
        (saying_yes, "not with 'yes'"),
        (lambda _: True, "not with True"),
    ],
)
async def test_a_bug_in_a_validator_costs_the_message(validator: Validator, says: str, caplog: pytest.LogCaptureFixture) -> None:
    async with validation() as (validating, course):
        validating.set_validator("t", validator)
        validating.validate(token(1))
        await settle()
        assert course.verdicts == [(token(1).id, "IGNORE")]
        assert (validating.failed, validating.pending) == (1, 0)
    assert says in caplog.text
    assert caplog.records[-1].levelno == logging.WARNING


async def test_the_end_cancels_validators() -> None:
    ended = []

    async def validator(_: GossipMessage) -> Any:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(True)

    async with validation() as (validating, course):
        validating.set_validator("t", validator)
        validating.validate(token(1))
        await settle()
    await settle()
    assert ended == [True]
    assert course.verdicts == []
