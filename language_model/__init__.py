"""The language model: prompts, decoding, the shared beginning of prompts, memory, sharding."""

import runtime  # noqa: F401  before transformers, which some files here import without anything of runtime
