"""Streams of the Lab Streaming Layer: EEG in microvolts, and markers. A stream that is lost is looked for again."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from runtime.errors import InputError

import numpy as np

from .xdf import MICROVOLTS

if TYPE_CHECKING:
    import pylsl

PULL_SECONDS = .05  # that a look for new samples waits
LOOK_SECONDS = .5  # that a look for a stream that is gone waits, where another one goes on
MAX_CHUNK = 4096  # samples


@dataclass
class StreamChannels:
    """What an EEG stream says of itself: names [C] of all channels, eeg: rows that are EEG, factor [C] to microvolts, sfreq
    in Hz."""

    names: list[str]
    eeg: list[int]
    factor: np.ndarray
    sfreq: float


def require_lsl(flag: str) -> None:
    """Raise InputError where pylsl or its library is not there."""
    if not find_spec("pylsl"):
        raise InputError(f"{flag}: needs the package pylsl; pip install -r requirements-live.txt")
    try:
        import pylsl  # noqa: F401
    except (RuntimeError, OSError) as error:
        raise InputError(f"{flag}: pylsl finds no liblsl ({str(error).splitlines()[0][:200]}); install it, see pylsl's own "
                         "page") from None


class Inlet:
    """A stream by name. `reconnects` counts how often it went away and came back."""

    def __init__(self, name: str, flag: str, wait: float):
        self.name, self.flag, self.wait, self.reconnects = name, flag, wait, 0
        self.inlet = self._open(wait)
        if self.inlet is None:
            raise InputError(f"{flag} {name}: no such stream in {wait:g} s; streams there: {_names() or 'none'}; start it, "
                             "or give a longer --wait")

    def _open(self, seconds):
        import pylsl

        found = pylsl.resolve_byprop("name", self.name, 1, seconds)
        if not found:
            return None
        inlet = pylsl.StreamInlet(found[0], recover=False, processing_flags=pylsl.proc_clocksync)
        try:
            inlet.open_stream(seconds)
        except (pylsl.util.LostError, TimeoutError, pylsl.util.InternalError):
            return None
        return inlet

    @property
    def info(self) -> "pylsl.StreamInfo":
        return self.inlet.info(self.wait)

    def pull(self, timeout: float = 0.) -> tuple[list, np.ndarray] | None:
        """(values, time stamps) that came since, perhaps none; None where the stream is gone."""
        import pylsl

        try:
            values, times = self.inlet.pull_chunk(timeout, MAX_CHUNK)
        except pylsl.util.LostError:
            return None
        return values, np.asarray(times, float)

    def again(self, seconds: float | None = None) -> bool:
        """Wait for a stream that is gone, --wait seconds or so many; whether it came back."""
        inlet = self._open(self.wait if seconds is None else seconds)
        if inlet is not None:
            self.inlet, self.reconnects = inlet, self.reconnects + 1
        return inlet is not None


def _names():
    import pylsl

    return ", ".join(sorted({info.name() for info in pylsl.resolve_streams(1.)}))


def channels_of(inlet: Inlet) -> StreamChannels:
    """The channels of an EEG stream from its description, which names labels, units and types as XDF files do."""
    info = inlet.info
    count, sfreq = info.channel_count(), float(info.nominal_srate())
    if sfreq <= 0:
        raise InputError(f"{inlet.flag} {inlet.name}: has no sampling rate, so it is no EEG stream; give the name of the "
                         "EEG stream, and that of the markers with --markers")
    names = info.get_channel_labels() or []
    if len(names) != count or not all(names) or len(set(names)) < count:
        raise InputError(f"{inlet.flag} {inlet.name}: does not name its {count} channels one by one, so they cannot be "
                         "matched; let the program that sends it write the labels")
    units = [(unit or "microvolts").strip().lower() for unit in info.get_channel_units() or [None] * count]
    kinds = [(kind or "EEG").strip().lower() for kind in info.get_channel_types() or [None] * count]
    eeg = [row for row, (kind, unit) in enumerate(zip(kinds, units, strict=True)) if kind == "eeg" and unit in MICROVOLTS]
    if not eeg:
        raise InputError(f"{inlet.flag} {inlet.name}: no channel of type EEG in a unit of volts among "
                         f"{', '.join(names)[:300]}; let the program that sends it write types and units")
    return StreamChannels(names, eeg, np.array([MICROVOLTS.get(unit, 1.) for unit in units]), sfreq)


def check_same(inlet: Inlet, before: StreamChannels) -> None:
    """Raise InputError where a stream that came back is not as it was: its values would be taken for other channels'."""
    now = channels_of(inlet)
    for what, old, new in (("the channels", before.names, now.names), ("the rate in Hz", before.sfreq, now.sfreq),
                           ("the EEG channels", before.eeg, now.eeg),
                           ("the units", before.factor.tolist(), now.factor.tolist())):
        if old != new:
            raise InputError(f"{inlet.flag} {inlet.name}: came back with other settings: {what} were {str(old)[:300]}, now "
                             f"{str(new)[:300]}; set the amplifier as before, or start again")
