"""Containers of message streams (MCAP, ROS bags): read as they are, written as MCAP, re-scanned."""
