"""Reproducible recipes of the detectors that ship with Fleetgate; needs OpenCV, torch and ultralytics."""
