"""Which LLM it is: an identity that two models of one shape do not share, without reading all of their weights."""

import hashlib
import os
from pathlib import Path

from runtime.runs import content_key

WHOLE = 16 << 20  # bytes: smaller files (configuration, tokenizer, chat template) are hashed as a whole
SAMPLES, SAMPLE = 32, 64 << 10  # of a larger file: this many pieces of so many bytes, evenly from its head to its end


def llm_identity(name: str | Path) -> str:
    """16 hex digits of a local folder's files (names, sizes, contents; large files by samples), or the Hub name and commit.

    A copy of a folder elsewhere has the same identity. Reading 14 GB of weights would take half a minute; the samples take
    less than a second. A Hub name whose configuration cannot be read stands for itself.
    """
    folder = Path(name)
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return content_key([[str(path.relative_to(folder)), path.stat().st_size, _sampled_hash(path)] for path in files])
    from transformers import AutoConfig

    try:
        return f"{name}@{AutoConfig.from_pretrained(name, trust_remote_code=False)._commit_hash}"
    except (OSError, ValueError):
        return str(name)


def _sampled_hash(path):
    size, digest = path.stat().st_size, hashlib.sha256()
    with open(path, "rb") as file:
        if size <= WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        for number in range(SAMPLES):
            file.seek((size - SAMPLE) * number // (SAMPLES - 1), os.SEEK_SET)
            digest.update(file.read(SAMPLE))
    return digest.hexdigest()
