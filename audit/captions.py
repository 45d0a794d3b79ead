"""Whether the pictures that were shown have captions: stages 2 and 3 cannot do without."""

from runtime.wording import counted, listed

import numpy as np

from eegdata.pictures import has_caption, picture_path

from .data import Material
from .findings import Finding

MAX_LISTED = 5


def check_captions(material: Material) -> Finding:
    """Pictures of the split's trials without a caption."""
    if material.image_dir is None:
        return Finding("Captions", "not checked", "Without a folder of pictures, captions cannot be counted.")
    rows = np.concatenate(list(material.split.values()))
    names = sorted({material.trials.images[number] for number in np.unique(material.image[rows])})
    captioned = {name for name in names if has_caption(material.image_dir, name)}
    names = [name for name in names if name in captioned or picture_path(material.image_dir, name).is_file()]
    if not names:
        return Finding("Captions", "not checked", "The data set has no pictures, so that there is nothing to caption.")
    missing = [name for name in names if name not in captioned]
    numbers = {"pictures": len(names), "without_caption": len(missing)}
    if not missing:
        return Finding("Captions", "passed", f"{counted(len(names), 'picture')}, each with a caption.", numbers)
    return Finding("Captions", "warning", f"{len(missing)} of {counted(len(names), 'picture')} without a caption "
                   f"({listed(missing, MAX_LISTED)}), so stages 2 and 3 cannot use this data set; write the captions, or "
                   "have a model write them with prepare_data.py caption.", numbers)
