"""Codes of trigger channels: held, in pulses, with lines that switch one sample apart or hang."""

from collections import Counter
from itertools import pairwise

from runtime.errors import InputError

import numpy as np
import pytest

from raw_material import CHANNELS, SFREQ, make_pictures, make_raw, save, write_table
from raw_runs import AS_IT_IS, fails, prepare
from sources.stim_codes import codes_of

mne = pytest.importorskip("mne")
AT = np.arange(600, 7400, 250)  # samples
CODES = np.resize([1, 2, 3, 4, 4, 3, 2, 1], len(AT))
PLAIN = list(zip(AT.tolist(), CODES.tolist(), strict=True))


def pulses(length=20, plus=0, start=0):
    """Values [8000] that rest at 0 but for `length` samples after each of AT; `plus` is added from sample `start` on."""
    values = np.zeros(8000, int)
    for at, code in PLAIN:
        values[at:at + length] = code
    values[start:] += plus
    return values


def test_pulses_are_read_as_mne_reads_them():
    for length in (1, 2, 20):
        values = pulses(length)
        raw = mne.io.RawArray(values[None].astype(float), mne.create_info(["STI"], SFREQ, "stim"), verbose="error")
        events = mne.find_events(raw, "STI", shortest_event=1, consecutive=True, verbose="error")
        assert codes_of(values, SFREQ) == ([(at, code) for at, _, code in events.tolist()], [])


def test_codes_held_until_the_next():
    values = np.zeros(8000, int)
    for at, code in PLAIN:
        values[at:] = code
    found, notes = codes_of(values, SFREQ)
    assert found == [PLAIN[0], *(b for a, b in pairwise(PLAIN) if a[1] != b[1])]
    assert "cannot be seen" in notes[0]
    odd = np.where(values > 0, 2 * values - 1, 0)  # the lowest line is on all the time, and is a part of each code
    assert [code for _, code in codes_of(odd, SFREQ)[0]] == [2 * code - 1 for _, code in found]
    two = np.repeat([0, *[1, 3] * 12], 40)
    assert len(codes_of(two, SFREQ)[0]) == 24


@pytest.mark.parametrize("sfreq", [200., 2048.])
def test_lines_that_switch_apart(sfreq):
    values = pulses()
    for at, code in PLAIN:
        if code == 3:
            values[at], values[at + 19] = 1, 2  # on the way up and down
    later = [(at + (code == 3), code) for at, code in PLAIN]
    found, notes = codes_of(values, sfreq)
    assert found == later and notes[0].startswith(f"{2 * (CODES == 3).sum()} steps between codes")
    three = np.repeat([0, 1, 3, 7, 0, 7, 3, 1, 0], [50, 1, 1, 50, 50, 50, 1, 1, 50])
    assert codes_of(three, sfreq)[0] == [(52, 7), (152, 7)]
    held = np.repeat([0, 1, 3, 2, 0, 4], [50, 50, 1, 50, 50, 50])
    assert codes_of(held, sfreq)[0] == [(50, 1), (101, 2), (201, 4)]


def test_lines_that_hang():
    for start in (3000, 4100):
        found, notes = codes_of(pulses(plus=65280, start=start), SFREQ)
        assert found == PLAIN and "65280 (bit 8, 9, 10, 11, 12, 13, 14, 15) stays on" in notes[0]
    assert codes_of(pulses(plus=65280, start=3000), SFREQ, mask=255)[0] == PLAIN
    raised = [(at, code + 256) for at, code in PLAIN]
    assert codes_of(pulses(plus=256), SFREQ)[0] == raised  # as ever: its names are those of the file
    assert codes_of(pulses(plus=256), SFREQ, wanted=lambda code: code in "1234")[0] == PLAIN
    meant = {str(code) for _, code in [*PLAIN, *raised]}
    found, notes = codes_of(pulses(plus=256, start=4100), SFREQ, wanted=meant.__contains__)
    assert [code for at, code in found if at in AT] == [code + 256 * (at >= 4100) for at, code in PLAIN]


def test_a_line_of_the_codes_that_hangs():
    """Codes that differ by its bit are lost: nothing is guessed."""
    values = pulses()
    values[4000:6500] |= 1
    with pytest.raises(InputError, match=r"bit 0 \(value 1\) hangs at 20.000 to .* --stim_mask 254"):
        codes_of(values, SFREQ)
    assert codes_of(values, SFREQ, mask=254)[0] == [(at, code & 254) for at, code in PLAIN if code & 254]
    level = pulses()
    level[2000:4000] |= 64
    level[5000:7000] |= 64  # a line of its own, on in two blocks
    assert codes_of(level, SFREQ)[0] == PLAIN


def with_codes(values, path, names=("STI 014",)):
    raw = make_raw(channels=[*CHANNELS[:4], *names])
    raw.set_channel_types(dict.fromkeys(names, "stim"), verbose="error")
    data = np.vstack([raw.get_data(picks="eeg"), np.atleast_2d(values)])
    return save(mne.io.RawArray(data, raw.info, verbose="error"), path)


def test_a_data_set_of_codes(tmp_path, capsys):
    pictures = make_pictures(tmp_path / "pictures", ("cat", "dog", "car", "cup"))
    table = write_table(tmp_path / "map.tsv", ("event", "class"), *zip((1, 2, 3, 4, 9), ("cat", "dog", "car", "cup", "cup"),
                                                                      strict=True))
    options = ("--pictures", pictures, "--picture_map", table, *AS_IT_IS)
    path = with_codes(pulses(plus=256, start=4100), tmp_path / "one_raw.fif")
    record, eeg, columns = prepare(tmp_path / "out", "--recordings", path, *options)
    printed = capsys.readouterr().out
    assert "STI 014: 256 (bit 8) stays on from" in printed and "--stim_mask" in printed
    assert "1 of 5 in --picture_map not found: 9" in printed
    for code, kind in enumerate(("cat", "dog", "car", "cup"), 1):
        assert f"  {code:<12} {7:>6}  {kind}" in printed
    np.testing.assert_allclose(columns["onset"], AT / SFREQ, atol=1e-9)
    shown = [("cat", "dog", "car", "cup")[code - 1] for code in CODES]
    assert [record["class_names"][label] for label in columns["label"]] == shown
    data = mne.io.read_raw_fif(path, verbose="error").get_data(picks="eeg") * 1e6
    np.testing.assert_allclose(eeg, np.stack([data[:, at - 40:at + 160] for at in AT]), atol=1e-3)
    assert record["about"]["options"]["stim_mask"] is None
    path = with_codes(pulses(), tmp_path / "two_raw.fif")
    record, _, _ = prepare(tmp_path / "masked", "--recordings", path, "--stim_mask", "3", *options)
    assert record["about"]["events"]["shown"] == {"cat": 7, "dog": 7, "car": 7}
    path = with_codes([pulses(), 0 * pulses() + 5], tmp_path / "three_raw.fif", ("TRIG", "OTHER"))
    assert len(prepare(tmp_path / "named", "--recordings", path, "--stim_channel", "TRIG", *options)[1]) == len(AT)
    assert "--stim_channel NONE" in fails(capsys, tmp_path / "no", "--recordings", path, "--stim_channel", "NONE", *options)
    events = write_table(tmp_path / "events.tsv", ("onset", "class"), (3, "cat"))
    assert "--stim_mask" in fails(capsys, tmp_path / "no", "--recordings", path, "--events", events, "--stim_mask", "1")
    path = save(make_raw(), tmp_path / "none_raw.fif")  # its annotations were read without a word
    assert "--stim_mask 3: " in fails(capsys, tmp_path / "no", "--recordings", path, "--event_names", ".*", "--stim_mask",
                                      "3")


@pytest.mark.parametrize(("name", "count"), [("glitch", 48), ("stuck_half", 48), ("comment", 48), ("held", 39)])
def test_the_cases_of_the_issue(cases, tmp_path, name, count):
    """In held_raw.fif 39 of 48 codes differ from the one before; the others leave no trace in the file."""
    path = cases / f"{name}_raw.fif"
    record, _, columns = prepare(tmp_path / "out", "--recordings", path, "--picture_map", cases / "map_codes.tsv",
                                 "--pictures", cases / "pics4", *AS_IT_IS)
    values = mne.io.read_raw_fif(path, verbose="error").get_data("STI 014")[0].astype(int)
    values = values & 255 if name == "stuck_half" else values
    samples = np.flatnonzero(np.diff(values)) + 1
    lasting = [at for at in samples if values[at] and values[at + 1] == values[at]]
    assert len(columns["label"]) == len(lasting) == count
    np.testing.assert_allclose(columns["onset"] * 250, lasting)
    shown = [("cat", "dog", "car", "cup")[values[at] - 1] for at in lasting]
    assert [record["class_names"][label] for label in columns["label"]] == shown
    assert Counter(record["about"]["events"]["ignored"]).total() == (2 if name == "comment" else 0)
