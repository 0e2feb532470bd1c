"""The command ``lamppost``: parses, calls a job of `pipeline.runtime`, prints; imports a job when it is asked for."""

from pipeline.cli.app import main

__all__ = ["main"]
