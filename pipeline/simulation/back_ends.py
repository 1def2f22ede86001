"""The simulator that a scenario names."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline.simulation.backend import BackEnd, Parameter
from pipeline.simulation.choice import Choice
from pipeline.simulation.cut_in import CutIn
from pipeline.simulation.errors import ScenarioError
from pipeline.simulation.external import ExternalCommand
from pipeline.simulation.highway import HighwayEnv
from pipeline.simulation.reading_yaml import mapping, number, text
from pipeline.simulation.sumo import Sumo

KINDS: Final = ("cut_in", "sumo", "highway_env", "command")
DEFAULT_TIMEOUT_S: Final = 600.0
_CUT_INS: Final[Mapping[str, Callable[..., BackEnd]]] = {
    "cut_in": CutIn,
    "sumo": Sumo,
    "highway_env": HighwayEnv,
}


_CHOSEN: Final[Mapping[Choice, str]] = {
    Choice.IDM: "cut_in",
    Choice.SUMO: "sumo",
    Choice.HIGHWAY_ENV: "highway_env",
    Choice.EXTERNAL: "command",
}


def chosen(stated: Mapping[str, Any], choice: Choice | None) -> Mapping[str, Any]:
    """What ``back_end`` of a scenario states, or the simulator that a person chose in its place.

    Raises:
        ScenarioError: An external command was chosen and the scenario states none.
    """
    if choice is None or _CHOSEN[choice] == stated.get("kind"):
        return stated
    if choice is Choice.EXTERNAL:
        raise ScenarioError(f"back_end.kind (got {stated.get('kind')!r}, expected 'command': it says which)")
    step = {"step_s": stated["step_s"]} if "step_s" in stated else {}
    return {"kind": _CHOSEN[choice], **step}


def open_back_end(stated: Mapping[str, Any], *, run_command: bool) -> BackEnd:
    """Open what ``back_end`` of a scenario states.

    Args:
        stated: The entry.
        run_command: Whether the person allows a command that the scenario names; a file from elsewhere must not
            run programs by being read.

    Raises:
        ScenarioError: It states no simulator, or a command that was not allowed.
        BackEndError: The simulator cannot be set up.
    """
    kind = stated.get("kind")
    if kind in _CUT_INS:
        entry = mapping(stated, "back_end", {"kind", "step_s"}, set())
        made = _CUT_INS[str(kind)]
        return made(number(entry["step_s"], "back_end.step_s")) if "step_s" in entry else made()
    if kind == "command":
        if not run_command:
            raise ScenarioError("back_end names a command (give --run-command to let it run)")
        return _command(stated)
    raise ScenarioError(f"back_end.kind (got {kind!r}, expected one of {', '.join(KINDS)})")


def _command(stated: Mapping[str, Any]) -> ExternalCommand:
    required = {"kind", "command", "version", "parameters"}
    entry = mapping(stated, "back_end", required | {"timeout_s"}, required)
    command = entry["command"]
    if not isinstance(command, list) or not command or not all(isinstance(each, str) for each in command):
        raise ScenarioError(f"back_end.command (got {command!r}, expected a list of program and arguments)")
    timeout = number(entry.get("timeout_s", DEFAULT_TIMEOUT_S), "back_end.timeout_s")
    if not timeout > 0.0:
        raise ScenarioError(f"back_end.timeout_s (got {timeout:g}, expected more than 0 s)")
    parameters = mapping(entry["parameters"], "back_end.parameters", None, set())
    return ExternalCommand(
        command=tuple(command),
        version=text(entry["version"], "back_end.version"),
        timeout_s=timeout,
        parameters=tuple(_parameter(name, each) for name, each in parameters.items()),
    )


def _parameter(name: str, stated: Any) -> Parameter:
    where = f"back_end.parameters.{name}"
    entry = mapping(stated, where, {"unit", "bounds", "default"}, {"unit", "bounds"})
    bounds = entry["bounds"]
    if not isinstance(bounds, list) or len(bounds) != 2:  # noqa: PLR2004 - said in the message
        raise ScenarioError(f"{where}.bounds (got {bounds!r}, expected [least, greatest])")
    lowest, highest = (number(each, f"{where}.bounds") for each in bounds)
    return Parameter(
        name=name,
        unit=text(entry["unit"], f"{where}.unit"),
        default=number(entry["default"], f"{where}.default") if "default" in entry else None,
        lowest=lowest,
        highest=highest,
    )
