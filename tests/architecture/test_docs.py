"""What the documents say about the code is so."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.discovery.card_config import CardConfig
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.discovery.mdns_config import MdnsConfig
from cortexnet.gossip.config import GossipConfig
from cortexnet.kad.config import KadConfig
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.store_config import StoreConfig
from cortexnet.reputation.config import ReputationConfig
from tests.architecture.source_tree import PACKAGE, ROOT

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]
LIMITS = {field.name: field.default for field in fields(Limits)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []


def test_the_table_of_limits_has_all_that_are_in_force_with_their_defaults() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", text, re.MULTILINE))
    assert rows == {name: written(default) for name, default in LIMITS.items() if name in read_names()}


def test_the_limits_of_gossip_and_the_dht_are_what_the_document_says() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z.]+)\.(\w+)` \| (\S+) \|", text, re.MULTILINE)
    owners = {
        "card": CardConfig,
        "discovery": DiscoveryConfig,
        "gossip": GossipConfig,
        "kad": KadConfig,
        "kad.dht": DhtConfig,
        "kad.store": StoreConfig,
        "mdns": MdnsConfig,
        "reputation": ReputationConfig,
    }
    defaults = {(where, each.name): each.default for where, owner in owners.items() for each in fields(owner)}
    assert {where for where, _, _ in rows} == set(owners)
    assert [(where, name, said) for where, name, said in rows if said != written(defaults[where, name])] == []


def test_every_limit_is_in_force() -> None:
    """A setting that nobody reads promises what nothing keeps."""
    assert [name for name in LIMITS if name not in read_names()] == []


def written(default: object) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default)


def read_names() -> set[str]:
    """Whatever the package reads off some object, but for the module of the limits."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / PACKAGE).rglob("*.py") if path.name != "limits.py"]
    return set(re.findall(r"\.(\w+)", "\n".join(sources)))
