"""Values as they stand in a TOML file."""

import json
import re

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def written(value: object, depth: int = 4) -> str:
    """The value in TOML's notation; what has none, as `str` has it. What lies deeper is left out: no setting does."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if not depth:
        return "…"
    if isinstance(value, list | tuple):
        return f"[{', '.join([written(item, depth - 1) for item in value])}]"
    if isinstance(value, dict):
        pairs = [f"{key(name)} = {written(item, depth - 1)}" for name, item in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    return str(value)


def key(*names: str) -> str:
    """A key that leads through tables of these names."""
    return ".".join(name if _BARE.fullmatch(name) else written(name) for name in names)
