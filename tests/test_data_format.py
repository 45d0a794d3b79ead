"""bench/data_format.py on a few trials: the content of its section; speed is not tested."""

import platform

from bench import data_format


def test_it_measures_all_three_and_keeps_other_sections(tmp_path):
    results = tmp_path / "RESULTS.md"
    results.write_text("# Title\n\n## other\n\n| kept |\n")
    data_format.main(["--trials", "130", "--n_chans", "3", "--n_times", "20", "--repeats", "1", "--scratch", str(tmp_path),
                      "--results", str(results)])
    text = results.read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if "numpy)" in line or "load_trials" in line]
    assert "| kept |" in text and f"\npython {platform.python_version()}, " in text
    assert "130 trials of 3 x 20" in text and len(rows) == 2
    for _, seconds, before, after, speed, share in rows:
        assert float(seconds) < 60 and 0 < float(before) <= float(after) + 1 and float(speed) > 0 and float(share) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["RESULTS.md"]
