"""The key of the node that settings describe: where it is, and whether it is there yet."""

import os

from cortexnet.errors import StorageFailed
from cortexnet.identity.identity import Identity
from cortexnet.settings.settings import Settings
from cortexnet.storage.storage import make_private

KEY_NAME = "identity.key"
"""Of the key file in a state directory."""


def existing(settings: Settings) -> Identity | None:
    """The one whose key is kept in a file; None where it is not there, or not to be kept. Raises StorageFailed."""
    path = _path(settings)
    if not path:
        return None
    try:
        return Identity.load(path)
    except StorageFailed as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def made(settings: Settings) -> Identity:
    """A new one, kept where the settings want that; whoever has made it meanwhile goes before. Raises StorageFailed."""
    path, directory = _path(settings), settings.config.state_directory
    if not path:
        return Identity.generate(settings.key_type)
    if not settings.identity and directory is not None:
        make_private(os.fspath(directory))
    return Identity.load_or_create(path, settings.key_type)


def _path(settings: Settings) -> str:
    directory = settings.config.state_directory
    return settings.identity or ("" if directory is None else os.path.join(os.fspath(directory), KEY_NAME))
