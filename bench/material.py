"""What the benches measure on where nothing is to be downloaded: language models with random weights and small data."""

from pathlib import Path

import numpy as np

from eegdata.pictures import write_captions
from eegdata.splits import read_splits, write_splits
from sources import drawings

# Shapes from the config.json of the models named.
SHAPES = {
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
LARGEST_VOCABULARY = 2000  # of the tokenizer, which is made from the captions and fits every shape
SFREQ, SAMPLES, CHANNELS = 250.0, 150, ("O1", "Oz", "O2", "PO3", "POz", "PO4", "P7", "P8")


def llm_config(shape, **more):
    from transformers import AutoConfig

    return AutoConfig.for_model("llama", **SHAPES[shape], **more)


def make_llm(shape, folder, device, texts, **more):
    """Save a Llama of a shape in SHAPES with random bfloat16 weights, made on `device`, and a tokenizer of `texts`.

    more: other fields of its config.
    """
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(llm_config(shape, **more), dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="4GB")
    make_tokenizer(texts).save_pretrained(folder)


def make_tokenizer(texts):
    """A byte-level BPE tokenizer with a begin and an end token, trained on texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=LARGEST_VOCABULARY, special_tokens=["<bos>", "<eos>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>")


def make_data(folder, pictures):
    """Write eeg.pth, splits.pth, images/: drawn pictures of 4 classes with captions, a trial of made-up EEG for each.

    The EEG is white noise with the class as a sine on one channel: for speed and memory its values do not matter. A
    small CLIP with random weights lies beside the folder in clip/.
    """
    folder, rng = Path(folder), np.random.default_rng(0)
    kinds = list(drawings.CLASSES[:4])
    scenes = drawings.sample_scenes(pictures, classes=kinds)
    names = [f"{scene.kind}_{i:04d}" for i, scene in enumerate(scenes)]
    for name, scene in zip(names, scenes, strict=True):
        path = folder / "images" / scene.kind / f"{name}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawings.draw(scene, 64).save(path, quality=92)
    write_captions(folder / "images", {n: drawings.caption(s) for n, s in zip(names, scenes, strict=True)})
    label = [kinds.index(scene.kind) for scene in scenes]
    eeg = rng.standard_normal((pictures, len(CHANNELS), SAMPLES), dtype=np.float32)
    eeg[range(pictures), label] += 2 * np.sin(2 * np.pi * 10 * np.arange(SAMPLES, dtype=np.float32) / SFREQ)
    write_pth(folder / "eeg.pth", eeg=eeg, label=label, image=range(pictures), subject=[1] * pictures, images=names,
              class_ids=kinds, class_names=kinds, sfreq=SFREQ, ch_names=CHANNELS)
    order = rng.permutation(pictures).tolist()
    fifth = pictures // 5
    write_splits(folder / "splits.pth", {"train": order[2 * fifth:], "val": order[:fifth], "test": order[fifth:2 * fifth]})
    make_clip(folder.parent / "clip", 64, patch_size=16, projection_dim=64, **SMALL_CLIP)


def make_clip(folder, image_size, **shape):
    """Save a CLIP for pictures of image_size pixels with random weights; shape: what differs from ViT-B/32's."""
    import torch
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    CLIPVisionModelWithProjection(CLIPVisionConfig(image_size=image_size, **shape)).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": image_size},
                          crop_size={"height": image_size, "width": image_size}).save_pretrained(folder)


def write_subset(splits_path, destination, **most):
    """Write the first split with at most `most[part]` trials in each part, spread over the part; returns their numbers."""
    parts = read_splits(splits_path)[0]
    chosen = {}
    for part, number in most.items():
        rows = np.linspace(0, len(parts[part]) - 1, min(number, len(parts[part]))).round().astype(int)
        chosen[part] = [parts[part][i] for i in rows]
    write_splits(destination, chosen)
    return {part: len(indices) for part, indices in chosen.items()}


def read_captions(image_dir):
    """All captions under a folder of pictures."""
    return [path.read_text(encoding="utf-8").strip() for path in sorted(Path(image_dir).rglob("*_caption.txt"))]


def write_pth(path, *, eeg, label, image, subject, images, class_ids, class_names, sfreq, ch_names, session=None,
              units="standardised", about=None):
    """Write trials in the EEGCVPR40 layout with sampling rate, channel and class names.

    eeg: [trials, channels, samples] float32; label, image, subject, session: [trials] ints; images: picture names
    `<class id>_<...>`; class_ids, class_names: by label; sfreq in Hz; about: how the file was made.
    """
    from runtime.pickles import save_torch

    import torch

    eeg = torch.as_tensor(np.asarray(eeg), dtype=torch.float32)
    records = [{"eeg": eeg[i].clone(), "image": int(image[i]), "label": int(label[i]), "subject": int(subject[i])}
               for i in range(len(eeg))]
    for i, record in enumerate(records if session is not None else ()):
        record["session"] = int(session[i])
    content = {"dataset": records, "labels": list(class_ids), "images": list(images), "sfreq": float(sfreq),
               "ch_names": list(ch_names), "class_names": list(class_names), "units": units, "about": about or {}}
    save_torch(path, content)
