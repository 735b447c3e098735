"""What a text must be that goes to peers."""


def is_text(value: object) -> bool:
    """Whether it is a text that can be sent: half of a surrogate pair has no UTF-8."""
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value
