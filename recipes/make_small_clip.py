"""Train a small CLIP on a folder of pictures with captions and save it for open_clip.

    python -m recipes.make_small_clip --eeg_dataset runs/demo/data --output runs/demo/clip --extra_drawings 2000
    python -m recipes.make_small_clip --image_dir runs/demo/data/images --output runs/demo/clip

The folder then takes the place of a downloaded CLIP: `--clip_model local-dir:runs/demo/clip`, the name that
`open_clip.create_model_and_transforms` takes. Model, tokenizer and loss are open_clip's own (CLIP with a modified ResNet
and a text transformer; Radford et al. 2021). With `--eeg_dataset` only the split's training pictures
are used, and the validation pictures are scored at the end. Run it from the project's root.
"""

import sys
from pathlib import Path

from eegdata.pictures import find_pictures
from runtime import options
from runtime.errors import InputError, exits_cleanly
from runtime.runs import atomic_path, save_run, write_json

STEPS = 288  # enough for 2,000 drawings; measured
WORD_WEIGHT = 20.  # of the word loss beside the contrastive loss
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # those of OpenAI's CLIP


def parse(argv):
    parser = options.make_parser(__doc__)
    parser.prog = "python -m recipes.make_small_clip"
    parser.add_argument("--image_dir", help="folder with <class id>/<name>.JPEG and <name>_caption.txt (unset: that of "
                                            "--eeg_dataset)")
    parser.add_argument("--output", required=True, help="folder for open_clip_config.json and open_clip_model.safetensors")
    parser.add_argument("--eeg_dataset", help="data set whose split's training pictures alone are used")
    parser.add_argument("--splits_path", help="splits file of --eeg_dataset (unset: its own)")
    parser.add_argument("-sn", "--split_num", type=int, default=0, help="number of the split in --splits_path")
    parser.add_argument("--extra_drawings", type=int, default=0, help="pictures to draw in addition, as the simulated data "
                        "set's are drawn, of other scenes than any picture in --image_dir")
    parser.add_argument("--image_size", type=int, default=64, help="width and height that the model sees, pixels, a "
                        "multiple of 32")
    parser.add_argument("--width", type=int, default=16, help="channels of the first stage of the ResNet, a multiple of 2")
    parser.add_argument("--embed_dim", type=int, default=128, help="size of an embedding")
    parser.add_argument("--epochs", type=int, help="passes over the pictures; None means as many as make "
                        f"about {STEPS} steps")
    parser.add_argument("--batch_size", type=int, default=64, help="pictures a step, each other's counterexamples")
    parser.add_argument("--learning_rate", type=float, default=2e-3, help="largest learning rate of AdamW")
    options.seed_option(parser, "weights, order and extra drawings")
    args = options.parse(parser, argv)
    for flag, least in (("width", 1), ("embed_dim", 1), ("epochs", 1), ("batch_size", 2), ("image_size", 32),
                        ("extra_drawings", 0), ("split_num", 0)):
        if getattr(args, flag) is not None and getattr(args, flag) < least:
            raise InputError(f"--{flag} {getattr(args, flag)}: expected {least} or more")
    if args.learning_rate <= 0:
        raise InputError(f"--learning_rate {args.learning_rate}: expected more than 0")
    if args.image_size % 32 or args.width % 2:
        raise InputError(f"--image_size {args.image_size} --width {args.width}: expected multiples of 32 and of 2")
    if not args.eeg_dataset and (args.splits_path or not args.image_dir):
        raise InputError("--eeg_dataset is missing: expected it, or --image_dir without --splits_path")
    return args


@exits_cleanly
def main(argv=None):
    args = parse(argv)
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
    preprocess = image_transform(args.image_size, is_train=False, mean=MEAN, std=STD)
    tokenize = SimpleTokenizer(context_length=config["text_cfg"]["context_length"])
    captions = {name: read_caption(image_dir, name) for name in names}
    pictures = [preprocess(open_picture(image_dir, n)) for n in tqdm(train, desc="pictures", unit="picture")]
    texts = [captions[name] for name in train]
    for image, text in extra_drawings(args, set(captions.values())):
        pictures.append(preprocess(image))
        texts.append(text)
    if len(set(texts)) < 2:
        raise InputError(f"--image_dir {image_dir}: {len(texts)} training pictures with {len(set(texts))} different "
                         "captions; a contrast needs two different captions or more")
    train_clip(model, torch.stack(pictures), tokenize(texts), args)
    scores = {"train": retrieval(model, torch.stack(pictures[:500]), tokenize(texts[:500]))}
    if val:
        pixels = torch.stack([preprocess(open_picture(image_dir, name)) for name in val])
        scores["val"] = retrieval(model, pixels, tokenize([captions[name] for name in val]))
    save(model, config, args, scores, train)
    print("; ".join(f"{part}: right caption first for {top1:.0%} of {n} pictures" for part, (top1, n) in scores.items()))
    print(f"--clip_model local-dir:{args.output}")


def split_names(args, paths, names):
    """Names of the training and the validation pictures of the split; a picture of two parts trains nothing."""
    from eegdata.splits import load_split
    from eegdata.trials import load_trials

    trials = load_trials(paths.eeg_dataset)
    parts = load_split(paths.splits_path, trials, args.split_num, needed=("train",))
    shown = {part: {trials.images[i] for i in trials.image[rows].tolist()} for part, rows in parts.items()}
    missing = sorted((shown["train"] | shown["val"]) - set(names))
    if missing:
        raise InputError(f"--image_dir {paths.image_dir}: {len(missing)} pictures of the split are missing, {missing[0]} "
                         "among them; give the folder that belongs to --eeg_dataset")
    train = shown["train"] - shown["val"] - shown["test"]
    if not train:
        raise InputError(f"--splits_path {paths.splits_path}: no picture is in the training part alone")
    return sorted(train), sorted(shown["val"] - shown["test"])


def open_picture(image_dir, name):
    from PIL import Image, UnidentifiedImageError

    from eegdata.pictures import picture_path

    path = picture_path(image_dir, name)
    try:
        return Image.open(path).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path}: not readable as a picture ({error}); copy it again") from None


def extra_drawings(args, captions):
    """Yield `--extra_drawings` pictures with captions that are none of `captions`."""
    if args.extra_drawings < 1:
        return
    from tqdm import tqdm

    from sources import drawings

    try:
        scenes = drawings.sample_scenes(args.extra_drawings, args.seed + 1, exclude=captions)
    except ValueError as error:
        raise InputError(f"--extra_drawings: {error} beside the pictures in --image_dir; ask for fewer") from None
    for scene in tqdm(scenes, desc="extra drawings", unit="picture"):
        yield drawings.draw(scene, args.image_size * 2), drawings.caption(scene)


def model_config(args):
    """open_clip's model configuration: a modified ResNet of four blocks and a text transformer of one layer."""
    return {"embed_dim": args.embed_dim,
            "vision_cfg": {"image_size": args.image_size, "layers": [1, 1, 1, 1], "width": args.width, "patch_size": None,
                           "head_width": args.width * 4},
            "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1}}


def train_clip(model, pixels, tokens, args):
    """Train with open_clip's contrastive loss; pixels [n, 3, size, size], tokens [n, context].

    So few pictures teach the contrast colour and place long before the class, so each embedding must also tell, through
    one linear layer that is thrown away, which words its caption holds (Joulin et al. 2016, arXiv 1511.02251).
    """
    import torch
    from open_clip import ClipLoss
    from tqdm import tqdm

    words = word_presence(tokens)
    head = torch.nn.Linear(args.embed_dim, words.shape[1])
    parameters = [*model.parameters(), *head.parameters()]
    steps_an_epoch = max(1, len(pixels) // args.batch_size)
    epochs = args.epochs or max(1, round(STEPS / steps_an_epoch))
    n_steps = epochs * steps_an_epoch
    optimizer = torch.optim.AdamW(parameters, args.learning_rate, weight_decay=.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, n_steps, pct_start=.15)
    contrast, told = ClipLoss(), torch.nn.BCEWithLogitsLoss(pos_weight=1 / words.mean(0) - 1)
    model.visual.to(memory_format=torch.channels_last)  # a third faster on a CPU
    model.train()
    with tqdm(total=n_steps, desc="CLIP", unit="step") as bar:
        for _ in range(epochs):
            for batch in full_batches(torch.randperm(len(pixels)), args.batch_size):
                image, text, scale = model(pixels[batch], tokens[batch])
                loss = contrast(image, text, scale)
                both = head(torch.cat([image, text]) * args.embed_dim ** .5)
                aux = told(both, words[batch].repeat(2, 1))
                optimizer.zero_grad()
                (loss + WORD_WEIGHT * aux).backward()
                optimizer.step()
                schedule.step()
                with torch.no_grad():
                    model.logit_scale.clamp_(0, 4.6052)  # at most 100, as in the CLIP paper
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.3f}", words=f"{aux.item():.3f}")
    model.visual.to(memory_format=torch.contiguous_format)


def full_batches(order, size):
    """Batches of one size; what is left over at the end of an epoch comes again in another order."""
    return [order] if len(order) <= size else [batch for batch in order.split(size) if len(batch) == size]


def word_presence(tokens):
    """[n, words] 0/1: which of all tokens that occur, other than start, end and padding, each caption holds."""
    import torch

    presence = torch.zeros(len(tokens), int(tokens.max()) + 1).scatter_(1, tokens, 1.)
    used = presence.any(0) & ~presence.all(0)
    used[0] = False  # padding
    return presence[:, used]


def retrieval(model, pixels, tokens):
    """Part of the pictures whose nearest caption is their own (or has the same words), and their number."""
    import torch

    model.eval()
    with torch.no_grad():
        image = torch.cat([model.encode_image(part, normalize=True) for part in pixels.split(256)])
        text = torch.cat([model.encode_text(part, normalize=True) for part in tokens.split(256)])
    nearest = (image @ text.T).argmax(1)
    return (tokens[nearest] == tokens).all(1).float().mean().item(), len(pixels)


def save(model, config, args, scores, train):
    """Write the folder that open_clip's `local-dir:` reads; the configuration last."""
    from safetensors.torch import save as serialise

    output = Path(args.output)
    with atomic_path(output / "open_clip_model.safetensors") as temporary:
        temporary.write_bytes(serialise({key: value.contiguous() for key, value in model.state_dict().items()}))
    save_run(output, args, retrieval=scores, training_pictures=train)
    write_json(output / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": {
        "mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}})


if __name__ == "__main__":
    sys.exit(main())
