"""MplexConfig: the defaults agree with what is promised, and what cannot work is refused."""

import pytest

from cortexnet.errors import ConfigInvalid
from cortexnet.mux.mplex_config import MplexConfig


def test_the_defaults_are_what_is_documented() -> None:
    config = MplexConfig()
    assert (config.message_limit, config.unread_limit) == (1024 * 1024, 4 * 1024 * 1024)
    assert (config.max_inbound_streams, config.max_outbound_streams) == (1_280, 256)
    assert (config.frames_at_once, config.opening_weight, config.control_backlog) == (600, 24, 4_096)
    assert (config.linger, config.linger_silent) == (2.0, 60.0)
    assert (config.useless_frames, config.stray_data, config.late_data) == (1_000, 1024 * 1024, 128 * 1024 * 1024)


@pytest.mark.parametrize("field", ["message_limit", "unread_limit", "outbox_share", "frames_at_once"])
def test_nothing_works_with_a_share_of_nothing(field: str) -> None:
    with pytest.raises(ConfigInvalid, match=rf"mplex\.{field}"):
        MplexConfig(**{field: 0})
