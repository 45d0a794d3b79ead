"""The options of `raw`, settled for all recordings: channels, sampling rate, reference, checked against every header."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from runtime.config_schema import EncoderConfig
from runtime.errors import InputError
from runtime.runs import read_json
from runtime.schema import check

from . import epochs, preprocessing
from .shown_events import OpenRecording

MIN_AVERAGE_CHANNELS = 16  # channels, for --reference auto
DEFAULT_RATE, KEPT_RATE = 250., 256.  # Hz, for --resample unset


def names_in(text: str) -> list[str]:
    """The names in an option's text, which commas part."""
    return [name.strip() for name in text.split(",") if name.strip()]


def check_names(names: Sequence[str], found: Sequence[OpenRecording], flag: str) -> None:
    """Raise InputError for a name that no recording has a channel of."""
    for name in names:
        if not any(name in each.all_names for each in found):
            others = " or the others" * (len(found) > 1)
            raise InputError(f"{flag} {name}: no channel of that name in {found[0].file.name}{others} (channels "
                             f"{', '.join(found[0].all_names)[:300]})")


def settle(args: argparse.Namespace, found: Sequence[OpenRecording]) -> preprocessing.Settings:
    """The Settings, checked against every recording's header."""
    from eegdata.montage import match_channels

    wanted, rate = _encoder(args.match_encoder, args.resample) if args.match_encoder else (_common(found), args.resample)
    rates = sorted({each.sfreq for each in found})
    if rate is None:
        rates = sorted({DEFAULT_RATE if each > KEPT_RATE else each for each in rates})
    rates = [rate] if rate else rates
    if len(rates) > 1:
        odd = next(each for each in found if each.sfreq != found[0].sfreq)
        raise InputError(f"{odd.file.path}: {odd.sfreq:g} samples a second, {found[0].file.name} has {found[0].sfreq:g}; "
                         "give --resample")
    sfreq = float(rates[0])
    first, last = epochs.window_samples(args, sfreq)
    reference = {"auto": "average" if len(wanted) >= MIN_AVERAGE_CHANNELS else "keep"}.get(args.reference, args.reference)
    reference = reference if reference in ("keep", "average") else names_in(reference)
    if isinstance(reference, list):
        wanted = preprocessing.without_reference(wanted, reference, args.match_encoder)
    bads = args.bads if args.bads in ("auto", "none") else names_in(args.bads)
    settings = preprocessing.Settings(
        args.l_freq, args.h_freq, args.notch, sfreq, first, last, epochs.settle_baseline(args, first, last, sfreq),
        args.reject, args.flat, bads, reference, args.unit_scale, wanted)
    check_names(bads if isinstance(bads, list) else [], found, "--bads")
    for each in found:
        check_fits(each, settings)
    if args.match_encoder:
        notes = (note for each in found for note in match_channels(each.names, wanted, each.places or None)[1])
        for note in dict.fromkeys(notes):
            print(f"--match_encoder: {note}")
    return settings


def check_fits(found: OpenRecording, settings: preprocessing.Settings) -> None:
    """Raise InputError where a recording's rate, length or channels do not allow what the Settings ask for."""
    check_names(settings.reference if isinstance(settings.reference, list) else [], [found], "--reference")
    epochs.check_filters(settings, found.file.path, found.sfreq, found.duration)
    named = preprocessing.find_bads(None, found.names, [], settings)[0] if isinstance(settings.bads, list) else {}
    recorded = preprocessing.with_references(found.names, settings)
    try:
        preprocessing.channel_matrix(recorded, found.names, named, found.places, settings)
    except InputError as error:
        raise InputError(f"{found.file.path}: {error}") from None


def _common(found):
    """The channels that every recording has, by name, as the first recording orders and spells them."""
    from eegdata.montage import plain_name

    have = [{plain_name(name) for name in each.names} for each in found]
    common = [name for name in found[0].names if all(plain_name(name) in names for names in have)]
    others = sorted({name for each in found for name in each.names if plain_name(name) not in map(plain_name, common)})
    if not common:
        raise InputError(f"{found[0].file.path} and {found[-1].file.name} have no EEG channel in common (by name); prepare "
                         "them apart, or give --match_encoder")
    if others:
        print(f"{len(others)} channels left out, as not every recording has them: {', '.join(others)[:300]}")
    return common


def _encoder(folder, rate):
    """Channel names and sampling rate of an encoder folder's config.json."""
    file = Path(folder) / "config.json"
    config = check(EncoderConfig, read_json(file), file, "give the folder of an encoder")
    if not config.get("ch_names") or not config.get("sfreq"):
        raise InputError(f"--match_encoder {file}: names no channels (ch_names) or sampling rate (sfreq), so nothing can "
                         "be matched to it; give an encoder that train_eeg_classifier.py made from a data set folder")
    if rate not in (None, config["sfreq"]):
        raise InputError(f"--resample {rate:g}: --match_encoder {folder} takes {config['sfreq']:g} Hz; leave --resample "
                         "out")
    return list(config["ch_names"]), float(config["sfreq"])
