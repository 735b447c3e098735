"""What texts and bytes must be that go to peers, and lists of texts in settings."""

from collections.abc import Iterable

from cortexnet.errors import ConfigInvalid, LocalError


def is_text(value: object) -> bool:
    """Whether it is a text that can be sent: half of a surrogate pair has no UTF-8."""
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value


def check_bytes(what: str, data: object) -> None:
    """Raises LocalError for a text and whatever else is not bytes."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise LocalError(f"{what} is bytes, not {type(data).__name__}{': encode the text' if isinstance(data, str) else ''}")


def list_of_texts(key: str, values: object) -> tuple[str, ...]:
    """The texts of a setting, such that nobody changes them later. Raises ConfigInvalid with this key."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigInvalid(f"must be a list of texts, but is {values!r}", key=key)
    texts = tuple(values)
    for text in texts:
        if not is_text(text):
            raise ConfigInvalid(f"must be a list of texts, but has {text!r}", key=key)
    return texts
