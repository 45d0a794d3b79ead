"""What the headers of Persyst and Nicolet recordings say of their data files, and MNE does not look at: where it is not as
MNE takes it to be, other numbers would be read as EEG, or as that of other electrodes."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

if TYPE_CHECKING:
    import mne

SECTION = re.compile(r"^\[(\w+)\]\s*$", re.M)
NEEDED = {"Sex": "", "Hand": "", "BirthDate": "01/01/1900", "TestDate": "01/01/1900",
          "TestTime": "00:00:00"}  # keys of [Patient] without which MNE fails, and what suffices


def persyst_sections(path: Path) -> dict[str, list[str]]:
    """{name in small letters: lines} of a .lay file."""
    parts = SECTION.split(path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n"))
    return {name.lower(): text.strip().splitlines() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _values(lines):
    pairs = (line.partition("=") for line in lines)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def check_persyst(path: Path) -> None:
    """Raise InputError for a .lay file whose data MNE would not find, or not where they are."""
    sections = persyst_sections(path)
    facts, patient = (_values(sections.get(name, ())) for name in ("fileinfo", "patient"))
    for key, usual in (("headerlength", "0"), ("filetype", "interleaved")):
        if facts.get(key, usual).lower() != usual:
            raise InputError(f"{path}: {key} is {facts[key]}, expected {usual}, which is all that MNE reads; export the "
                             "recording again, as EDF for example")
    for key, enough in NEEDED.items():
        if key.lower() not in patient or (key == "BirthDate" and not re.search("[/-]", patient[key.lower()])):
            raise InputError(f"{path}: [Patient] has no {key}, perhaps as it is anonymised, and MNE cannot read the file "
                             f"without; write the line {key}={enough} there")
    named = facts.get("file", "")
    plain = re.split(r"[/\\]", named)[-1]
    if "\\" in named and (path.parent / plain).is_file():
        raise InputError(f"{path}: File={named} is a path of another computer, and {plain} lies beside it; write "
                         f"File={plain}")


def persyst_channels(path: Path, raw: "mne.io.BaseRaw") -> "mne.io.BaseRaw":
    """The same recording with its channels called by their numbers in [ChannelMap], where MNE goes by its lines."""
    numbers = [line.rpartition("=")[2].strip() for line in persyst_sections(path).get("channelmap", ()) if "=" in line]
    usual = [str(number) for number in range(1, len(raw.ch_names) + 1)]
    if sorted(numbers) != sorted(usual):
        raise InputError(f"{path}: [ChannelMap] gives its channels the numbers {', '.join(numbers)[:200]}, expected each "
                         f"of 1 to {len(usual)} once; export the recording again")
    by_number = dict(zip(numbers, raw.ch_names, strict=True))
    wanted = [by_number[number] for number in usual]
    return raw.rename_channels(dict(zip(raw.ch_names, wanted, strict=True)))


def check_nicolet(path: Path) -> None:
    """Raise InputError where the size of a .data file is not that of the samples of 2 bytes that its .head counts."""
    head = _values(path.with_suffix(".head").read_text(encoding="utf-8").splitlines())
    try:
        samples, channels = int(head["num_samples"]), int(head["num_channels"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{path.with_suffix('.head')}: has no num_samples or num_channels that is a whole number "
                         f"({error}); get it again") from None
    width, size = head.get("sample_bytes", "2"), path.stat().st_size
    if width != "2" or size != 2 * samples * channels:
        raise InputError(f"{path}: has {size} bytes, and {path.stem}.head tells of {samples} samples of {channels} "
                         f"channels with {width} bytes each; expected 2 bytes each, which is all that MNE reads, and as "
                         "many as it tells: get both files again, or export the recording as EDF")
