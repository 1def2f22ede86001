"""Any simulator as a command: rows of parameters on its standard input, rows of figures on its standard output.

Both are CSV with a header. In come the parameters by name; out come ``min_gap``, ``min_ttc`` and ``impact_speed``,
one row for each row, in order. The command must answer by the row alone: same row, same answer.
"""

import csv
import io
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np

from pipeline.simulation.backend import MAX_TTC_S, Floats, Outcomes, Parameter
from pipeline.simulation.errors import BackEndError

COLUMNS: Final = ("min_gap", "min_ttc", "impact_speed")
_SHOWN: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalCommand:
    """A command as a back end.

    Attributes:
        command: Program and arguments; no shell reads them.
        parameters: What it takes.
        version: What its makers call it; stored answers of another version are not taken for its own.
        timeout_s: Longest time for one batch.
    """

    command: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    version: str
    timeout_s: float

    @property
    def digest(self) -> str:
        """The command, its version and its parameters."""
        stated = repr((self.command, self.version, [each.name for each in self.parameters]))
        return f"command;sha256={sha256(stated.encode()).hexdigest()}"

    def run(self, values: Floats) -> Outcomes:
        """Run the command once for the whole table.

        Raises:
            BackEndError: It cannot be started, ends with an error or too late, or answers in another form.
        """
        question = io.StringIO()
        writer = csv.writer(question, lineterminator="\n")
        writer.writerow(each.name for each in self.parameters)
        writer.writerows([repr(float(value)) for value in row] for row in values)
        return _outcomes(self._answer(question.getvalue()), len(values))

    def _answer(self, question: str) -> str:
        try:
            # A session of its own, so that what the command started ends with it.
            process = subprocess.Popen(  # noqa: S603 - the operator's own command, allowed by name
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
        except OSError as error:
            raise BackEndError(f"{self.command[0]} cannot be started: {error.strerror}") from error
        with process:
            try:
                answer, complaint = process.communicate(question, timeout=self.timeout_s)
            except subprocess.TimeoutExpired as error:
                raise BackEndError(f"{self.command[0]} took longer than {self.timeout_s:g} s") from error
            except UnicodeDecodeError as error:
                raise BackEndError(f"{self.command[0]} answered what is no UTF-8: {error.reason}") from error
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode != 0:
            raise BackEndError(
                f"{self.command[0]} ended with status {process.returncode}: {complaint.strip()[-_SHOWN:]}"
            )
        return answer


def _outcomes(answer: str, count: int) -> Outcomes:
    rows = list(csv.reader(io.StringIO(answer)))
    header = rows[0] if rows else []
    if sorted(header) != sorted(COLUMNS):
        raise BackEndError(
            f"answer's columns (got {','.join(header)[:_SHOWN]}, expected {','.join(COLUMNS)})"
        )
    if len(rows) - 1 != count:
        raise BackEndError(f"answer's rows (got {len(rows) - 1}, expected {count})")
    by_name = {name: _column(rows[1:], header.index(name), name) for name in COLUMNS}
    return Outcomes(
        min_gap=by_name["min_gap"],
        min_ttc=np.minimum(by_name["min_ttc"], MAX_TTC_S),
        impact_speed=by_name["impact_speed"],
    )


def _column(rows: Sequence[Sequence[str]], place: int, name: str) -> Floats:
    values = np.empty(len(rows))
    for i, row in enumerate(rows):
        try:
            values[i] = float(row[place])
        except (ValueError, IndexError) as error:
            got = ",".join(row)[:_SHOWN]
            raise BackEndError(f"answer's row {i + 1} (got {got!r}, expected {name} in it)") from error
    wrong = np.flatnonzero(np.isnan(values))
    if wrong.size:
        raise BackEndError(f"answer's row {wrong[0] + 1}: {name} (got nan, expected a number)")
    return values
