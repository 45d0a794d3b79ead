"""prepare_data.py raw: what headers say and MNE does not look at. Other numbers, or other electrodes, were read as EEG."""

import shutil

import numpy as np
import pytest

from raw_material import CHANNELS, ONSETS, SFREQ, make_raw, save, write_table
from raw_runs import AS_IT_IS, fails, prepare

mne = pytest.importorskip("mne")
COUNTS = np.random.default_rng(0).integers(-500, 500, (4, 8000))


def persyst(folder, changes=(), order=(1, 2, 3, 4)):
    """A .lay file beside its data, with texts of it changed; order: numbers of Fz, Cz, Pz and Oz."""
    (folder / "one.dat").write_bytes(COUNTS.T.astype("<i2").tobytes())
    lines = "".join(f"{name}-Ref={number}\n" for name, number in zip(CHANNELS, order, strict=False))
    text = ("[FileInfo]\nFile=one.dat\nFileType=Interleaved\nSamplingRate=200\nHeaderLength=0\nCalibration=0.1\n"
            f"WaveformCount=4\nDataType=0\n[ChannelMap]\n{lines}[Comments]\n"
            + "".join(f"{onset},0,0,100,cat\n" for onset in ONSETS) + "[Patient]\nSex=\nHand=\nBirthDate=01/01/1900\n"
            "TestDate=01/01/2020\nTestTime=12:00:00\n")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "one.lay").write_text(text, encoding="utf-8")
    return "--recordings", folder / "one.lay", "--event_names", "cat", *AS_IT_IS


def test_channels_of_persyst_have_numbers(tmp_path):
    """Oz=4 in the first line is the fourth value of a sample. MNE goes by the lines: Fz and Oz changed places."""
    record, eeg, _ = prepare(tmp_path / "out", *persyst(tmp_path, order=(4, 2, 3, 1)))
    assert sorted(record["ch_names"]) == ["CZ", "FZ", "OZ", "PZ"]
    at = np.round(ONSETS * SFREQ).astype(int)
    row = {"FZ": 3, "CZ": 1, "PZ": 2, "OZ": 0}
    for place, name in enumerate(record["ch_names"]):
        np.testing.assert_allclose(eeg[:, place], np.stack([COUNTS[row[name], each - 40:each + 160] for each in at]) * .1,
                                   atol=1e-3)


@pytest.mark.parametrize(("change", "said"), [
    (("HeaderLength=0", "HeaderLength=64"), "headerlength is 64, expected 0"),
    (("Interleaved", "Other"), "filetype is Other, expected interleaved"),
    (("Pz-Ref=3", "Pz-Ref=2"), "numbers 1, 2, 2, 4, expected each of 1 to 4 once"),
    (("BirthDate=01/01/1900", "BirthDate="), "[Patient] has no BirthDate"),
    (("TestDate=01/01/2020\n", ""), "write the line TestDate=01/01/1900 there"),
    (("File=one.dat", "File=D:\\eeg\\one.dat"), "write File=one.dat")])
def test_other_headers_of_persyst(tmp_path, capsys, change, said):
    assert said in fails(capsys, tmp_path / "out", *persyst(tmp_path, [change]))


def test_the_data_of_persyst_alone(tmp_path, capsys):
    _, _, *rest = persyst(tmp_path)
    message = fails(capsys, tmp_path / "out", "--recordings", tmp_path / "one.dat", *rest)
    assert message.endswith("is only one file of a recording; give one.lay instead")


@pytest.mark.parametrize("change", ["width", "long"])
def test_nicolet(cases, tmp_path, capsys, change):
    """Values of 4 bytes were read as two of 2 bytes."""
    head, data = ((cases / f"test_nicolet_raw.{ending}").read_bytes() for ending in ("head", "data"))
    if change == "width":
        head, data = head.replace(b"sample_bytes=2", b"sample_bytes=4"), np.frombuffer(data, "<i2").astype("<i4").tobytes()
    (tmp_path / "one.head").write_bytes(head)
    (tmp_path / "one.data").write_bytes(data * (1 + (change == "long")))
    table = write_table(tmp_path / "events.tsv", ("onset", "class"), (.3, "cat"))
    message = fails(capsys, tmp_path / "out", "--recordings", tmp_path / "one.data", "--events", table)
    assert "has 59392 bytes, and one.head tells of 512 samples of 29 channels" in message


def test_the_data_of_another_version(shared, tmp_path, capsys):
    """The size of an .fdt file is that of the samples of its .set file: a longer one is of another version."""
    for ending in ("set", "fdt"):
        shutil.copy(shared / "raw_formats" / f"eeglab_data.{ending}", tmp_path)
    with open(tmp_path / "eeglab_data.fdt", "ab") as file:
        file.write(bytes(128 * 100))
    message = fails(capsys, tmp_path / "out", "--recordings", tmp_path / "eeglab_data.set", "--event_names", "square")
    assert "tells of 30504 samples of 32 channels" in message and "bytes of its data file eeglab_data.fdt" in message


@pytest.mark.parametrize(("old", "new", "said"), [
    ("NumberOfChannels=8", "DataPoints = 9000\nNumberOfChannels = 8", "its header counts 9000 samples"),
    ("DataFormat=BINARY", "DataFormat=BINARY\nDataType=FREQUENCYDOMAIN", "expected TIMEDOMAIN"),
    ("Ch2=Cz", "Ch2=Fz", "two channels are called Fz"), (",µV", ",\u03bcV", None)])
def test_odd_headers_of_brainvision(tmp_path, capsys, old, new, said):
    """Blanks around the sign hid that a file is cut short; the Greek letter made all channels something else than EEG."""
    pytest.importorskip("pybv")
    path = save(make_raw(), tmp_path / "one.vhdr")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    options = ("--recordings", path, "--event_names", "Comment/(cat|dog)", *AS_IT_IS)
    if said:
        assert said in fails(capsys, tmp_path / "out", *options)
    else:
        assert 9 < prepare(tmp_path / "out", *options)[1].std() < 11
