"""What was asked for by IWANT: held once for all who wait, bounded for all together."""

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.gossip.answers import AnswerQueue, Answers


def body(number: int, size: int = 100) -> bytes:
    return bytes([number]) * size


def test_a_message_counts_once_however_many_wait_for_it() -> None:
    answers = Answers(250)
    queues = [AnswerQueue(answers, 10) for _ in range(5)]
    one, other, third = body(1), body(2), body(3)
    assert all(queue.offer(each) for queue in queues for each in (one, other))
    assert answers.size == 200
    assert not queues[0].offer(third)
    assert [queue.popleft() for queue in queues] == [one] * 5
    assert answers.size == 100
    assert queues[0].offer(third)
    assert [len(queue) for queue in queues] == [2, 1, 1, 1, 1]
    assert sum(queue.lost for queue in queues) == 0


def test_one_peer_waits_for_so_many_and_no_more() -> None:
    queue = AnswerQueue(Answers(1_000), 2)
    assert [queue.offer(body(number)) for number in range(3)] == [True, True, False]
    assert (queue[0], queue.clear(), queue.clear(), queue.size) == (body(0), 2, 0, 0)


def test_who_lets_most_wait_goes_without_where_there_is_no_more_room() -> None:
    answers = Answers(300)
    greedy, modest = AnswerQueue(answers, 10), AnswerQueue(answers, 10)
    held = [body(number) for number in range(5)]
    assert [greedy.offer(each) for each in held[:4]] == [True, True, True, False]
    assert modest.offer(held[4])
    assert (len(greedy), greedy.lost, len(modest), answers.size) == (0, 3, 1, 100)
    assert not modest.offer(body(9, 201))
    assert not AnswerQueue(Answers(10), 1).offer(body(9, 11))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.booleans()), max_size=60))
def test_all_that_is_counted_in_is_counted_out(steps: list[tuple[int, int, bool]]) -> None:
    answers = Answers(350)
    queues = [AnswerQueue(answers, 4) for _ in range(3)]
    bodies = [body(number) for number in range(6)]
    for which, number, is_taken in steps:
        queue = queues[which]
        if is_taken and len(queue):
            queue.popleft()
        else:
            queue.offer(bodies[number])
        waiting = {each[index] for each in queues for index in range(len(each))}
        assert answers.size == 100 * len(waiting) <= 350
    for queue in queues:
        queue.clear()
    assert answers.size == 0
