"""Who may connect, as the settings say it: rules that a later run, or a later reading of the file, takes back."""

from typing import final

from cortexnet.admission.access_rules import parse_subject
from cortexnet.admission.gater import Gater
from cortexnet.settings.settings import Settings

_DENY, _ALLOW_ONLY = "setting deny", "setting allow_only"  # the reasons of these rules, by which they are known again


@final
class Rules:
    """The rules of a gater that come from settings."""

    def __init__(self, gater: Gater) -> None:
        self._gater = gater

    def set(self, settings: Settings) -> None:
        """Add those of these settings."""
        for subject in settings.deny:
            self._gater.deny(subject, _DENY)
        for subject in settings.allow_only:
            self._gater.allow(subject, _ALLOW_ONLY)
        if settings.allow_only:
            self._gater.allow_only = True

    def drop_earlier(self, settings: Settings) -> None:
        """Those that other settings have left, in the state directory too, hold no more. Open connections are looked at again."""
        for reason, texts in ((_DENY, settings.deny), (_ALLOW_ONLY, settings.allow_only)):
            subjects = [parse_subject(text) for text in texts]
            for rule in self._gater.rules:
                if rule.reason == reason and rule.subject not in subjects:
                    self._gater.access.remove(rule.kind, rule.subject)
        self._gater.allow_only = bool(settings.allow_only)
