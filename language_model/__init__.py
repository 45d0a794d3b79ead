"""The language model: prompts, decoding, the shared beginning of prompts, memory, sharding."""

import logging
import warnings

import runtime  # noqa: F401  before transformers, which some files here import without anything of runtime

# What other packages say to programmers: bitsandbytes at each 8-bit product that it casts its input, and at its import that
# an optional kernel is not there; transformers that peft uses an old name.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
