import errno

from runtime.errors import InputError, exits_cleanly
from runtime.runs import atomic_path, write_json

import pytest
import torch
from safetensors.torch import save_file


@pytest.mark.parametrize("kind", ["torch", "safetensors", "text"])
def test_a_full_disk_is_said_and_keeps_what_was_there(tmp_path, capsys, full_disk, kind):
    path = tmp_path / "result"
    path.write_text("the old one")

    @exits_cleanly
    def main(argv=None):
        with atomic_path(path) as temporary:
            if kind == "torch":
                torch.save({"a": torch.zeros(10**6)}, temporary)
            elif kind == "safetensors":
                save_file({"a": torch.zeros(10**6)}, temporary)
            else:
                temporary.write_text("x" * 10**6)

    with pytest.raises(SystemExit) as stop, full_disk():
        main()
    assert stop.value.code == 2 and "cannot be written" in capsys.readouterr().err
    assert path.read_text() == "the old one" and [p.name for p in tmp_path.iterdir()] == ["result"]


def test_other_errors_are_not_hidden(capsys):
    @exits_cleanly
    def main(argv):
        raise argv

    with pytest.raises(RuntimeError, match="a bug"):
        main(RuntimeError("a bug"))
    with pytest.raises(ConnectionResetError):
        main(OSError(errno.ECONNRESET, "reset"))
    with pytest.raises(SystemExit) as stop:
        main(InputError("--flag x: found y"))
    assert stop.value.code == 2 and capsys.readouterr().err == "error: --flag x: found y\n"


def test_interrupted_writes_leave_nothing(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "a.json").read_text() == '{\n  "x": 1\n}\n' and len(list(tmp_path.iterdir())) == 1
