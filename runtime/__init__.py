"""What every script needs to run: options, run files, processes, checkpoints, errors.

Importing it sets what must hold before torch and torchvision are imported; it imports neither.
"""

import os

from runtime import cuda_wheels, quiet

# Idle OpenMP threads spin only briefly before they sleep. Beside another busy process on a small machine (Colab's 2 cores)
# the default makes small kernels ten times slower; alone this costs nothing.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
cuda_wheels.install()
quiet.set_up()
