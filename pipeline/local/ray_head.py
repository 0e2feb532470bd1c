"""The process behind `LocalRay`: starts a Ray head, writes its address to a file, and stays until it is ended.

Run as ``python ray_head.py SPEC`` with a JSON object of the arguments of `ray.init` and the file to write.
"""

import json
import logging
import signal
import sys
from pathlib import Path

import ray


def main(specification: str) -> None:
    """Start the head and wait for a signal."""
    said = json.loads(specification)
    ray.init(**said["init"], log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    address_file = Path(said["address_file"])
    part = address_file.with_suffix(".part")
    part.write_text(ray.get_runtime_context().gcs_address)
    part.rename(address_file)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1])
