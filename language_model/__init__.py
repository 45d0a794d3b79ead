"""The language model: prompts, decoding, the shared beginning of prompts, memory, sharding."""
