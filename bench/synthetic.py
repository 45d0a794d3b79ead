"""Synthetic data, and language and CLIP models with random weights. Nothing is downloaded.

transformers is imported where it is used: all tests import this file for `write_pth`, and few of them need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.pickles import save_torch

import numpy as np
import torch

from eegdata.pictures import picture_path, write_captions
from eegdata.splits import read_splits, write_splits
from sources import drawings, mixtures

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

# From the config.json of the models named.
LLM_SHAPES = {
    "DeepSeek-7B": {  # deepseek-ai/deepseek-llm-7b-base
        "vocab_size": 102400, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 30,
        "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "bos_token_id": 100000, "eos_token_id": 100001, "tie_word_embeddings": False},
    "SmolLM2-135M": {  # HuggingFaceTB/SmolLM2-135M-Instruct
        "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
        "rope_theta": 100000.0, "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": True},
    "CPU proxy": {
        "vocab_size": 8192, "hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8,
        "num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 1024, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "bos_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": False},
    "tiny Llama": {
        "vocab_size": 2048, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 256, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "bos_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": False},
}
SMALL_CLIP = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
MAX_VOCABULARY = 2000  # of the tokenizer, which is trained on the captions and fits every shape
SIMULATED = {"source": "simulated"}  # `about` of a .pth file, so that claims call its EEG simulated
SFREQ, SAMPLES, CHANNELS = 250.0, 150, ("O1", "Oz", "O2", "PO3", "POz", "PO4", "P7", "P8")


def llm_config(shape: str, **more: object) -> PretrainedConfig:
    """The config of a Llama of a shape in LLM_SHAPES; more: other fields."""
    from transformers import AutoConfig

    return AutoConfig.for_model("llama", **LLM_SHAPES[shape], **more)


def make_llm(shape: str, folder: Path, device: str, texts: Iterable[str], **more: object) -> None:
    """Save a Llama with random bfloat16 weights, and a tokenizer trained on `texts`.

    shape: a key of LLM_SHAPES; device: where the weights are drawn; more: other fields of its config.
    """
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(llm_config(shape, **more), dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="4GB")
    make_tokenizer(texts).save_pretrained(folder)


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with a begin and an end token, trained on `texts`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=MAX_VOCABULARY, special_tokens=["<bos>", "<eos>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>")


def make_dataset(folder: Path, pictures: int) -> None:
    """Write eeg.pth, splits.pth and images/: drawn pictures of 4 classes with captions, and one trial for each.

    The EEG is white noise with a sine on one channel, which depends on the class: its values do not matter for speed and
    memory. A small CLIP with random weights is written to clip/ beside the folder.
    """
    folder, rng = Path(folder), np.random.default_rng(0)
    kinds = list(drawings.CLASSES[:4])
    scenes = {f"{scene.kind}_{i:04d}": scene for i, scene in enumerate(drawings.sample_scenes(pictures, classes=kinds))}
    write_drawings(folder / "images", scenes, 64)
    label = [kinds.index(scene.kind) for scene in scenes.values()]
    eeg = rng.standard_normal((pictures, len(CHANNELS), SAMPLES), dtype=np.float32)
    eeg[range(pictures), label] += 2 * np.sin(2 * np.pi * 10 * np.arange(SAMPLES, dtype=np.float32) / SFREQ)
    write_pth(folder / "eeg.pth", eeg=eeg, label=label, image=range(pictures), subject=[1] * pictures, images=list(scenes),
              class_ids=kinds, class_names=kinds, sfreq=SFREQ, ch_names=CHANNELS, about=SIMULATED)
    order = rng.permutation(pictures).tolist()
    fifth = pictures // 5
    write_splits(folder / "splits.pth", {"train": order[2 * fifth:], "val": order[:fifth], "test": order[fifth:2 * fifth]})
    make_clip(folder.parent / "clip", 64, patch_size=16, projection_dim=64, **SMALL_CLIP)


def write_drawings(folder: Path, scenes: dict[str, drawings.Scene | mixtures.Mixture], size: int) -> None:
    """Draw scenes, by name `<class>_<...>`, as `<class>/<name>.JPEG` of size x size pixels, with their captions."""
    for name, scene in scenes.items():
        path = picture_path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        (drawings if isinstance(scene, drawings.Scene) else mixtures).draw(scene, size).save(path, quality=92)
    write_captions(folder, {name: captions_of(scene) for name, scene in scenes.items()})


def captions_of(scene: drawings.Scene | mixtures.Mixture) -> tuple[str, ...]:
    """The captions of a drawing."""
    return (drawings.caption(scene),) if isinstance(scene, drawings.Scene) else mixtures.captions(scene)


def make_clip(folder: Path, image_size: int, **shape: int) -> None:
    """Save a CLIP with random weights for pictures of image_size pixels; shape: what differs from ViT-B/32."""
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    CLIPVisionModelWithProjection(CLIPVisionConfig(image_size=image_size, **shape)).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": image_size},
                          crop_size={"height": image_size, "width": image_size}).save_pretrained(folder)


def write_subset(splits_path: Path, destination: Path, **max_trials: int) -> dict[str, int]:
    """Write the first split of a file with at most `max_trials[part]` trials in each part, spread evenly over the part.

    Returns the number of trials in each part.
    """
    parts = read_splits(splits_path)[0]
    chosen = {}
    for part, number in max_trials.items():
        rows = np.linspace(0, len(parts[part]) - 1, min(number, len(parts[part]))).round().astype(int)
        chosen[part] = [parts[part][i] for i in rows]
    write_splits(destination, chosen)
    return {part: len(indices) for part, indices in chosen.items()}


def read_captions(image_dir: Path) -> list[str]:
    """All captions under a folder of pictures."""
    return [path.read_text(encoding="utf-8").strip() for path in sorted(Path(image_dir).rglob("*_caption.txt"))]


def write_pth(path: Path, *, eeg: np.ndarray, label: Sequence[int], image: Sequence[int], subject: Sequence[int],
              images: Sequence[str], class_ids: Sequence[str], class_names: Sequence[str], sfreq: float,
              ch_names: Sequence[str], session: Sequence[int] | None = None, units: str = "standardised",
              about: dict | None = None) -> None:
    """Write trials in the EEGCVPR40 layout with sampling rate, channel and class names.

    eeg: [trials, channels, samples]; label, image, subject, session: one number per trial; images: picture names
    `<class id>_<...>`; class_ids, class_names: by label; sfreq in Hz; about: how the file was made.
    """
    eeg = torch.as_tensor(np.asarray(eeg), dtype=torch.float32)
    records = [{"eeg": eeg[i].clone(), "image": int(image[i]), "label": int(label[i]), "subject": int(subject[i])}
               for i in range(len(eeg))]
    for i, record in enumerate(records if session is not None else ()):
        record["session"] = int(session[i])
    content = {"dataset": records, "labels": list(class_ids), "images": list(images), "sfreq": float(sfreq),
               "ch_names": list(ch_names), "class_names": list(class_names), "units": units, "about": about or {}}
    save_torch(path, content)
