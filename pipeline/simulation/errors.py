"""Errors of scenarios, fits and simulations."""

from pipeline.errors import PipelineError


class SimulationError(PipelineError):
    """Base of this package's errors."""

    reason = "simulation_error"


class ScenarioError(SimulationError):
    """A scenario says something that cannot be run; the message names the place in it."""

    reason = "scenario_invalid"


class TracksError(SimulationError):
    """A table of tracks or of events cannot be used: columns, types, NaN, or nothing in it."""

    reason = "tracks_unusable"


class FitError(SimulationError):
    """Observations cannot carry a distribution: too few, constant, or outside the stated bounds."""

    reason = "fit_impossible"


class BackEndError(SimulationError):
    """A simulator failed, answered in another form, or is not installed."""

    reason = "back_end_failed"


class RunFolderError(SimulationError):
    """A folder of runs belongs to another scenario or is damaged."""

    reason = "run_folder_unusable"


class SettingsError(SimulationError):
    """Settings of a method contradict one another or the scenario."""

    reason = "settings_impossible"


class OutputError(SimulationError):
    """A file of results cannot be written."""

    reason = "output_unwritable"


class SealedTableError(SimulationError):
    """A folder of sealed tables holds another table, was altered, or cannot be used."""

    reason = "table_unusable"


class ReleaseEndedError(SimulationError):
    """The gate no longer lets a release be read: its grant ended or it was revoked. What was sealed is wiped."""

    reason = "release_ended"
