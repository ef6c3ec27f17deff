"""What a look at this machine finds, as every check says it.

Belongs here: that record. Does not belong here: the checks (doctor, doctor_store).
"""

from dataclasses import asdict, dataclass
from typing import Literal

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One check. state: `ok`; `note`, where something optional is missing; `problem`, where something would
    fail that a user expects to work. found: what is there. meaning: what follows. advice: what to do, ""
    where nothing is to be done."""

    check: str
    state: State
    found: str
    meaning: str
    advice: str = ""

    def as_row(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)
