"""The command line: the console script ``age-gender`` and ``local_runner.py`` start here."""

import signal
import sys


def run() -> None:
    """Start the command line, and end the process.

    Until the command begins, Ctrl-C ends the process without a trace: the imports take a moment,
    and nothing can be lost yet.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.SIG_IGN:  # as jobs in the background have it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from age_gender.cli.main import app
        from age_gender.cli.streams import open_missing
    except ModuleNotFoundError as error:
        sys.exit(
            f"error: {sys.executable} has no package {error.name}: run `make models` once, then "
            ".venv/bin/python local_runner.py; or install the package with `pip install .`"
        )
    open_missing()
    signal.signal(signal.SIGINT, handler)
    app()
