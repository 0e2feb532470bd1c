"""The processes that render a training's pictures, which a killed command must not leave behind."""

import subprocess
import sys

import psutil
import pytest

PATCHES = """
from multiprocessing import active_children
from pipeline.vision.training.patches import render_patches
render_patches(range(10_000), 0, 1, lambda *_: print(*(child.pid for child in active_children()), flush=True))
"""
SCENES = """
from multiprocessing import active_children
from pipeline.synthetic.seeds import Population
from pipeline.vision.training.scenes import render_scenes
said = lambda *_: print(*(child.pid for child in active_children()), flush=True)
render_scenes(Population.TRAINING, 1_000, 0, 1, said)
"""


@pytest.mark.parametrize("script", [PATCHES, SCENES], ids=["people", "streets"])
def test_a_killed_training_leaves_no_process_that_renders(script: str) -> None:
    """Not even one that waits for its next task."""
    command = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    renderers: list[psutil.Process] = []
    try:
        assert command.stdout is not None
        renderers = [psutil.Process(int(pid)) for pid in command.stdout.readline().split()]
        assert len(renderers) == 1
        command.kill()
        _, alive = psutil.wait_procs(renderers, timeout=60)
        assert not alive
    finally:
        command.kill()
        for each in renderers:
            if each.is_running():
                each.kill()
        command.communicate()  # last: a renderer that is left holds the pipe open
