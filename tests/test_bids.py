"""BIDS folders that are odd, and the tables and JSON files in them."""

import pytest

from raw_material import ONSETS, make_pictures, make_raw, save, write_table
from raw_runs import AS_IT_IS, fails, prepare

pytest.importorskip("mne_bids")
KINDS = ("cat", "dog")


def make_bids(root, *runs):
    """A BIDS folder with pictures of sub-01 and an EDF for each of `runs`, with all its tables; returns its eeg folder."""
    make_pictures(root / "stimuli")
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    folder = root / "sub-01" / "eeg"
    for number, run in enumerate(runs):
        stem = f"sub-01_task-images{run}"
        raw = make_raw(seed=number).set_annotations(None)
        save(raw, folder / f"{stem}_eeg.edf")
        (folder / f"{stem}_eeg.json").write_text('{"TaskName": "images"}')
        write_table(folder / f"{stem}_channels.tsv", ("name", "type", "units"), *(
            (name, "EEG", "uV") for name in raw.ch_names))
        write_table(folder / f"{stem}_events.tsv", ("onset", "duration", "stim_file"), *(
            (onset, .1, f"{kind}/{kind}_{i % 4}.png") for i, onset in enumerate(ONSETS) for kind in [KINDS[i % 2]]))
    return folder


def test_a_recording_without_a_run_has_no_table_of_run_2(tmp_path, capsys):
    """Its trials were cut at the times of the other run's events."""
    folder = make_bids(tmp_path / "bids", "", "_run-2")
    options = ("--bids", tmp_path / "bids", *AS_IT_IS)
    assert len(prepare(tmp_path / "out", *options)[1]) == 2 * len(ONSETS)
    (folder / "sub-01_task-images_events.tsv").rename(tmp_path / "bids" / "task-images_events.tsv")  # for all runs of it
    assert len(prepare(tmp_path / "inherited", *options)[1]) == 2 * len(ONSETS)
    (tmp_path / "bids" / "task-images_events.tsv").unlink()
    assert "sub-01_task-images_eeg.edf: no events table beside it" in fails(capsys, tmp_path / "no", *options)


def test_channels_tsv_in_another_order(tmp_path):
    """It was refused as a damaged recording."""
    folder = make_bids(tmp_path / "bids", "")
    options, table = ("--bids", tmp_path / "bids", *AS_IT_IS), folder / "sub-01_task-images_channels.tsv"
    record, right, _ = prepare(tmp_path / "right", *options)
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *(row.replace("Fz\tEEG", "Fz\tEOG") for row in reversed(rows))]) + "\n")
    mixed, eeg, _ = prepare(tmp_path / "mixed", *options)
    assert sorted(mixed["ch_names"]) == sorted(set(record["ch_names"]) - {"Fz"})
    assert (eeg == right[:, [record["ch_names"].index(name) for name in mixed["ch_names"]]]).all()


@pytest.mark.parametrize(("ending", "old", "new", "said"), [
    ("channels.tsv", "Fz", "Q9", "channels.tsv: names the channel Q9, which sub-01_task-images_eeg.edf does not have"),
    ("channels.tsv", "Fz", "Cz", "Duplicate channel names"), ("eeg.json", "}", "", "JSONDecodeError")])
def test_the_recording_is_not_blamed_for_the_files_beside_it(tmp_path, capsys, ending, old, new, said):
    folder = make_bids(tmp_path / "bids", "")
    file = folder / f"sub-01_task-images_{ending}"
    file.write_text(file.read_text().replace(old, new))
    message = fails(capsys, tmp_path / "out", "--bids", tmp_path / "bids", *AS_IT_IS)
    assert said in message and "damaged" not in message
    assert "write the names" in message or "the recording itself can be read" in message


def test_channels_that_the_recording_lacks_are_told(tmp_path, capsys):
    folder = make_bids(tmp_path / "bids", "")
    with open(folder / "sub-01_task-images_channels.tsv", "a", encoding="utf-8") as file:
        file.write("FCz\tEEG\tuV\n")
    assert len(prepare(tmp_path / "out", "--bids", tmp_path / "bids", *AS_IT_IS)[1]) == len(ONSETS)
    assert "missing in the raw data: FCz" in capsys.readouterr().out


def test_what_to_do_about_events_that_show_nothing(tmp_path, capsys):
    """A --event_names that fitted was to be widened, and a table without rows replaced by --events, which BIDS refuses."""
    folder = make_bids(tmp_path / "bids", "")
    table = write_table(folder / "sub-01_task-images_events.tsv", ("onset", "duration", "value"), (3., .1, 1), (5., .1, 2))
    options = ("--bids", tmp_path / "bids", *AS_IT_IS, "--event_names")
    message = fails(capsys, tmp_path / "no", *options, "1|2")
    assert "--picture_map to say what they mean" in message and "fits whole names" not in message
    assert "such as '.*(3|4).*'" in fails(capsys, tmp_path / "no", *options, "3|4")
    write_table(table, ("onset", "duration", "value"))
    message = fails(capsys, tmp_path / "no", *options, "1|2")
    assert "expected rows in its events.tsv" in message and "--events" not in message


def test_an_ending_in_capitals_is_refused(tmp_path, capsys):
    """Such recordings were left out without a word."""
    folder = make_bids(tmp_path / "bids", "_run-1", "_run-2")
    (folder / "sub-01_task-images_run-2_eeg.edf").rename(folder / "sub-01_task-images_run-2_eeg.EDF")
    message = fails(capsys, tmp_path / "out", "--bids", tmp_path / "bids", *AS_IT_IS)
    assert "run-2_eeg.EDF ends in capitals" in message
    assert "rename it to sub-01_task-images_run-2_eeg.edf" in message


def test_a_task_without_events_can_be_left_out_by_the_task(tmp_path, capsys):
    """The message asked to leave the file out, which means to take it out of the BIDS folder."""
    folder = make_bids(tmp_path / "bids", "")
    save(make_raw(seed=7).set_annotations(None), folder / "sub-01_task-rest_eeg.edf")
    options = ("--bids", tmp_path / "bids", *AS_IT_IS)
    message = fails(capsys, tmp_path / "out", *options)
    assert "sub-01_task-rest_eeg.edf: no events table beside it" in message and "choose --task images" in message
    assert len(prepare(tmp_path / "out", *options, "--task", "images")[1]) == len(ONSETS)


def test_a_recording_without_a_run_has_no_channels_of_run_2(tmp_path, capsys):
    """Its channels got the types and bad channels of the other run."""
    folder = make_bids(tmp_path / "bids", "", "_run-2")
    (folder / "sub-01_task-images_channels.tsv").unlink()
    options = ("--bids", tmp_path / "bids", *AS_IT_IS)
    message = fails(capsys, tmp_path / "out", *options)
    assert "sub-01_task-images_eeg.edf: has no channels.tsv of its own" in message
    assert "sub-01_task-images_run-2_channels.tsv" in message
    (folder / "sub-01_task-images_run-2_channels.tsv").rename(tmp_path / "bids" / "task-images_channels.tsv")  # for both
    assert len(prepare(tmp_path / "out", *options)[1]) == 2 * len(ONSETS)
