"""Asks the server of this container whether it is up: the image's health check.

``python -m age_gender.edge.health_check`` exits with 0 if it is, else with an error. It reads the
settings, since a configuration file may name the port.
"""

import urllib.request

from age_gender.settings import load_settings

TIMEOUT = 4.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - asked on the loopback


def main() -> None:
    """Ask once.

    Raises:
        OSError: there is no answer, or not 200.
    """
    settings = load_settings()
    host = EVERYWHERE.get(settings.host, settings.host)
    with urllib.request.urlopen(f"http://{host}:{settings.port}/health", timeout=TIMEOUT):
        pass


if __name__ == "__main__":
    main()
