"""What clients identify themselves with, as the settings list it."""

import json
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

DEFAULT_PASSWORD = "kubes"  # noqa: S105 - public on purpose; each start warns about it
MIN_KEY_LENGTH = 16
"""Characters of a key that no one guesses."""


class AuthKey(BaseModel):
    """What one client identifies itself with.

    Attributes:
        name: appears in the log.
        secret: a key for ``Authorization: Bearer``, or a user name and password with a colon
            between them.
    """

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    secret: Annotated[str, Field(min_length=1, repr=False)]

    @field_validator("secret")
    @classmethod
    def _both_of_a_pair(cls, secret: str) -> str:
        name, colon, password = secret.partition(":")
        if colon and not (name and password):
            raise ValueError("a pair needs a user name and a password, both of them not empty")
        return secret

    @property
    def is_pair(self) -> bool:
        """Whether it is a user name and password; a Bearer key cannot contain a colon."""
        return ":" in self.secret

    @property
    def is_weak(self) -> bool:
        """Whether it is the published default, or a key that could be guessed."""
        if self.is_pair:
            return self.secret.partition(":")[2] == DEFAULT_PASSWORD
        return len(self.secret) < MIN_KEY_LENGTH


def parsed_keys(given: Any) -> Any:
    """Bring keys as they may be written into the form that pydantic validates.

    Args:
        given: text, ``name=secret`` on lines or between commas or a JSON object; or an object.

    Raises:
        ValueError: the text is neither.
    """
    if isinstance(given, str):
        given = _of_text(given)
    if isinstance(given, dict):
        given = [{"name": name, "secret": secret} for name, secret in given.items()]
    return given


def _of_text(text: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError("this is not a JSON object of names and keys") from None
    entries = [entry.strip() for entry in re.split(r"[,\n]", text) if entry.strip()]
    pairs = [entry.partition("=") for entry in entries]
    if not all(separator for _, separator, _ in pairs):
        raise ValueError("write name=key, or name=user:password, separated by commas or lines")
    return [{"name": name.strip(), "secret": secret.strip()} for name, _, secret in pairs]
