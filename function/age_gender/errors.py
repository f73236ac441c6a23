"""What can be wrong with an input or with the service, in words that the caller can act on.

Nothing here knows HTTP: ``problems`` gives each ``code`` its status. Messages reach clients
word for word, so they name what to change and never contain paths, traces or secrets.
"""


class AgeGenderError(Exception):
    """Base of all expected failures.

    Attributes:
        code: stable, machine-readable name of the failure, kebab-case.
        message: one sentence for people, safe to show to a client.
        retry_after: seconds after which a retry makes sense, if that is known.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, retry_after: int | None = None):
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        if code is not None:
            self.code = code


class ImageError(AgeGenderError):
    """The bytes are not a picture that we read (not one at all, damaged, or another format)."""

    code = "unsupported-picture"


class ImageTooLarge(AgeGenderError):
    """The picture has more bytes or pixels than the limits allow."""

    code = "picture-too-large"

    @classmethod
    def of_bytes(cls, size: int, most: int) -> "ImageTooLarge":
        """The error of a file whose size in bytes is known."""
        return cls(f"the picture has {size:,} bytes; at most {most:,} are accepted")

    @classmethod
    def of_pixels(cls, width: int, height: int, most: int) -> "ImageTooLarge":
        """The error of a picture that is ``width`` x ``height`` pixels large."""
        return cls(
            f"the picture has {width} x {height} pixels; "
            f"at most {most:,} are accepted: send a smaller one"
        )


class SourceError(AgeGenderError):
    """The picture could not be got from where the caller said it is."""

    code = "fetch-failed"


class SourceTimeout(SourceError):
    """The picture's server was too slow."""

    code = "fetch-timeout"


class Busy(AgeGenderError):
    """All workers are busy and the queue is full."""

    code = "busy"


class ClientGone(AgeGenderError):
    """Whoever asked has hung up: nobody will read the answer."""

    code = "client-gone"


class ModelUnavailable(AgeGenderError):
    """A model file is missing or damaged, or its engine is not installed."""

    code = "model-unavailable"


class SettingsError(AgeGenderError):
    """A setting has a value that cannot work; the service does not start."""

    code = "settings"
