"""A small study of recordings, and its captioner, as a user makes them: for the tests of new recordings."""

import json
import shutil

import pandas

import finetune_llm
import inference
import prepare_data
import train_eeg_classifier
from raw_material import make_pictures, make_raw, save
from tiny import forget_hashes

SHORT = ("--max_new_tokens", "12", "--device", "cpu")


def pictures_with_captions(folder, classes):
    for picture in make_pictures(folder, classes).rglob("*.png"):
        picture.with_suffix(".txt").write_text(f"A {picture.parent.name} of kind {picture.stem[-1]}.\n")
    return folder


def prepare(source, output, *options):
    prepare_data.main([source, "--output", str(output), "--no_audit", *map(str, options)])
    return output


def train(data, folder, clip, llm, epochs=3):
    """The captioner of stages 1 to 3 on a data set folder."""
    train_eeg_classifier.main(["--eeg_dataset", str(data), "--clip_model", str(clip), "--output", str(folder / "encoder"),
                               "--num_epochs", str(epochs), "--batch_size", "16", "--device", "cpu"])
    finetune_llm.main(["--eeg_dataset", str(data), "--clip_model", str(clip), "--eeg_encoder_path", str(folder / "encoder"),
                       "--llm_backbone_name_or_path", str(llm), "--output", str(folder / "captioner"),
                       "--num_epochs_image", "3", "--num_epochs_eeg", "2", "--device", "cpu"])
    return folder / "captioner"


def made_up_study(folder, clip, llm):
    """(recording, data set folder, captioner) of 40 s of noise in which a cat or a dog is shown in turn."""
    recording = save(make_raw(), folder / "made_raw.fif")
    pictures = pictures_with_captions(folder / "pictures", ("cat", "dog"))
    data = prepare("raw", folder / "data", "--recordings", recording, "--pictures", pictures, "--resample", "100",
                   "--split_by", "time", "--split_gap", "0")
    return recording, data, train(data, folder, clip, llm)


def offline(model, data, file, *more):
    """Captions of all trials of a data set folder by inference.py."""
    inference.main(["--model_path", str(model), "--eeg_dataset", str(data), "--split", "all", "--dest", str(file), *SHORT,
                    *more])
    return read(file)


def read(file):
    return pandas.read_csv(file, keep_default_na=False, dtype=str, encoding_errors="surrogatepass")


def older(model, folder):
    """The model as an earlier version wrote it, without its preprocessing."""
    shutil.copytree(model, folder)
    file = folder / "eeg_encoder" / "config.json"
    content = {key: value for key, value in json.loads(file.read_text()).items() if key != "preprocessing"}
    file.write_text(json.dumps(content))
    forget_hashes(folder)
    return folder
