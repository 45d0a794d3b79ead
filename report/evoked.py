"""Evoked responses and scalp maps of the EEG behind a study, as the audit's page draws them."""

from pathlib import Path

from runtime.errors import InputError
from runtime.figures import style

from audit.evoked import draw_all, draw_maps, latencies, responses, scalp

from .run import why_not_readable

MAX_VALUES = 2**31  # of EEG that is read for the figures: 8 GB


@style()
def evoked_part(path: str | None, fingerprint: str | None) -> dict | None:
    """{"charts", "note"} of the data set at path: the mean of all trials, and maps at its peaks; None without a data set
    folder that is unchanged."""
    from eegdata.dataset_folder import read_record
    from eegdata.trials import load_trials

    if not path or not Path(path).is_dir() or why_not_readable(Path(path), fingerprint):
        return None
    try:
        trials = load_trials(path, 0, read_record(path)["n_times"])
    except InputError as error:
        return {"charts": [], "note": f"There are no evoked responses: {error}."}
    if trials.eeg.shape.numel() > MAX_VALUES:
        return {"charts": [], "note": f"{path} is too large to be drawn here; prepare_data.py audit draws it."}
    found = responses(trials)
    samples = latencies(found)
    info, rows = scalp(trials)
    maps = draw_maps(trials, found, samples, info, rows, by_class=False) if info is not None else []
    return {"charts": [draw_all(trials, found, samples), *maps], "note": "" if maps else rows}
