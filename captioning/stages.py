"""What stages 2 and 3 are trained on: embeddings of pictures or of EEG, class names and captions."""

from dataclasses import replace
from pathlib import Path

from runtime import processes
from runtime.errors import InputError
from runtime.model_files import model_key
from runtime.options import Options

import torch
from torch import nn
from transformers import PretrainedConfig

from captioning.routes import Route
from captioning.training import Stage
from datautils import image_embeddings
from eegdata.data_paths import DataPaths
from eegdata.pictures import read_captions
from eegdata.trials import Trials
from encoders import encode
from encoders.clip import check_same_clip, clip_identity
from encoders.embedded_texts import EmbeddedTexts
from encoders.out_of_fold import out_of_fold
from encoders.picture_settings import PictureSettings
from encoders.targets import mean_and_scale
from encoders.temperature import class_probabilities
from encoders.vocabulary import Vocabulary, present, words_in, words_of_captions
from encoders.words import MOST_WORDS, words_of

LEAST = 10  # validation trials whose embeddings' spread says anything


def part_captions(image_dir: str, names: dict[str, list[str]], which: str) -> dict[str, dict[str, str | list[str]]]:
    """For the train and val part, by picture name: the first caption, or with `which` "all" a list of them to train on."""
    captions = {part: {name: read_captions(image_dir, name) for name in names[part]} for part in names}
    for part in names if which == "first" else ("val",):
        captions[part] = {name: texts[0] for name, texts in captions[part].items()}
    return captions


def picture_rows(args: Options, settings: PictureSettings, paths: DataPaths, names: dict, size: int,
                 device: str) -> dict[str, torch.Tensor]:
    """Embeddings [n, size] of the pictures of the train and val part."""
    clip_model = settings.clip_model
    embeddings = {part: image_embeddings(names[part], paths.image_dir, clip_model, paths.picture, device,
                                         settings.cache_dir) for part in names}
    if embeddings["train"].shape[1] != size:
        raise InputError(f"--clip_model {clip_model}: embeddings of size {embeddings['train'].shape[1]}, but the "
                         f"encoder was trained towards size {size}; name the same CLIP model")
    check_same_clip(clip_model, args.eeg_encoder_path, "encoder")
    return embeddings


def make_route(args: Options, clip_model: str, paths: DataPaths, encoder: nn.Module, trials: Trials, split: dict,
               names: dict, pictures: dict[str, torch.Tensor], device: str) -> Route:
    """The route that --label, --vocabulary and --exemplars ask for. names, pictures: of the train and val part, and their
    embeddings."""
    vocabulary = similar = of_pictures = None
    if args.exemplars:
        if len(names["train"]) <= args.exemplars:
            raise InputError(f"--exemplars {args.exemplars}: the training part has {len(names['train'])} pictures, and "
                             "each needs as many others; give a smaller number")
        similar = EmbeddedTexts([read_captions(paths.image_dir, name)[0] for name in names["train"]], pictures["train"], {})
    if args.label == "words":
        words = words_in(args.vocabulary) if args.vocabulary else words_of_captions(
            _captions(paths.image_dir, names["train"]))
        plain = Vocabulary.of(words, pictures["train"], clip_model, device)
        embeddings, _ = _encoded(encoder, trials, split["val"], device)
        vocabulary = plain.calibrated(embeddings, present(words, _captions(paths.image_dir, trials.names(split["val"]))))
        of_pictures = plain.calibrated(pictures["val"], present(words, _captions(paths.image_dir, names["val"])))
        print(f"{len(words)} words may stand in prompts; {MOST_WORDS} at most do, each if it is more likely than not")
    return Route(args.label, vocabulary, args.exemplars, similar, of_pictures)


def _encoded(encoder, trials, rows, device):
    """Embeddings [n, E] and logits [n, K] of the trials `rows`, which several processes share."""
    return processes.shared(lambda own: encode(encoder, trials.eeg, own, device=device), rows)


def _captions(image_dir, names):
    """All captions of each picture, as one text."""
    texts = {name: " ".join(read_captions(image_dir, name)) for name in set(names)}
    return [texts[name] for name in names]


def image_stage(args: Options, paths: DataPaths, stage: Stage, names: dict, class_of: dict, captions: dict, route: Route,
                pictures: dict[str, torch.Tensor]) -> list:
    """Stage 2, from picture embeddings; returns the trainer's log. class_of: class name by picture name."""
    number = {name: i for i, name in enumerate(names["train"])}  # validation may show some of them, too
    return stage.reuse_or_run(
        pictures, {part: route.labels(pictures[part], [class_of[name] for name in names[part]], "image") for part in names},
        {part: route.exemplars(pictures[part], [number.get(name, -1) for name in names[part]]) for part in names},
        {part: [captions[part][name] for name in names[part]] for part in names}, args.num_epochs_image,
        model_key(clip_identity(stage.model.config.clip_model)))


def _calibrated(route, embeddings, image_dir, names):
    """The route with its words' probabilities fitted to other embeddings, of these pictures."""
    if route.label != "words":
        return route
    truth = present(route.vocabulary.words, _captions(image_dir, names))
    return replace(route, vocabulary=route.vocabulary.calibrated(embeddings, truth))


def eeg_stage(args: Options, paths: DataPaths, stage: Stage, trials: Trials, split: dict, captions: dict, route: Route,
              pictures: dict[str, torch.Tensor]) -> list:
    """Stage 3, from EEG embeddings; returns the trainer's log."""
    embeddings, labels, exemplars = {}, {}, {}
    encoder, names = stage.model.encoder, {part: trials.names(split[part]) for part in captions}
    for part in ("train", "val"):
        embeddings[part], logits = _encoded(encoder, trials, split[part], stage.device)
        told, shown, own = route, embeddings[part], None
        if part == "train" and args.exemplars:
            number = {name: i for i, name in enumerate(sorted(set(names[part])))}
            own = [number[name] for name in names[part]]
        if part == "train" and args.train_label == "out_of_fold":
            shown, logits = _out_of_fold(args, trials, split[part], pictures[part], encoder.config, logits)
            told = _calibrated(route, shown, paths.image_dir, names[part])
        predicted, _ = words_of(class_probabilities(logits.double(), encoder.config), encoder.config, trials.class_names)
        read = told.labels(shown, predicted)
        kind = args.train_label if part == "train" else "predicted"  # validated as inference will read it
        if kind in ("true", "mixed"):
            truth = _true_words(route, paths.image_dir, names[part]) if route.label == "words" else route.named(
                trials.words(split[part]))
            coin = torch.rand(len(truth), generator=torch.Generator().manual_seed(args.seed)) < 0.5
            read = truth if kind == "true" else [one if true else other for true, one, other in
                                                 zip(coin.tolist(), truth, read, strict=True)]
        labels[part], exemplars[part] = read, told.exemplars(shown, own)
    return stage.run("eeg", embeddings, labels, exemplars,
                     {part: [captions[part][name] for name in names[part]] for part in captions},
                     args.num_epochs_eeg, Path(args.output) / "checkpoints" / "stage3",
                     unseen_statistics(embeddings, encoder.config))


def set_statistics(stage: Stage, trials: Trials, split: dict, pictures: dict[str, torch.Tensor], log: dict) -> None:
    """Give the projector the statistics of the embeddings that no stage trained it on: captions are written of them all the
    same, and candidates are ranked by their mean.

    log: of the stages that ran, {"stage2": ..., "stage3": ...}. Pictures that were not embedded get the statistics of the
    EEG, which is the nearest thing that is known of them.
    """
    projector, encoder = stage.model.projector, stage.model.encoder
    if "stage3" not in log:
        embeddings = {part: _encoded(encoder, trials, split[part], stage.device)[0] for part in ("train", "val")}
        projector.set_statistics("eeg", *unseen_statistics(embeddings, encoder.config))
    if "stage2" not in log:
        known = mean_and_scale(pictures["train"]) if pictures else (projector.eeg_mean, projector.eeg_scale.item())
        projector.set_statistics("image", *known)


def unseen_statistics(embeddings: dict[str, torch.Tensor], config: PretrainedConfig) -> tuple[torch.Tensor, float]:
    """Mean [E] and scale of the embeddings {"train", "val": [n, E]} of trials that the encoder does not know.

    An encoder tells its training trials' pictures better than others, so their embeddings spread more. Their mean is the
    same but for chance, and that of the fewer validation trials has more of it: with it, ROUGE-1 was lower by .005.
    """
    mean, known = mean_and_scale(embeddings["train"])
    if len(embeddings["val"]) < LEAST:
        print(f"note: the projector is scaled by the training trials, which the encoder knows, as there are only "
              f"{len(embeddings['val'])} validation trials; with {LEAST} or more it would be scaled by these")
        return mean, known
    return mean, config.unseen_scale or mean_and_scale(embeddings["val"])[1]


def _true_words(route, image_dir, names):
    return route.vocabulary.words_of(present(route.vocabulary.words, _captions(image_dir, names)).double())


def _out_of_fold(args, trials, rows, pictures, config, logits):
    """Embeddings and logits of the training trials by a decoder that was fitted to others' pictures; the logits as they are
    where no class name stands in prompts."""
    several = args.label == "class" and config.several_classes
    if several:
        raise InputError("--train_label out_of_fold: with --label class each picture needs one class, and these have "
                         "several; give --label words, or another --train_label")
    classes = config.num_classes if args.label == "class" else 0
    shown = trials.image[rows].unique(return_inverse=True)[1]
    number = {name: i for i, name in enumerate(sorted(set(trials.names(rows))))}
    targets = pictures[[number[name] for name in trials.names(rows)]]
    embeddings, found = out_of_fold(trials.eeg, rows, shown, targets, trials.label[rows] if classes else None, classes,
                                    trials.sfreq, args.seed)
    return embeddings, logits if found is None else found
