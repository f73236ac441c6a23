"""A whole run from the files found to the exit status, whatever ends it."""

import sys

from age_gender.cli.gather import Gathered
from age_gender.cli.reports import OutputLost
from age_gender.cli.session import Session
from age_gender.cli.streams import Stopped, abandon_stdout
from age_gender.cli.text import plural, printable
from age_gender.errors import AgeGenderError

READER_GONE = 141
"""Exit status when the reader of standard output ends first, as shells give it for SIGPIPE."""


def predict_all(run: Session, found: Gathered, camera: int | None, *, streaming: bool) -> int:
    """Work through everything, and keep what was done whatever ends it.

    Args:
        run: does the work.
        found: the files, and what is to be said of others.
        camera: its number, if it is to be looked at instead.
        streaming: whether results come as soon as they are there, line by line.

    Returns:
        The exit status.

    Raises:
        ModelUnavailable: nothing can be done.
    """
    _tell_left_out(run, found)
    run.runtime.estimator()
    takes_long = len(found.entries) > 2 or any(entry.is_video for entry in found.entries)
    # Rows that run down a terminal show the progress themselves.
    bar = takes_long and not (streaming and sys.stdout.isatty())
    status = 0
    try:
        if camera is None:
            run.read_files(found.entries, show_progress=bar)
        else:
            run.read_camera(camera)
    except Stopped as stopped:
        run.note("stopped; what was done is kept")
        status = stopped.code
    except OutputLost as lost:
        status = _lost(run, lost)
    try:
        with run.interrupts.held():
            status = _finished(run, status)
            if run.pictures > 1 or run.failed:
                run.note(run.summary)
    except Stopped as stopped:  # while all was being finished, which it is now
        status = stopped.code
    return status or (1 if run.failed else 0)


def _finished(run: Session, status: int) -> int:
    """Write what waited for the end, and give the exit status."""
    try:
        run.write_sheet()
    except AgeGenderError as error:
        run.complain(str(run.wants.sheet), str(error))
    if status == READER_GONE:
        return status
    try:
        run.wants.report.close()
    except OutputLost as lost:
        return status or _lost(run, lost)
    return status


def _lost(run: Session, lost: OutputLost) -> int:
    """Give up standard output, and give the exit status for it."""
    abandon_stdout()
    if lost.reader_gone:
        return READER_GONE
    run.complain("standard output", str(lost))
    return 1


def _tell_left_out(run: Session, found: Gathered) -> None:
    for name, problem in found.problems:
        run.complain(name, problem)
    for folder in found.empty:
        run.note(f"no pictures in {printable(folder)}")
    for left_out, one, many in (
        (found.copies, "copy", "copies"),
        (found.videos, "video", "videos"),
    ):
        if left_out:
            run.note(f"left out {plural(len(left_out), one, many)}: name them to read them")
