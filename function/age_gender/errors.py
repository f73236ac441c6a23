"""Expected failures, each with a code for programs and a message for people.

HTTP statuses are assigned in ``edge.problems``. Clients see the messages unchanged, so these say
what to change and never contain paths, traces or secrets.
"""


class AgeGenderError(Exception):
    """Base of all expected failures.

    Attributes:
        code: stable, machine-readable name of the failure, kebab-case.
        message: one sentence for people, safe to show to a client.
        retry_after: seconds to wait before a retry, if known.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, retry_after: int | None = None):
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        if code is not None:
            self.code = code


class ImageError(AgeGenderError):
    """The bytes are not an image, or a damaged one, or its format is not supported."""

    code = "unsupported-picture"


class NotAnImage(ImageError):
    """The bytes are something else, such as a text or a video."""


class ImageTooLarge(AgeGenderError):
    """The image has more bytes or pixels than allowed."""

    code = "picture-too-large"

    @classmethod
    def of_bytes(cls, size: int, limit: int) -> "ImageTooLarge":
        """Make the error for a file of ``size`` bytes."""
        return cls(f"the picture has {size:,} bytes; at most {limit:,} are accepted")

    @classmethod
    def of_pixels(cls, width: int, height: int, limit: int) -> "ImageTooLarge":
        """Make the error for an image of ``width`` x ``height`` pixels."""
        return cls(
            f"the picture has {width} x {height} pixels; "
            f"at most {limit:,} are accepted: make it smaller"
        )


class SourceError(AgeGenderError):
    """The picture could not be fetched from its address."""

    code = "fetch-failed"


class SourceTimeout(SourceError):
    """The picture's server did not respond in time."""

    code = "fetch-timeout"


class Busy(AgeGenderError):
    """The service is at capacity."""

    code = "busy"


class ClientGone(AgeGenderError):
    """The client has disconnected."""

    code = "client-gone"


class ModelUnavailable(AgeGenderError):
    """A model file is missing or damaged, or its engine is not installed."""

    code = "model-unavailable"


class SettingsError(AgeGenderError):
    """A setting is invalid; the service does not start."""

    code = "settings"
