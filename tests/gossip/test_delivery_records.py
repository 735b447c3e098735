"""Records of deliveries: for a time, and so many."""

from cortexnet.gossip.delivery_records import UNKNOWN, VALID, DeliveryRecords


def test_a_record_stays_for_its_time_from_the_first_sight() -> None:
    records = DeliveryRecords(10, 120.0)
    record = records.of(b"1", 0.0)
    assert (record.status, record.peers) == (UNKNOWN, {})
    record.status = VALID
    assert records.of(b"1", 100.0) is record
    records.of(b"2", 100.0)
    records.expire(120.0)
    assert len(records) == 2
    records.expire(120.1)
    assert len(records) == 1
    assert records.of(b"1", 120.1).status == UNKNOWN
    records.expire(1000.0)
    assert len(records) == 0


def test_past_the_limit_the_oldest_is_forgotten() -> None:
    records = DeliveryRecords(2, 120.0)
    for number in (b"1", b"2", b"3"):
        records.of(number, 0.0).status = VALID
    assert len(records) == 2
    assert [records.of(number, 0.0).status for number in (b"3", b"1")] == [VALID, UNKNOWN]
