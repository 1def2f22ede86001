"""Which simulator a person asks for; apart, so that commands name them without loading any."""

from enum import StrEnum


class Choice(StrEnum):
    """Simulators as commands name them."""

    IDM = "idm"
    SUMO = "sumo"
    HIGHWAY_ENV = "highway-env"
    EXTERNAL = "external"
