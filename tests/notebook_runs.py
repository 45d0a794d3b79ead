"""Notebooks executed as Jupyter does, with some of their parameters changed."""

from pathlib import Path

import nbclient
import nbformat
from ipykernel.kernelspec import write_kernel_spec

ROOT = Path(__file__).resolve().parents[1]


def read_notebook(name):
    return nbformat.read(ROOT / "notebooks" / name, as_version=4)


def give_kernel(folder, monkeypatch):
    """A kernel of this very Python, whose files lie in `folder`."""
    write_kernel_spec(folder / "jupyter" / "kernels" / "this-python")
    for name, value in {"JUPYTER_PATH": "jupyter", "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython"}.items():
        monkeypatch.setenv(name, str(folder / value))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def execute(notebook, **parameters):
    place = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    given = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(given))
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="this-python",
                            resources={"metadata": {"path": str(ROOT)}}).execute()
    return notebook
