"""The lowest versions that the requirements files allow of some packages, as constraints for pip:

    python tests/lowest_versions.py transformers mne > constraints.txt
"""

import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def lowest(names: list[str]) -> list[str]:
    """`name==version` of each package; ValueError for one without a lower bound."""
    lines = [line.partition("#")[0].strip() for file in sorted(ROOT.glob("requirements*.txt"))
             for line in file.read_text().splitlines()]
    asked = {one.name: one for one in map(Requirement, (line for line in lines if line and not line.startswith("-")))}
    bounds = {name: [one.version for one in asked[name].specifier if one.operator == ">="]
              for name in names if name in asked}
    without = [name for name in names if not bounds.get(name)]
    if without:
        raise ValueError(f"{', '.join(without)}: no lower bound in requirements*.txt")
    return [f"{name}=={version}" for name in names for version in bounds[name]]


if __name__ == "__main__":
    print("\n".join(lowest(sys.argv[1:])))
