"""Which times and scalp regions an encoder uses: by time window, by region, and on a map of both."""

from pathlib import Path

from runtime.atomic_files import atomic_path
from runtime.runs import write_record

import numpy as np
import torch
from torch import nn

from eegdata.montage import REGIONS, scalp_regions
from eegdata.trials import Trials
from interpretability.attribution import gradient_x_input, sanity_check, shares
from interpretability.occlusion import channel_masks, occluded_classes, time_windows, training_mean, window_masks

from .figure import draw
from .tables import attribution_table, occlusion_tables
from .words import note_lines, sentence

FORMAT = "eeg-to-text when and where 1"
VISUAL_REGIONS = ("left temporal", "right temporal", "parietal", "occipital")  # of the responses to pictures


def when_where(encoder: nn.Module, trials: Trials, rows: torch.Tensor, train: torch.Tensor,
               clusters: np.ndarray | None = None, *, window_ms: float = 50.0, max_trials: int | None = None,
               batch_size: int = 256, device: str = "cpu", seed: int = 0) -> dict:
    """Occlusion and attribution of an encoder on the trials `rows` (positions [n]).

    encoder: eeg [B, C, T] -> (embedding, logits [B, K]), with the channels of `trials`. train: positions of the training
    trials, whose mean replaces hidden input. clusters: number [n] of the picture of each trial; None: each trial is its own
    cluster. max_trials: use this many of the trials, drawn at random (None: all). Returns the content of when_where.json,
    with the numbers that tables.occlusion_tables and tables.attribution_table describe.
    """
    available = len(rows)
    if max_trials is not None and max_trials < available:
        chosen = np.sort(np.random.default_rng(seed).permutation(available)[:max_trials])
        rows, clusters = rows[torch.from_numpy(chosen)], None if clusters is None else np.asarray(clusters)[chosen]
    shape = tuple(trials.eeg.shape[1:])
    names = trials.ch_names or encoder.config.ch_names
    groups, note = _groups(names, trials.record.get("positions"))
    windows = time_windows(shape[1], trials.sfreq, window_ms)
    fill = training_mean(trials.eeg, train)
    parts = torch.cat([window_masks(shape, windows), channel_masks(shape, list(groups.values()))])
    hidden = torch.cat([torch.zeros(1, *shape, dtype=torch.bool), parts, ~parts])  # nothing, each part, all but it
    predicted = occluded_classes(encoder, trials.eeg, fill, hidden, rows, batch_size, device)
    times = np.round(1000 * ((trials.tmin or 0) + np.arange(shape[1] + 1) / trials.sfreq), 6) + 0.  # ms; the last: the end
    result = {"format": FORMAT, "data": trials.fingerprint, "source": trials.source, "tmin": trials.tmin,
              "sfreq": trials.sfreq, "window_ms": window_ms,
              "channels": list(names) if names else [str(c) for c in range(shape[0])],
              **occlusion_tables(trials.label[rows].numpy(), predicted, clusters,
                                 [(float(times[low]), float(times[high])) for low, high in windows],
                                 {name: len(channels) for name, channels in groups.items()})}
    attribution = gradient_x_input(encoder, trials.eeg, fill, rows, batch_size, device)
    share = shares(attribution)
    result["attribution"] = None if share is None else {
        **attribution_table(share, times[:-1], trials.tmin is not None, windows, groups, VISUAL_REGIONS,
                            result["channels"]),
        "randomised_r": sanity_check(attribution, encoder, trials.eeg, fill, rows, batch_size, device, seed)}
    sample = f"{len(rows)} of the {available} trials were used, drawn at random" if len(rows) < available else None
    result["notes"] = [text for text in (sample, note) if text] + note_lines(result)
    result["sentence"] = "The EEG is simulated. " * bool(trials.source["simulated"]) + sentence(result)
    return result


def _groups(names, positions):
    """{region: channel numbers} in the order of REGIONS, then those of unknown position; and why it is empty, or None."""
    if not names:
        return {}, ("the channels have no names, so there are no results by region; prepare_data.py writes a data set "
                    "folder that names them")
    region_of = scalp_regions(names, positions)
    if not any(region_of):
        return {}, (f"no channel ({', '.join(names[:3])}, ...) has a known position on the scalp, so there are no results "
                    "by region; name the channels by the 10-20 system")
    groups = {region: [i for i, own in enumerate(region_of) if own == region] for region in REGIONS}
    groups["unknown"] = [i for i, own in enumerate(region_of) if own is None]
    return {region: channels for region, channels in groups.items() if channels}, None


def write(folder: Path, result: dict, positions: dict[str, list[float]] | None = None) -> None:
    """Write when_where.json and when_where.png; positions: electrode positions by channel name, [x, y, z] in m."""
    write_record(folder / "when_where.json", result)
    with atomic_path(folder / "when_where.png") as temporary:
        draw(result, temporary, positions)
