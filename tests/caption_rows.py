"""Caption CSVs as inference.py writes them, made up."""

import numpy as np
import pandas as pd

OBJECTS = ("dog", "cat", "car", "tree")


def rows(condition=None, n_pictures=12, people=3, right=1.0, seed=0):
    """Trials of `people` who saw each picture; a share `right` of the captions fits."""
    rng = np.random.default_rng(seed)
    table = []
    for trial in range(n_pictures * people):
        picture = trial % n_pictures
        thing = OBJECTS[picture % 4]
        said = thing if rng.random() < right else str(rng.choice(OBJECTS))
        table.append({
            "Ground Truth Image": f"images/c{picture % 4}/c{picture % 4}_{picture}.JPEG", "Expected object": thing,
            "Predicted object": f" {said}", "Expected Caption": f" A {thing} stands on number {picture}. ",
            "Generated Caption": f"A {said} stands on the grass.", "trial": 100 + trial, "subject": trial // n_pictures,
            "image": picture, "split": "test", "condition": condition, "prompt": "Describe this image:"})
    table = pd.DataFrame(table)
    return table if condition else table.iloc[:, :5]
