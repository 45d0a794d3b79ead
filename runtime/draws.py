"""Random draws that depend on their place only, so that a resumed training draws as an uninterrupted one."""

import numpy as np


def seed_of(*place: int) -> int:
    """The seed of one draw, from the numbers that name its place, such as (seed, epoch, index)."""
    return int(np.random.SeedSequence(place).generate_state(1)[0])
