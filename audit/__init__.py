"""The data audit: checks for what would invalidate a result, each with a severity and a sentence on what it means."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .findings import SEVERITIES, Finding

if TYPE_CHECKING:
    import torch

    from eegdata.trials import Trials


def run_audit(trials: "Trials", split: dict[str, "torch.Tensor"], image_dir: Path | str | None = None,
              permutations: int = 1000, seed: int = 0) -> list[Finding]:
    """All checks of a data set and one of its splits; returns Findings, worst first.

    trials: datautils.Trials over the whole epoch (`load_trials(path, time_low=0, time_high=n_times)`; of a published
    EEGCVPR40 file its window); split: {"train"|"val"|"test": LongTensor of positions in trials}; image_dir: the folder of
    the pictures, None: pictures are compared by name only; permutations: for each p-value. Shows a progress bar.
    """
    from tqdm import tqdm

    from . import captions, counts, duplicates, integrity, leaks, order, same_pictures, signal
    from .data import Material

    material = Material(trials, split, image_dir, permutations, seed)
    checks = [counts.check_counts, counts.check_test_size, captions.check_captions, integrity.check_values,
              integrity.check_integrity]
    if material.usable.any():
        checks += [order.check_order, duplicates.check_duplicates, duplicates.check_overlap, same_pictures.check_pictures,
                   signal.check_edges, signal.check_filters, signal.check_channels, signal.check_line_noise,
                   signal.check_units]
    trained = leaks.Leaks(material)
    checks = [trained.check_prestimulus, trained.check_drift, trained.check_neighbours,
              *(partial(check, material) for check in checks)]
    findings = [check() for check in tqdm(checks, desc="audit", unit="check")]
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
