"""Train a small CLIP on a folder of pictures with captions and save it for open_clip.

    python -m recipes.make_small_clip --eeg_dataset demo/simulated/data --output demo/simulated/clip --extra_drawings 2000
    python -m recipes.make_small_clip --image_dir demo/simulated/data/images --output demo/simulated/clip

The folder replaces a downloaded CLIP: `--clip_model local-dir:demo/simulated/clip`. Model, tokenizer and loss are those of
open_clip (CLIP with a modified ResNet and a text transformer; Radford et al. 2021). With `--eeg_dataset`, only the training
pictures of the split are used for training, and the validation pictures are scored at the end. Run it from the root of the
project.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import idle_options, options
from runtime.atomic_files import atomic_path
from runtime.errors import InputError, exits_cleanly
from runtime.locks import only_run
from runtime.runs import save_run, write_json
from runtime.small_models import small_folder

from eegdata.picture_file import read_picture
from eegdata.pictures import find_pictures, picture_path

if TYPE_CHECKING:
    from open_clip.model import CLIP
    from PIL.Image import Image
    from torch import Tensor

    from eegdata.data_paths import DataPaths

TRAINING_STEPS = 288  # enough for 2,000 drawings; measured
WEIGHTS = "open_clip_model.safetensors"  # written first
OF_OTHERS = ("config.json", "args.json")
WORD_LOSS_WEIGHT = 20.  # relative to the contrastive loss
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of OpenAI's CLIP, like the next line
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m recipes.make_small_clip"
    parser.add_argument("--image_dir", help="folder of <class id>/<name>.JPEG and <name>_caption.txt (unset: that of "
                                            "--eeg_dataset)")
    parser.add_argument("--output", default=str(small_folder("clip_model")), help="folder for open_clip_config.json and "
                        "open_clip_model.safetensors; where it is not given, --clip_model small names it")
    parser.add_argument("--eeg_dataset", help="data set; only the training pictures of its split are used for training")
    parser.add_argument("--splits_path", help="splits file (unset: the one in --eeg_dataset)")
    parser.add_argument("-sn", "--split_num", type=options.bounded(int, 0), default=0,
                        help="number of the split in the splits file")
    parser.add_argument("--extra_drawings", type=options.bounded(int, 0), default=0,
                        help="number of additional pictures, drawn like those of the simulated data set; their scenes "
                             "differ from all pictures in --image_dir")
    parser.add_argument("--extra_scenes", choices=("things", "objects"), default="things",
                        help="what the additional pictures show: one thing, or several, as prepare_data.py simulated "
                             "--scenes draws them")
    parser.add_argument("--image_size", type=options.bounded(int, 32), default=64,
                        help="width and height of the input of the model in pixels, a multiple of 32")
    parser.add_argument("--width", type=options.positive, default=16,
                        help="channels of the first stage of the ResNet, a multiple of 2")
    parser.add_argument("--embed_dim", type=options.positive, default=128, help="size of an embedding")
    parser.add_argument("--epochs", type=options.positive, help=f"number of epochs (unset: about {TRAINING_STEPS} steps)")
    parser.add_argument("--batch_size", type=options.bounded(int, 2), default=64,
                        help="pictures per step; the pictures of a batch are each other's negatives")
    parser.add_argument("--learning_rate", type=options.bounded(float, 1e-9), default=2e-3,
                        help="peak learning rate of AdamW")
    options.seed_option(parser, "weights, order and extra drawings")
    args = options.parse(parser, argv)
    if args.image_size % 32 or args.width % 2:
        raise InputError(f"--image_size {args.image_size} --width {args.width}: expected multiples of 32 and of 2")
    if not args.eeg_dataset and (args.splits_path or not args.image_dir):
        raise InputError("--eeg_dataset is missing; give it, or give --image_dir without --splits_path")
    idle_options.say_idle(args, idle_options.SMALL_CLIP)
    return args


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    with only_run(args.output, "--output"):
        make(args)


def make(args: options.Options) -> None:
    """Train and save the model."""
    output = Path(args.output)
    if any((output / name).is_file() for name in OF_OTHERS) and not (output / WEIGHTS).is_file():
        raise InputError(f"--output {output}: holds another model or its record ({' or '.join(OF_OTHERS)}), of which a "
                         "part would be overwritten; choose another folder")
    paths = None
    if args.eeg_dataset:
        from eegdata.data_paths import find_data

        paths = find_data(args.eeg_dataset, args.splits_path, args.image_dir)
    image_dir = paths.image_dir if paths else args.image_dir
    names = find_pictures(image_dir)
    if not names:
        raise InputError(f"--image_dir {image_dir}: no picture found; expected <class id>/<name>.JPEG in it")
    train, val = (names, []) if paths is None else split_names(args, paths, names)

    import torch
    from open_clip import SimpleTokenizer, image_transform
    from open_clip.model import CLIP
    from tqdm import tqdm

    from eegdata.pictures import read_caption

    torch.manual_seed(args.seed)
    config = model_config(args)
    model = CLIP(**config)
    preprocess = image_transform(args.image_size, is_train=False, mean=PIXEL_MEAN, std=PIXEL_STD)
    tokenize = SimpleTokenizer(context_length=config["text_cfg"]["context_length"])
    captions = {name: read_caption(image_dir, name) for name in names}
    pictures = [preprocess(read_picture(picture_path(image_dir, n))) for n in tqdm(train, desc="pictures", unit="picture")]
    texts = [captions[name] for name in train]
    for image, text in extra_drawings(args, set(captions.values())):
        pictures.append(preprocess(image))
        texts.append(text)
    if len(set(texts)) < 2:
        raise InputError(f"--image_dir {image_dir}: {len(texts)} training pictures with {len(set(texts))} different "
                         "captions; contrastive training needs at least two different captions")
    train_clip(model, torch.stack(pictures), tokenize(texts), args)
    scores = {"train": retrieval(model, torch.stack(pictures[:500]), tokenize(texts[:500]))}
    if val:
        pixels = torch.stack([preprocess(read_picture(picture_path(image_dir, name))) for name in val])
        scores["val"] = retrieval(model, pixels, tokenize([captions[name] for name in val]))
    save(model, config, args, scores, train)
    print("; ".join(f"{part}: right caption first for {top1:.0%} of {n} pictures" for part, (top1, n) in scores.items()))
    print(f"--clip_model {'small' if Path(args.output) == small_folder('clip_model') else f'local-dir:{args.output}'}")


def split_names(args: options.Options, paths: "DataPaths", names: list[str]) -> tuple[list[str], list[str]]:
    """Names of the training and the validation pictures of the split; those in the test part as well are left out."""
    from eegdata.splits import load_split
    from eegdata.trials import load_trials

    trials = load_trials(paths.eeg_dataset)
    parts = load_split(paths.splits_path, trials, args.split_num, needed=("train",))
    pictures = {part: set(trials.names(rows)) for part, rows in parts.items()}
    missing = sorted((pictures["train"] | pictures["val"]) - set(names))
    if missing:
        raise InputError(f"--image_dir {paths.image_dir}: {len(missing)} pictures of the split are missing, {missing[0]} "
                         "among them; give the folder that belongs to --eeg_dataset")
    train = pictures["train"] - pictures["val"] - pictures["test"]
    if not train:
        raise InputError(f"--splits_path {paths.splits_path}: each picture of the training part is in another part, "
                         "too; split by picture")
    return sorted(train), sorted(pictures["val"] - pictures["test"])


def extra_drawings(args: options.Options, captions: set[str]) -> "Iterator[tuple[Image, str]]":
    """Yield --extra_drawings pictures with captions that are not among `captions`."""
    if args.extra_drawings < 1:
        return
    from tqdm import tqdm

    from sources import drawings, mixtures

    if args.extra_scenes == "objects":
        sampled = mixtures.sample_mixtures(args.extra_drawings, args.seed + 1)
        found = [(scene, mixtures.captions(scene)) for scene in sampled]
        for scene, texts in tqdm(found, desc="extra drawings", unit="picture"):
            if captions.isdisjoint(texts):
                yield mixtures.draw(scene, args.image_size * 2), texts[0]
        return
    try:
        scenes = drawings.sample_scenes(args.extra_drawings, args.seed + 1, exclude=captions)
    except ValueError as error:
        raise InputError(f"--extra_drawings: {error} beside the pictures in --image_dir; ask for fewer") from None
    for scene in tqdm(scenes, desc="extra drawings", unit="picture"):
        yield drawings.draw(scene, args.image_size * 2), drawings.caption(scene)


def model_config(args: options.Options) -> dict:
    """open_clip's configuration of a modified ResNet with four blocks and a text transformer with one layer."""
    return {"embed_dim": args.embed_dim,
            "vision_cfg": {"image_size": args.image_size, "layers": [1, 1, 1, 1], "width": args.width, "patch_size": None,
                           "head_width": args.width * 4},
            "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1}}


def train_clip(model: "CLIP", pixels: "Tensor", tokens: "Tensor", args: options.Options) -> None:
    """Train with open_clip's contrastive loss; pixels [n, 3, size, size], tokens [n, context].

    With so few pictures the contrastive loss alone learns colours and places long before classes. A second loss therefore
    predicts the words of the caption from each embedding, by a linear layer that is discarded after training (Joulin et al.
    2016, arXiv 1511.02251).
    """
    import torch
    from open_clip import ClipLoss
    from tqdm import tqdm

    words = word_presence(tokens)
    head = torch.nn.Linear(args.embed_dim, words.shape[1])
    parameters = [*model.parameters(), *head.parameters()]
    steps_per_epoch = max(1, len(pixels) // args.batch_size)
    epochs = args.epochs or max(1, round(TRAINING_STEPS / steps_per_epoch))
    n_steps = epochs * steps_per_epoch
    optimizer = torch.optim.AdamW(parameters, args.learning_rate, weight_decay=.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, n_steps, pct_start=.15)
    contrastive_loss, word_loss = ClipLoss(), torch.nn.BCEWithLogitsLoss(pos_weight=1 / words.mean(0) - 1)
    model.visual.to(memory_format=torch.channels_last)  # a third faster on a CPU
    model.train()
    with tqdm(total=n_steps, desc="CLIP", unit="step") as bar:
        for _ in range(epochs):
            for batch in full_batches(torch.randperm(len(pixels)), args.batch_size):
                image, text, scale = model(pixels[batch], tokens[batch])
                contrastive = contrastive_loss(image, text, scale)
                logits = head(torch.cat([image, text]) * args.embed_dim ** .5)
                word = word_loss(logits, words[batch].repeat(2, 1))
                optimizer.zero_grad()
                (contrastive + WORD_LOSS_WEIGHT * word).backward()
                optimizer.step()
                schedule.step()
                with torch.no_grad():
                    model.logit_scale.clamp_(0, 4.6052)  # at most 100, as in the CLIP paper
                bar.update()
                bar.set_postfix(loss=f"{contrastive.item():.3f}", words=f"{word.item():.3f}")
    model.visual.to(memory_format=torch.contiguous_format)


def full_batches(order: "Tensor", size: int) -> "list[Tensor]":
    """Batches of equal size; an incomplete last one is dropped, as the next epoch has another order."""
    return [order] if len(order) <= size else [batch for batch in order.split(size) if len(batch) == size]


def word_presence(tokens: "Tensor") -> "Tensor":
    """[n, words] 0 or 1: which tokens each caption has, of those that some captions have and others do not."""
    import torch

    presence = torch.zeros(len(tokens), int(tokens.max()) + 1).scatter_(1, tokens, 1.)
    used = presence.any(0) & ~presence.all(0)
    used[0] = False  # padding
    return presence[:, used]


def retrieval(model: "CLIP", pixels: "Tensor", tokens: "Tensor") -> tuple[float, int]:
    """Share of the pictures whose nearest caption is their own or equal to it, and the number of pictures."""
    import torch

    model.eval()
    with torch.no_grad():
        image = torch.cat([model.encode_image(part, normalize=True) for part in pixels.split(256)])
        text = torch.cat([model.encode_text(part, normalize=True) for part in tokens.split(256)])
    nearest = (image @ text.T).argmax(1)
    return (tokens[nearest] == tokens).all(1).float().mean().item(), len(pixels)


def save(model: "CLIP", config: dict, args: options.Options, scores: dict, train: list[str]) -> None:
    """Write the folder that open_clip reads as `local-dir:`; the configuration is written last."""
    from safetensors.torch import save as serialise

    output = Path(args.output)
    with atomic_path(output / WEIGHTS) as temporary:
        temporary.write_bytes(serialise({key: value.contiguous() for key, value in model.state_dict().items()}))
    save_run(output, args, retrieval=scores, training_pictures=train)
    write_json(output / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": {
        "mean": PIXEL_MEAN, "std": PIXEL_STD, "interpolation": "bicubic", "resize_mode": "shortest"}})


if __name__ == "__main__":
    sys.exit(main())
