"""notebooks/captioner.ipynb on the made-up recording."""

import nbformat
import pytest

from notebook_runs import execute, give_kernel, read_notebook
from raw_material import ONSETS


@pytest.mark.slow
def test_it_runs(study, expected, llm, tmp_path, monkeypatch):
    give_kernel(tmp_path, monkeypatch)
    notebook = read_notebook("captioner.ipynb")
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    executed = execute(notebook, MODEL=str(study[2]), RECORDING=str(study[0]), ONSETS=ONSETS.tolist(), LLM=str(llm),
                       MAX_NEW_TOKENS=12)
    tables = [output["data"]["text/html"] for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs
              if "text/html" in output.get("data", {}) and "caption_noise" in output["data"]["text/html"]]
    assert len(tables) == 1 and tables[0].count("<tr") == len(expected) + 1
    assert all(f"<td>{name}</td>" in tables[0] for name in set(expected["Predicted object"]))
