"""YamuxConfig: the defaults agree with what is promised, and what cannot work is refused."""

import pytest

from cortexnet.errors import ConfigInvalid
from cortexnet.mux.window import INITIAL_WINDOW
from cortexnet.mux.yamux_config import YamuxConfig


def test_the_defaults_are_what_is_documented() -> None:
    config = YamuxConfig()
    assert config.max_window == 16 * 1024 * 1024
    assert config.ack_backlog == config.max_outbound_streams == 256
    assert config.accept_rate == 20_000
    assert config.frames_at_once == 600
    assert (config.ping_interval, config.silence_limit) == (30.0, 40.0)
    assert (config.linger, config.linger_silent) == (2.0, 60.0)
    assert (config.pong_backlog, config.useless_frames, config.stray_data) == (32, 1_000, 1024 * 1024)


def test_a_window_is_never_smaller_than_the_one_every_stream_starts_with() -> None:
    YamuxConfig(max_window=INITIAL_WINDOW)
    with pytest.raises(ConfigInvalid, match=r"yamux\.max_window"):
        YamuxConfig(max_window=INITIAL_WINDOW - 1)


def test_a_window_fits_into_the_32_bits_of_its_field() -> None:
    YamuxConfig(max_window=0xFFFF_FFFF)
    with pytest.raises(ConfigInvalid, match=r"yamux\.max_window"):
        YamuxConfig(max_window=0x1_0000_0000)


@pytest.mark.parametrize("field", ["outbox_share", "frames_at_once", "accept_rate", "pong_backlog"])
def test_nothing_works_with_a_share_of_nothing(field: str) -> None:
    with pytest.raises(ConfigInvalid, match=rf"yamux\.{field}"):
        YamuxConfig(**{field: 0})
