"""The stages on a pretended device (pretended_stages.py)."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_every_stage_on_a_pretended_device():
    """In a process of its own: autograd counts the kinds of devices at its first backward pass, and once there, the device
    changes what torch takes for an accelerator."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/pretended_stages.py"],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, (done.stdout + done.stderr)[-5000:]
