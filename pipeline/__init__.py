"""Lamppost: an open testbed for live-facial-recognition camera networks, on people who do not exist."""

__version__ = "0.1.0"
