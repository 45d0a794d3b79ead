import re
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

import lowest_versions

ROOT = Path(__file__).resolve().parents[1]


def test_pins_are_the_lower_bounds():
    asked = re.search(r"AT_LOWEST := (.*)", (ROOT / "Makefile").read_text())[1].split()
    pins = lowest_versions.lowest(asked)
    assert [pin.split("==")[0] for pin in pins] == asked
    text = "\n".join(file.read_text() for file in ROOT.glob("requirements*.txt"))
    for name, version in (pin.split("==") for pin in pins):
        allowed = SpecifierSet(re.search(rf"^{name}(>=.*)$", text, re.M)[1])
        assert version in allowed and str(allowed).count(version) == 1
        assert f">={version}" in str(allowed)


@pytest.mark.parametrize("name", ["no-such-package", "torchvision-x"])
def test_a_package_without_a_bound_is_named(name):
    with pytest.raises(ValueError, match=f"{name}: no lower bound"):
        lowest_versions.lowest(["mne", name])
