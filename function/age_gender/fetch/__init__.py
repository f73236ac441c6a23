"""Pictures that a request names rather than contains: base64, ``http(s)://`` and ``gs://``."""
