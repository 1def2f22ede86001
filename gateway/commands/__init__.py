"""The commands of ``fleetgate``."""
