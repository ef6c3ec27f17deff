"""The one family of errors that a user is meant to read.

Belongs here: the base class that every room's own error derives from. Whoever raises one writes a
single sentence that says what is wrong and what to do about it; the command line prints that sentence
and exits with `exit_code`, Dagster shows it as the description of the failed step. Anything else that
is raised is a bug of ours and keeps its traceback.
"""


class BioiconsError(Exception):
    """A failure that the user can do something about; `str(error)` is one clear sentence."""

    exit_code = 2
