"""Write a trained EEG encoder as one file that runs without this project: torch.export or ONNX.

    python -m recipes.export_encoder --eeg_encoder_path runs/encoder --output encoder.pt2
    python -m recipes.export_encoder --eeg_encoder_path runs/encoder --output encoder.onnx

It takes eeg [trials, channels, samples] float32 and gives embedding [trials, E] and logits [trials, K]; the file holds its
channels, sampling rate and class names, whether a picture may have several classes, and whether each person's mean trial
must be subtracted first (centre). The file is read again and must give what the encoder gives, or it is not kept.
ONNX needs the packages onnx, onnxscript and onnxruntime.
"""

import argparse
import json
import sys
from pathlib import Path

from runtime import options
from runtime.errors import InputError, exits_cleanly

TOLERANCE = 1e-3  # relative to the largest output: kernels differ in the order of their sums


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m recipes.export_encoder"
    parser.add_argument("--eeg_encoder_path", required=True, help="encoder folder of train_eeg_classifier.py, or a Hub id")
    parser.add_argument("--output", required=True, help="file to write: .pt2 (torch.export) or .onnx")
    parser.add_argument("--trials", type=options.positive, default=1, help="number of trials that it takes at once")
    args = options.parse(parser, argv)
    if Path(args.output).suffix not in (".pt2", ".onnx"):
        raise InputError(f"--output {args.output}: expected a name that ends in .pt2 or .onnx")
    return args


@exits_cleanly
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    from runtime.atomic_files import atomic_path

    import torch

    from encoders import load_encoder

    encoder = load_encoder(args.eeg_encoder_path).eval()
    config = encoder.config
    generator = torch.Generator().manual_seed(0)
    eeg = torch.randn(args.trials, config.n_chans, config.n_times, generator=generator)
    described = {"ch_names": config.ch_names, "sfreq": config.sfreq, "n_times": config.n_times,
                 "id2label": config.id2label, "class_temperature": config.class_temperature,
                 "several_classes": config.several_classes, "centre": config.centre}
    with atomic_path(Path(args.output)) as temporary, torch.no_grad():
        if Path(args.output).suffix == ".pt2":
            _torch(encoder, eeg, described, temporary)
            found = _run_torch(temporary, eeg)
        else:
            _onnx(encoder, eeg, described, temporary, args.output)
            found = _run_onnx(temporary, eeg)
        expected = encoder(eeg)
        off = max(float((a - b).abs().max() / b.abs().max().clamp_min(1e-12))
                  for a, b in zip(found, expected, strict=True) if b.numel())
        if not off <= TOLERANCE:
            raise InputError(f"--output {args.output}: the exported encoder differs by {off:.2g} of its largest output, so "
                             "it is not kept; export it in the other format")
    print(f"{args.output}: takes {args.trials} x {config.n_chans} channels x {config.n_times} samples; differs from the "
          f"encoder by {off:.1g} of its largest output")
    if config.centre != "none":
        print(f"note: the encoder was trained with --centre {config.centre}, which is no part of the file: subtract the "
              "mean of each person's trials before they are given to it")


def _torch(encoder, eeg, described, path):
    import torch

    program = torch.export.export(encoder, (eeg,))
    with open(path, "wb") as stream:  # by its name, torch takes no file that does not end in .pt2
        torch.export.save(program, stream, extra_files={"encoder.json": json.dumps(described)})


def _run_torch(path, eeg):
    import torch

    with open(path, "rb") as stream:
        return torch.export.load(stream).module()(eeg)


def _onnx(encoder, eeg, described, path, name):
    import torch

    try:
        import onnxruntime  # noqa: F401  (it is needed next)

        program = torch.onnx.export(encoder, (eeg,), dynamo=True, input_names=["eeg"], output_names=["embedding", "logits"],
                                    verbose=False)
    except ImportError as error:
        raise InputError(f"--output {name}: {error}; install onnx, onnxscript and onnxruntime, or write a .pt2 file"
                         ) from None
    except torch.onnx.errors.OnnxExporterError:
        raise InputError(f"--output {name}: ONNX has no operator for a part of this encoder (its tangent branch needs "
                         "eigenvalues); write a .pt2 file, or train with --branches neural") from None
    program.model.metadata_props.update({key: json.dumps(value) for key, value in described.items()})
    program.save(path)


def _run_onnx(path, eeg):
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(each) for each in session.run(None, {"eeg": eeg.numpy()})]


if __name__ == "__main__":
    sys.exit(main())
