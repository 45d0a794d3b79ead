"""How an encoder's EEG was made, from what is kept with it, so that other EEG is treated alike."""

from pathlib import Path

from runtime.errors import InputError
from runtime.runs import read_run

from transformers import PretrainedConfig

from eegdata.dataset_folder import read_record
from eegdata.preprocessing_schema import Preprocessing, preprocessing_of_folder, read_preprocessing


def preprocessing_of(config: PretrainedConfig, folder: Path, like: str | Path | None = None) -> Preprocessing:
    """The Preprocessing kept in the config of an encoder, else that of the data set folder `like`.

    folder: of the encoder or captioner. InputError where neither is there, or the two do not fit.
    """
    if config.preprocessing:
        if like:
            raise InputError(f"--like {like}: {folder} says itself how its EEG was made; leave --like out")
        kept = read_preprocessing(config.preprocessing, folder / "config.json")
    elif like:
        kept = _of_data_set(config, folder, like)
    else:
        raise InputError(f"{folder}: does not say how recordings became the trials that it was trained on, as it is of an "
                         "earlier version or its data set does not tell; give a data set folder that was prepared in the "
                         "same way with --like DATA, or train it again")
    size = len(kept.ch_names), len(range(*kept.taken.indices(kept.last - kept.first)))
    if (*size, kept.sfreq) != (config.n_chans, config.n_times, config.sfreq):
        raise InputError(f"{f'--like {like}' if like else folder}: prepares {size[0]} channels x {size[1]} samples at "
                         f"{kept.sfreq:g} Hz, but the encoder takes {config.n_chans} x {config.n_times} at "
                         f"{config.sfreq:g} Hz; give the data set that it was trained on with --like DATA")
    return kept


def window_in(config: PretrainedConfig, folder: str | Path) -> tuple[int | None, int | None]:
    """The window [low, high) in samples of a data set folder's trials that an encoder takes, for `load_trials`.

    (None, None), its default, where the encoder does not say, or the trials do not hold that window.
    """
    if not config.preprocessing or not Path(folder).is_dir():
        return None, None
    record, kept = read_record(folder), read_preprocessing(config.preprocessing, "config.json")
    low = kept.start - round((record["tmin"] or 0) * record["sfreq"])
    fits = record["sfreq"] == config.sfreq and 0 <= low <= record["n_times"] - config.n_times
    return (low, low + config.n_times) if fits else (None, None)


def _of_data_set(config, folder, like):
    """The Preprocessing of a data set folder, for the channels and the window of the encoder."""
    if not Path(like).is_dir():
        raise InputError(f"--like {like}: no such folder; expected a data set folder that prepare_data.py wrote")
    kept = preprocessing_of_folder(like, read_record(like), "--like")
    low = read_run(folder)[1].get("time_low")
    low = max(0, -kept.first) if low is None else low
    window = [low, min(low + config.n_times, kept.last - kept.first)]
    return kept.model_copy(update={"window": window, "ch_names": list(config.ch_names or kept.ch_names)})
