import pytest, torch
from pretended import pretended_device, NAME
from finetuning import finetune, write, write_controls
from tiny import data_arguments
import train_eeg_classifier

@pytest.fixture
def device(monkeypatch):
    with pretended_device(monkeypatch) as mode:
        yield mode

def test_basic(device):
    a = torch.ones(3, device="pretended")
    lin = torch.nn.Linear(3, 2).to("pretended")
    lin(a).sum().backward()
    assert lin.weight.grad.device.type == NAME
    with pytest.raises(RuntimeError, match="same device"):
        a + torch.ones(3)
    a.sum().item()
    print(device.waits)

def test_stage1(device, data, clip, tmp_path):
    train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path/"e"), "--num_epochs", "1", "--batch_size", "16"])
    print(device.waits)

def test_captioner(device, data, clip, encoder, llm, tmp_path):
    folder = finetune(data, clip, encoder, llm, tmp_path/"c", "--batch_size", "8")
    print(device.waits)
    device.waits.clear()
    write(folder, data, tmp_path / "x.csv")
    print(device.waits)
    device.waits.clear()
    write_controls(folder, data, tmp_path / "y.csv")
    print(device.waits)
