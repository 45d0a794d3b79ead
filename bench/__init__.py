"""Measurements of the scripts: speed, memory, scale, faults, and false claims on simulated studies."""

import runtime  # noqa: F401  (before torch and torchvision, which some of these files import)
