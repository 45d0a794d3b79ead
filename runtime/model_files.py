"""What identifies a pretrained model (LLM, CLIP) that is no part of a checkpoint of ours: the content of its files.

Two models of one architecture have the same file names, sizes and headers, so the weights themselves must be looked at.
Reading all of 14 GB takes half a minute. Of a large file, samples of each tensor are read instead.
"""

import hashlib
import struct
from collections.abc import Iterable
from pathlib import Path

from runtime.runs import content_key, file_hash, read_json
from runtime.text_files import parse_json

SMALL_FILES = ("config.json", "generation_config.json", "adapter_config.json", "open_clip_config.json",
               "preprocessor_config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json",
               "added_tokens.json", "*.model", "chat_template*", "additional_chat_templates/*")
WEIGHTS = ("model.safetensors", "open_clip_model.safetensors", "adapter_model.safetensors", "pytorch_model.bin",
           "open_clip_pytorch_model.bin", "adapter_model.bin")  # in the order in which the loaders look for them
PARTS = {"name", "commit", "files", "weights"}  # of an identity
OF_A_COPY = ("_name_or_path", "transformers_version")  # of config.json: where and by what a copy was saved
WHOLE = 64 << 20  # bytes; a file up to this size is read whole
SAMPLE = 4096  # bytes that are read at each place of a larger file
SPREAD = 1024  # places that are spread evenly over it, besides those of its tensors


def model_identity(name: str | Path, base: str | Path | None = None) -> dict:
    """What identifies a model, given as a local folder or a Hub id: {"name", "commit", "files", "weights"}.

    files, weights: {file name: hash of its content} of the small files (config, tokenizer, chat template) and of the
    weights; of a Hub model, those that lie in the local cache. commit: of the snapshot in the cache, None for a folder. A
    folder's name is the last part of its path. base: of an adapter, where its base LLM lies if not where its config says.
    `differing_files` compares two identities.
    """
    folder, commit = Path(name), None
    if not folder.is_dir():
        folder = _snapshot(str(name))
        commit = folder and folder.name
    identity = {"name": str(name) if commit or folder is None else folder.resolve().name, "commit": commit, "files": {},
                "weights": {}}
    if folder is None:
        return identity
    small = sorted({path for pattern in SMALL_FILES for path in folder.glob(pattern) if path.is_file()})
    identity["files"] = {path.relative_to(folder).as_posix(): small_hash(path) for path in small}
    weights = _weights(folder)
    if all(path.is_file() for path in weights):  # a snapshot that is not whole tells nothing
        identity["weights"] = {path.name: _sampled_hash(path) for path in weights}
    whole = any(not name.startswith("adapter_") for name in identity["weights"])
    if "adapter_config.json" in identity["files"] and not whole:  # the base lies elsewhere
        named = read_json(folder / "adapter_config.json").get("base_model_name_or_path") or "unknown"
        base = model_identity(base or named)
        for part in ("files", "weights"):
            identity[part] |= {f"base/{file}": digest for file, digest in base[part].items()}
    return identity


def model_key(identity: dict) -> str:
    """A short key of an identity, equal for copies of a folder. That of a Hub model is of its commit: it must not depend on
    how much of the model was fetched already."""
    if identity["commit"] or not (identity["files"] or identity["weights"]):
        return content_key([identity["name"], identity["commit"]])
    return content_key([identity["files"], identity["weights"]])


def differing_files(one: object, other: object) -> list[str]:
    """Names of the files in which two identities differ; [] where they agree in all that both tell.

    What only one of them tells is no difference: an older record has no identity, and a cache may lack files. But weights
    in other files are other weights. Of weights that are not at hand, the commit decides.
    """
    if not all(isinstance(each, dict) and each.keys() >= PARTS for each in (one, other)):
        return []
    differing = [file for file, digest in one["files"].items() if other["files"].get(file, digest) != digest]
    ours, theirs = one["weights"], other["weights"]
    if ours and theirs:
        differing += [file for file in sorted(ours.keys() | theirs.keys()) if ours.get(file) != theirs.get(file)]
    elif one["commit"] and other["commit"] and (one["name"], one["commit"]) != (other["name"], other["commit"]):
        differing.append("the commit on the Hub")
    return differing


def _snapshot(name):
    """The folder of a Hub model in the local cache, None without one."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for file in ("config.json", "open_clip_config.json", "adapter_config.json"):
        try:
            found = try_to_load_from_cache(name, file)
        except HFValidationError:  # no Hub id, such as open_clip:NAME/PRETRAINED
            return None
        if isinstance(found, str):
            return Path(found).parent
    return None


def has_weights(folder: str | Path) -> bool:
    """Whether a folder holds weights of a model."""
    return bool(_weights(Path(folder)))


def _weights(folder):
    """The files of weights that a loader would take."""
    for name in WEIGHTS:
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            return [folder / name]
        if index.is_file():
            shards = read_json(index).get("weight_map")
            names = {Path(str(shard)).name for shard in (shards.values() if isinstance(shards, dict) else ())}
            return [folder / name for name in sorted(names)]
    return sorted(path for path in folder.glob("*") if path.suffix in (".safetensors", ".bin", ".pt"))


def small_hash(path: Path, without: Iterable[str] = ()) -> str:
    """Hash of a small file; of a config.json, of what it says of the model. without: further keys that do not count."""
    if path.name == "config.json":
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
        except ValueError:
            content = None  # whoever loads it complains
        if isinstance(content, dict):
            return content_key({key: value for key, value in content.items() if key not in (*OF_A_COPY, *without)})
    return file_hash(path)[:16]


def _sampled_hash(path):
    """Hash of a file's size, and of its content or samples of it."""
    size = path.stat().st_size
    if size <= WHOLE:
        return file_hash(path)[:16]
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:
        places = {size * i // SPREAD for i in range(SPREAD)} | {size - SAMPLE}
        places |= set(_tensor_places(file, size, digest) if path.suffix == ".safetensors" else ())
        for place in sorted(places):
            file.seek(place)
            digest.update(file.read(SAMPLE))
    return digest.hexdigest()[:16]


def _tensor_places(file, size, digest):
    """Start and middle of each tensor of a .safetensors file, whose header goes into the digest."""
    length = struct.unpack("<Q", file.read(8))[0]
    if length > size:
        return  # no header: damaged
    header = file.read(length)
    digest.update(header)
    try:
        entries = [entry["data_offsets"] for key, entry in parse_json(header).items() if key != "__metadata__"]
    except (ValueError, TypeError, KeyError, AttributeError):
        return
    for begin, end in entries:
        yield from (8 + length + begin, 8 + length + (begin + end) // 2)
