"""When and where the evidence lies that an encoder uses: by time window, by region of the scalp, and on a map of both."""

from runtime.runs import atomic_path, write_json

import numpy as np
import torch

from eegdata.montage import REGIONS, scalp_regions
from interpretability.attribution import gradient_x_input, sanity_check, shares
from interpretability.occlusion import channel_masks, occluded_classes, time_windows, training_mean, window_masks

from .figure import draw
from .tables import attribution_table, occlusion_tables
from .words import note_lines, sentence

FORMAT = "eeg-to-text when and where 1"
VISUAL = ("left temporal", "right temporal", "parietal", "occipital")  # where responses to pictures are


def when_where(encoder, trials, rows, train, clusters=None, *, window_ms=50.0, most=None, batch_size=256, device="cpu",
               seed=0):
    """Occlusion and attribution of an encoder on trials `rows`; returns what `when_where.json` holds, with
    the numbers that tables.occlusion_tables and tables.attribution_table describe.

    encoder: eeg [B, C, T] -> (embedding, logits [B, K]); trials: trials.Trials with the encoder's channels; rows, train:
    LongTensors of positions in trials, the trials to look at and those that the mean is taken from; clusters: ids [N] of
    the pictures, None: each trial for itself; most: trials to look at, drawn at random from rows, None: all.
    """
    available = len(rows)
    if most is not None and most < available:
        chosen = np.sort(np.random.default_rng(seed).permutation(available)[:most])
        rows, clusters = rows[torch.from_numpy(chosen)], None if clusters is None else np.asarray(clusters)[chosen]
    shape = tuple(trials.eeg.shape[1:])
    names = trials.ch_names or encoder.config.ch_names
    groups, note = _groups(names, trials.record.get("positions"))
    windows = time_windows(shape[1], trials.sfreq, window_ms)
    fill = training_mean(trials.eeg, train)
    shown = torch.cat([window_masks(shape, windows), channel_masks(shape, list(groups.values()))])
    hidden = torch.cat([torch.zeros(1, *shape, dtype=torch.bool), shown, ~shown])
    predicted = occluded_classes(encoder, trials.eeg, fill, hidden, rows, batch_size, device)
    times = np.round(1000 * ((trials.tmin or 0) + np.arange(shape[1] + 1) / trials.sfreq), 6) + 0.  # ms; the last: the end
    result = {"format": FORMAT, "data": trials.fingerprint, "tmin": trials.tmin, "sfreq": trials.sfreq,
              "window_ms": window_ms, "channels": list(names) if names else [str(c) for c in range(shape[0])],
              **occlusion_tables(trials.label[rows].numpy(), predicted, clusters,
                                 [(float(times[low]), float(times[high])) for low, high in windows],
                                 {name: len(channels) for name, channels in groups.items()})}
    found = gradient_x_input(encoder, trials.eeg, fill, rows, batch_size, device)
    share = shares(found)
    result["attribution"] = None if share is None else {
        **attribution_table(share, times[:-1], trials.tmin is not None, windows, groups, VISUAL, result["channels"]),
        "randomised_r": sanity_check(found, encoder, trials.eeg, fill, rows, batch_size, device, seed)}
    few = f"{len(rows)} of the {available} trials were looked at, drawn at random" if len(rows) < available else None
    result["notes"] = [extra for extra in (few, note) if extra] + note_lines(result)
    result["sentence"] = sentence(result)
    return result


def _groups(names, positions):
    """{region: channel numbers} in the order of REGIONS, those of no known place last; and why there are none, or None."""
    if not names:
        return {}, ("the channels have no names, so nothing is said by region; prepare_data.py writes a data set folder "
                    "that names them")
    found = scalp_regions(names, positions)
    if not any(found):
        return {}, (f"no channel ({', '.join(names[:3])}, ...) has a known place on the scalp, so nothing is said by "
                    "region; name them by the 10-20 system")
    groups = {region: [i for i, own in enumerate(found) if own == region] for region in REGIONS}
    groups["unknown"] = [i for i, own in enumerate(found) if own is None]
    return {region: channels for region, channels in groups.items() if channels}, None


def write(folder, result, positions=None):
    """Write when_where.json and when_where.png of a when_where() result; positions: name -> [x, y, z] of the recording."""
    write_json(folder / "when_where.json", result)
    with atomic_path(folder / "when_where.png") as temporary:
        draw(result, temporary, positions)
