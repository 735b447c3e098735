"""How property tests run, and how a failed run is repeated.

Profiles of hypothesis: `default` draws anew each time; `ci`, where CI is set, draws the same every time; `fuzz` is that of
`make fuzz`. `--hypothesis-profile` chooses another. Every run but CI's has a seed, which a failure prints.
"""

import os
import re
import secrets
import time
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# No deadlines: a machine that is busy is no fault of the code. A slow strategy is none either.
settings.register_profile("default", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None)
settings.register_profile("fuzz", settings.get_profile("default"), max_examples=1_000, stateful_step_count=100)
PROFILE = "ci" if os.environ.get("CI") else "default"
settings.load_profile(PROFILE)
FUZZ_UNTIL = float(os.environ.get("CORTEXNET_FUZZ_UNTIL", "inf"))  # see scripts/fuzz.py


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed before hypothesis looks for it; workers of pytest-xdist get the one of their master."""
    is_fixed = (config.option.hypothesis_profile or PROFILE) == "ci"
    if config.option.hypothesis_seed is None and not is_fixed:
        config.option.hypothesis_seed = str(secrets.randbits(32))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes ten minutes, unless it is asked for by its name."""
    if "soak" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("soak") is not None]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> str | None:
    """Names of tests are the same in every process, also where keys are drawn for them: pytest-xdist insists."""
    if isinstance(val, bytes) and len(val) > 16:
        return f"{len(val)} bytes"
    if isinstance(val, str) and "12D3KooW" in val:
        return re.sub(r"12D3KooW\w{44}", "PEER", val)
    return None


def pytest_runtest_setup() -> None:
    if time.time() > FUZZ_UNTIL:
        pytest.skip("the time is over")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say how to draw the same again, where drawing has to do with the test."""
    report = yield
    seed = item.config.option.hypothesis_seed
    if report.failed and seed is not None and item.get_closest_marker("hypothesis") is not None:
        report.sections.append(("Seed", f"repeat with --hypothesis-seed={seed}"))
    return report
