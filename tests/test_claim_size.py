"""The simulated caption studies of bench/claim_size.py: what their rules put into the captions, and the table."""

import json

import numpy as np

from bench import claim_size
from bench.claim_designs import Design, draw


def rows_of(**changes):
    return draw(Design(**changes), np.random.default_rng(0))


def test_repeats_and_who_sees_what():
    oddball = rows_of(repeats="oddball", classes=2, people=1, pictures=20)
    assert sorted(set(np.bincount(oddball.picture))) == [5, 40]
    nested = rows_of(people_see="own")
    assert all(len(set(nested.person[nested.picture == picture])) == 1 for picture in range(48))
    assert len(rows_of().picture) == 4 * 48


def test_captions_depend_on_what_the_rule_says():
    read = rows_of(captions="read", reading=1., named="true")
    for one, other, kind in zip(read.generated, read.true_captions, read.true, strict=True):
        words, true = (set(text.replace(",", "").replace(".", "").lower().split()) for text in (one, other))
        assert f"kind{kind}" in words and len(words & true) >= 6  # class, colour, number, place and background
    assert len(set(rows_of(captions="constant").generated)) == 1
    assert np.mean(rows_of(accuracy=1.).predicted == rows_of().true) == 1


def test_table_of_a_few_studies(tmp_path, capsys):
    claim_size.main(["--studies", "6", "--designs", "class only", "accuracy .9, read", "--n_perm", "99", "--workers", "1",
                     "--json", str(tmp_path / "rates.json")])
    rates = json.loads((tmp_path / "rates.json").read_text())["rates"]
    assert list(rates) == ["class only", "accuracy .9, read"]
    assert rates["accuracy .9, read"]["beyond"]["true"] and not rates["class only"]["beyond"]["true"]
    assert rates["class only"]["anything"]["p_below"]["count"] == 6
    assert "| class only | **6: 1.000" in capsys.readouterr().out


def test_unknown_design(capsys):
    try:
        claim_size.main(["--designs", "nonsense"])
    except SystemExit as stop:
        assert stop.code == 2
    assert "--designs nonsense: fits none of predicted name, " in capsys.readouterr().err
