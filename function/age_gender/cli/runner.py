"""Runs ``predict`` over the collected inputs and decides the exit status."""

import sys

from age_gender.cli.inputs import Inputs
from age_gender.cli.reports import STDOUT, OutputLost
from age_gender.cli.session import Session
from age_gender.cli.streams import Stopped, abandon_stdout
from age_gender.cli.text import plural, printable
from age_gender.cli.warm_up import start_engine
from age_gender.errors import AgeGenderError

READER_GONE = 141
"""Exit status when the reader of standard output closes it, as shells report SIGPIPE."""


def run_all(session: Session, inputs: Inputs, camera: int | None, *, streaming: bool) -> int:
    """Process every input; however the run ends, keep what is done.

    Args:
        session: processes the frames.
        inputs: the files, and what to report about the rest.
        camera: number of the camera to read instead, if any.
        streaming: whether results are printed line by line, at once.

    Returns:
        The exit status.

    Raises:
        ModelUnavailable: a model cannot be loaded.
    """
    _report_skipped(session, inputs)
    start_engine(session.runtime)
    takes_long = len(inputs.files) > 2 or any(file.is_video for file in inputs.files)
    # Lines that scroll in a terminal show the progress already.
    show_progress = takes_long and not (streaming and sys.stdout.isatty())
    status = 0
    try:
        if camera is None:
            session.read_files(inputs.files, show_progress=show_progress)
        else:
            session.read_camera(camera)
    except Stopped as stopped:
        session.note("stopped; finished results are kept")
        status = stopped.code
    except OutputLost as lost:
        status = _handle_lost(session, lost)
    try:
        with session.interrupts.held():
            status = _finish(session, status)
            if session.frames > 1 or session.failed:
                session.note(session.summary)
    except Stopped as stopped:  # raised once everything is finished
        status = stopped.code
    return status or (1 if session.failed else 0)


def _finish(session: Session, status: int) -> int:
    """Write what was kept back, and return the exit status."""
    try:
        session.write_sheet()
    except AgeGenderError as error:
        session.report_failure(str(session.options.sheet), str(error))
    if status == READER_GONE:
        return status
    try:
        session.options.report.close()
    except OutputLost as lost:
        return status or _handle_lost(session, lost)
    except AgeGenderError as error:
        session.report_failure("the results", str(error))
    return status


def _handle_lost(session: Session, lost: OutputLost) -> int:
    """Give up on the results, and return the exit status for it."""
    if lost.place == STDOUT:
        abandon_stdout()
    if lost.reader_gone:
        return READER_GONE
    session.report_failure(lost.place, str(lost))
    return 1


def _report_skipped(session: Session, inputs: Inputs) -> None:
    for name, problem in inputs.problems:
        session.report_failure(name, problem)
    for name, kind in inputs.others:
        session.note(f"{printable(name)}: not a picture but {kind}")
    for folder in inputs.empty:
        session.note(f"no pictures in {printable(folder)}")
    for skipped, noun, nouns in (
        (len(inputs.copies), "copy", "copies"),
        (len(inputs.videos), "video", "videos"),
        (inputs.hidden, "hidden file or folder", "hidden files or folders"),
    ):
        if skipped:
            session.note(f"skipped {plural(skipped, noun, nouns)}: name them to read them")
