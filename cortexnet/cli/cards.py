"""Cards as they are shown: for people and for programs."""

import base64
from datetime import UTC, datetime

import click

from cortexnet.cli.output import Json
from cortexnet.cli.text import escaped, peer_text, table
from cortexnet.errors import ConfigInvalid
from cortexnet.identity.card import Card, check_name, check_region


def to_capability(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A callback of click: the text, if a capability can be called so."""
    try:
        check_name(value, "")
    except ConfigInvalid as error:
        raise click.BadParameter(escaped(str(error)), ctx, param) from None
    return value


def to_region(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A callback of click: the text, if it is a geohash that a card can have."""
    try:
        check_region(value, "")
    except ConfigInvalid as error:
        raise click.BadParameter(escaped(str(error)), ctx, param) from None
    return value


def members_of(card: Card) -> dict[str, Json]:
    """What programs get of a card."""
    return {
        "peer_id": str(card.peer_id),
        "sequence": card.sequence,
        "issued": card.issued,
        "expires": card.expires,
        "capabilities": list(card.details.capabilities),
        "region": card.details.region,
        "metadata": dict(card.details.metadata),
        "limits": dict(card.details.limits),
        "envelope": base64.b64encode(card.envelope).decode(),
    }


def lines_of(card: Card) -> list[str]:
    """What people get of a card."""
    details = card.details
    rows = [
        ("peer id", str(card.peer_id)),
        ("capabilities", peer_text(", ".join(details.capabilities))),
        ("region", peer_text(details.region)),
        ("issued", _date(card.issued)),
        ("expires", _date(card.expires)),
    ]
    rows += [("metadata", f"{peer_text(name)}: {peer_text(text)}") for name, text in details.metadata.items()]
    rows += [("limits", f"{name}: {limit}") for name, limit in details.limits.items()]
    return table(rows)


def _date(seconds: int) -> str:
    """A card that is not of this time is not shown, so it has one."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
