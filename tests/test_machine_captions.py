"""prepare_data.py caption with tiny image-to-text models of each kind; several captions a picture in training."""

import shutil

from runtime.runs import file_hash

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import datautils
import finetune_llm
import inference_chance
import prepare_data
from captioning import training
from config import EEGEncoderConfig
from eegdata import machine_captions, pictures
from eegdata.pictures import machine_made, read_caption, read_captions, write_captions, write_machine_captions
from encoders import build_encoder, save_encoder
from tiny import CHANNELS, data_arguments, make_tokenizer

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "the", "red", "blue", "cat", "dog", "car", "on", "in", "grass", "snow",
         "sea", "near", "two", "three", "sits"]
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
         "initializer_range": 1.0}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}
TEXT = {**SMALL, "vocab_size": len(WORDS), "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1,
        "eos_token_id": 2}
KINDS = ("blip", "git", "ved", "llava")


def words_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", bos_token="[CLS]",
                                   eos_token="[SEP]", cls_token="[CLS]", sep_token="[SEP]")


def make_model(kind, folder):
    """Save a tiny random image-to-text model with its processor as its makers save theirs."""
    import transformers as hf

    size, crop = {"height": 32, "width": 32}, {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    tokenizer = words_tokenizer()
    torch.manual_seed(3)
    if kind == "blip":
        model = hf.BlipForConditionalGeneration(hf.BlipConfig(
            text_config={**TEXT, "encoder_hidden_size": 32, "sep_token_id": 2}, vision_config=VISION))
        torch.nn.init.constant_(model.text_decoder.cls.predictions.bias[:4], -100)  # words only
        hf.BlipProcessor(hf.BlipImageProcessor(size=size), tokenizer).save_pretrained(folder)
    elif kind == "git":
        model = hf.GitForCausalLM(hf.GitConfig(vision_config=VISION, **TEXT))
        hf.GitProcessor(hf.CLIPImageProcessor(**crop), tokenizer).save_pretrained(folder)
    elif kind == "ved":
        decoder = hf.GPT2Config(vocab_size=len(WORDS), n_embd=32, n_layer=1, n_head=2, n_positions=64, bos_token_id=1,
                                eos_token_id=2, initializer_range=1.0)
        config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(hf.ViTConfig(**VISION), decoder)
        model = hf.VisionEncoderDecoderModel(config=config)
        for part in (model.config, model.generation_config):
            part.decoder_start_token_id, part.pad_token_id, part.eos_token_id = 1, 0, 2
        hf.ViTImageProcessor(size=size).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    else:
        tokenizer = make_tokenizer([machine_captions.REQUEST], chat=True)
        tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
        text = hf.LlamaConfig(hidden_size=48, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4,
                              vocab_size=len(tokenizer), max_position_embeddings=256, eos_token_id=tokenizer.eos_token_id,
                              bos_token_id=tokenizer.bos_token_id, initializer_range=1.0)
        model = hf.LlavaForConditionalGeneration(hf.LlavaConfig(
            vision_config=hf.CLIPVisionConfig(**VISION), text_config=text, vision_feature_layer=-1,
            image_token_id=tokenizer.convert_tokens_to_ids("<image>")))
        template = ("{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}"
                    "<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}{{ '\\n' }}{% endfor %}assistant: ")
        hf.LlavaProcessor(hf.CLIPImageProcessor(**crop), tokenizer, patch_size=8, vision_feature_select_strategy="default",
                          chat_template=template, image_token="<image>", num_additional_image_tokens=1
                          ).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {kind: make_model(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


NAMES = ["cat_1", "cat_2", "cat_3", "dog_1", "dog_2"]


@pytest.fixture
def images(tmp_path):
    """An image folder with five pictures and a sketch; a person described cat_2."""
    rng = np.random.default_rng(0)
    for name in [*NAMES, "cat_1_sketch"]:
        path = tmp_path / "images" / name[:3] / f"{name}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 30, 3), np.uint8)).save(path)
    write_captions(tmp_path / "images", {"cat_2": ["A person's cat.", "Again."]})
    return tmp_path / "images"


def caption(folder, model, *more):
    prepare_data.main(["caption", str(folder), "--model", str(model), "--device", "cpu", "--max_new_tokens", "6", *more])


@pytest.mark.parametrize("template", ["Hello!", "{{ messages[7].content }}", "{% for m in messages %}"])
def test_a_chat_template_that_cannot_be_used(models, images, tmp_path, capsys, template):
    folder = shutil.copytree(models["llava"], tmp_path / "llava")
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(SystemExit) as stop:
        caption(images, folder)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and said.startswith(f"error: --model {folder}: its chat template cannot be used"), said


def as_its_makers_do(kind, folder, path):
    """A caption as the model's page on the Hub shows it, one picture at a time."""
    import transformers as hf

    picture = Image.open(path).convert("RGB")
    options = {"max_new_tokens": 6, "do_sample": False}
    if kind == "ved":
        model = hf.VisionEncoderDecoderModel.from_pretrained(folder).eval()
        pixels = hf.ViTImageProcessor.from_pretrained(folder)(images=picture, return_tensors="pt").pixel_values
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        return tokenizer.decode(model.generate(pixels, **options)[0], skip_special_tokens=True)
    model = {"blip": hf.BlipForConditionalGeneration, "git": hf.GitForCausalLM, "llava": hf.LlavaForConditionalGeneration
             }[kind].from_pretrained(folder).eval()
    processor = hf.AutoProcessor.from_pretrained(folder)
    if kind == "llava":
        asked = f"user: <image>{machine_captions.REQUEST}\nassistant: "
        inputs = processor(text=asked, images=picture, return_tensors="pt")
        return processor.decode(model.generate(**inputs, **options)[0, inputs["input_ids"].shape[1]:],
                                skip_special_tokens=True)
    pixels = processor(images=picture, return_tensors="pt").pixel_values
    return processor.decode(model.generate(pixel_values=pixels, **options)[0], skip_special_tokens=True)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_writes_what_its_makers_show(images, models, kind, capsys):
    caption(images, models[kind], "--batch_size", "2")
    out = capsys.readouterr().out
    assert "5 pictures: 1 keep their caption, 4 to be captioned" in out and "marked as machine-made" in out
    written = {name: read_caption(images, name) for name in NAMES if name != "cat_2"}
    expected = {name: " ".join(as_its_makers_do(kind, models[kind], images / name[:3] / f"{name}.JPEG").split())
                for name in written}
    assert written == expected and len(set(written.values())) > 1
    assert machine_made(images) == dict.fromkeys(written, models[kind].name)
    assert read_captions(images, "cat_2") == ["A person's cat.", "Again."]
    assert len(list(images.rglob("*_caption.txt"))) == 5  # none for the sketch
    assert str(models[kind].parent) not in (images / "machine_captions.json").read_text()


def test_overwrite_makes_anew_only_what_a_model_wrote(images, models):
    caption(images, models["blip"])
    write_captions(images, {"dog_1": "A person corrected this."})
    before = {name: read_captions(images, name) for name in NAMES}
    caption(images, models["git"])
    assert before == {name: read_captions(images, name) for name in NAMES}
    caption(images, models["git"], "--overwrite")
    changed = {name for name in NAMES if read_captions(images, name) != before[name]}
    assert "dog_1" not in changed and "cat_2" not in changed and changed
    assert machine_made(images) == dict.fromkeys(["cat_1", "cat_3", "dog_2"], models["git"].name)


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_interrupted_run_goes_on_and_no_caption_loses_its_mark(images, models, monkeypatch, more):
    if more:
        caption(images, models["git"])
    real, seen = pictures.write_captions, []

    def stops(image_dir, captions):
        if len(seen) == 1:
            raise KeyboardInterrupt
        seen.append(list(captions))
        real(image_dir, captions)

    monkeypatch.setattr(pictures, "write_captions", stops)
    with pytest.raises(KeyboardInterrupt):
        caption(images, models["blip"], "--batch_size", "1", *more)
    monkeypatch.undo()
    have = [name for name in NAMES if (images / name[:3] / f"{name}_caption.txt").is_file()]
    assert set(have) - {"cat_2"} == set(machine_made(images)) and len(have) == (4 if more else 2)
    first = file_hash(images / "cat" / "cat_1_caption.txt")
    caption(images, models["blip"], "--batch_size", "1")
    assert set(machine_made(images)) == set(NAMES) - {"cat_2"}
    assert file_hash(images / "cat" / "cat_1_caption.txt") == first


def test_nothing_to_do_loads_no_model(images, capsys):
    write_captions(images, dict.fromkeys(NAMES, "A cat."))
    caption(images, "no/model")
    assert "5 keep their caption, 0 to be captioned" in capsys.readouterr().out


def test_pictures_that_are_left_out_are_told(tmp_path, capsys):
    """Pictures of other names or endings stayed without a caption, and nothing said so."""
    (tmp_path / "cat").mkdir()
    for name in ("cat_1.JPEG", "cat_1_sketch.JPEG", "cat_2.jpg", "tom.JPEG"):
        Image.new("RGB", (9, 9)).save(tmp_path / "cat" / name)
    write_captions(tmp_path, {"cat_1": "A cat."})
    prepare_data.main(["caption", str(tmp_path), "--model", "none", "--device", "cpu"])
    assert "2 pictures left out, cat/cat_2.jpg among them" in capsys.readouterr().out


def test_silence_is_told_and_leaves_no_empty_caption(images, models, monkeypatch, capsys):
    monkeypatch.setattr(machine_captions, "load_writer", lambda *_: lambda pictures, _: [" ", "A dog."][:len(pictures)])
    caption(images, models["git"], "--batch_size", "2")
    out = capsys.readouterr().out
    assert "2 captions written" in out and "2 pictures still have none" in out and "cat_1, dog_1" in out
    assert set(machine_made(images)) == {"cat_3", "dog_2"} and not (images / "cat" / "cat_1_caption.txt").exists()


def test_a_data_set_folder(tmp_path, images, models, capsys):
    from eegdata.dataset_writer import write_folder
    from eegdata.records import Block, DataSet, Picture, Recording

    def read():
        yield Block(np.ones((3, 2, 20), np.float32), np.array([0, 0, 1]), ["cat_1", "cat_2", "dog_1"], np.arange(3.))

    photographs = {name: Picture(images / name[:3] / f"{name}.JPEG", ("A given one.",) if name == "cat_2" else ())
                   for name in ("cat_1", "cat_2", "dog_1")}
    write_folder(DataSet([Recording("one", 1, 1, 1, read)], sfreq=100., ch_names=["Cz", "Pz"], n_times=20, tmin=0.,
                         units="uV", class_ids=["cat", "dog"], class_names=["cat", "dog"], pictures=photographs),
                 tmp_path / "set", "test", "none")
    caption(tmp_path / "set", models["git"])
    assert set(machine_made(tmp_path / "set" / "images")) == {"cat_1", "dog_1"}
    assert read_captions(tmp_path / "set" / "images", "cat_2") == ["A given one."]
    (tmp_path / "set" / "images" / "dog" / "dog_1.JPEG").unlink()
    refused(capsys, tmp_path / "set", models["git"], "dog_1.JPEG: picture not found", more=["--overwrite"])
    (tmp_path / "set" / "dataset.json").unlink()
    refused(capsys, tmp_path / "set", models["git"], "it is not finished")


def refused(capsys, folder, model, *words, more=()):
    """The command ends with exit code 2 and one line that holds the words."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        caption(folder, model, *more)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert stop.value.code == 2 and len(lines) == 1 and all(word in lines[0] for word in words), lines


@pytest.mark.parametrize("fault", ["clip", "llm", "encoder", "absent", "empty", "lacking", "cut", "no tokenizer"])
def test_other_models_are_refused(images, models, clip, llm, tmp_path, capsys, fault):
    folder, words = tmp_path / "model", "expected an image-to-text model"
    shutil.copytree({"clip": clip, "llm": llm}.get(fault, models["blip"]), folder)
    weights = folder / "model.safetensors"
    if fault == "encoder":
        save_encoder(build_encoder(EEGEncoderConfig(n_chans=2, n_times=40, sfreq=100., d_model=16, attn_heads=2)), folder)
    elif fault == "absent":
        shutil.rmtree(folder)
    elif fault == "empty":
        for path in folder.iterdir():
            path.unlink()
    elif fault == "lacking":
        save_file({k: v for k, v in load_file(weights).items() if "vision_model.encoder" not in k}, weights,
                  metadata={"format": "pt"})
        words = "its weights lack"
    elif fault == "cut":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif fault == "no tokenizer":
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).unlink()
    refused(capsys, images, folder, f"--model {folder}", words)
    assert not machine_made(images)


def test_a_bad_picture_and_a_folder_without_pictures_are_named(images, models, tmp_path, capsys):
    (images / "dog" / "dog_1.JPEG").write_bytes((images / "dog" / "dog_1.JPEG").read_bytes()[:300])
    refused(capsys, images, models["git"], "dog_1.JPEG: not a readable picture", more=["--batch_size", "1"])
    assert set(machine_made(images)) == {"cat_1", "cat_3"}
    (tmp_path / "none").mkdir()
    refused(capsys, tmp_path / "none", models["git"], "none: no pictures to caption", "<class>/<class>_<name>.JPEG")


@pytest.fixture
def described(data, tmp_path):
    """The tiny data set with a second and third caption for each picture."""
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    for path in (folder / "images").rglob("*_caption.txt"):
        name = path.name.removesuffix("_caption.txt")
        write_captions(folder / "images", {name: [path.read_text(), f"Other words for {name}.", f"{name} once more."]})
    return folder


def finetune(data, clip, llm, tmp_path, output, *more):
    encoder = tmp_path / "encoder"
    if not encoder.is_dir():
        torch.manual_seed(0)
        save_encoder(build_encoder(EEGEncoderConfig(n_chans=6, n_times=64, sfreq=128., ch_names=CHANNELS, num_classes=3,
                                                    embedding_size=16, d_model=16, attn_heads=2, layers=1)), encoder)
    finetune_llm.main([*data_arguments(data), "--clip_model", str(clip), "--eeg_encoder_path", str(encoder), "--batch_size",
                       "8", "--llm_backbone_name_or_path", str(llm), "--output", str(tmp_path / output), "--device", "cpu",
                       "--num_epochs_image", "1", "--num_epochs_eeg", "1", "--max_steps", "2",
                       "--saved_pretrained_model_path", str(tmp_path / "kept"), *more])
    return tmp_path / output


def test_examples_draw_one_of_their_captions_each_time(llm, monkeypatch):
    from transformers import AutoTokenizer

    tokenizer, made = AutoTokenizer.from_pretrained(llm), []
    real = datautils.caption_ids
    monkeypatch.setattr(datautils, "caption_ids", lambda *a: made.append(a) or real(*a))
    texts = [["A cat.", "A red cat.", "Two cats."], "A dog.", ["A car."]]
    dataset = datautils.CaptionDataset(tokenizer, "chat", "Describe:", torch.zeros(3, 4), ["a", "b", "c"], texts)
    torch.manual_seed(0)
    drawn = [[tokenizer.decode(dataset[i]["caption"], skip_special_tokens=True) for _ in range(300)] for i in range(3)]
    counts = [drawn[0].count(text) for text in texts[0]]
    assert sum(counts) == 300 and min(counts) > 70  # binomial: 100 +- 8
    assert set(drawn[1]) == {"A dog."} and set(drawn[2]) == {"A car."} and len(made) == 5


def test_all_captions_are_trained_on_and_the_first_is_validated(described, clip, llm, tmp_path, monkeypatch, capsys):
    seen = {}

    def watch(self, embeddings, labels, captions, exemplars, training):
        seen["train" if training else "val"] = captions
        return real(self, embeddings, labels, captions, exemplars, training)

    real = training.Stage.dataset
    monkeypatch.setattr(training.Stage, "dataset", watch)
    finetune(described, clip, llm, tmp_path, "all", "--captions", "all", "--group_by_length")
    assert {len(texts) for texts in seen["train"]} == {3} and all(isinstance(text, str) for text in seen["val"])
    assert ["A blue cat in the snow.", "Other words for cat_0.", "cat_0 once more."] in seen["train"]
    finetune(described, clip, llm, tmp_path, "first")
    assert all(isinstance(text, str) for part in seen.values() for text in part)
    assert "A blue cat in the snow." in seen["train"] and "made before" not in capsys.readouterr().out


def test_stage2_is_reused_only_with_the_same_captions(described, clip, llm, tmp_path, capsys):
    def reused(*more):
        finetune(described, clip, llm, tmp_path, "out", "--no_stage3", *more)
        return "made before with the same options" in capsys.readouterr().out

    assert [reused("--captions", "all"), reused("--captions", "all"), reused(), reused()] == [False, True, False, True]
    write_captions(described / "images", {"cat_0": ["A blue cat in the snow.", "Other words.", "cat_0 once more."]})
    assert [reused(), reused("--captions", "all")] == [True, False]  # the second line changed, the first did not


def test_inference_tells_that_references_are_machine_made(described, clip, llm, tmp_path, capsys):
    captioner = finetune(described, clip, llm, tmp_path, "captioner", "--no_stage2")

    def told():
        capsys.readouterr()
        inference_chance.main(["--model_path", str(captioner), *data_arguments(described), "--conditions", "label", "noise",
                               "--dest", str(tmp_path / "c.csv"), "--max_new_tokens", "2", "--device", "cpu"])
        return [line for line in capsys.readouterr().out.splitlines() if "written by a model" in line]

    assert told() == []
    write_machine_captions(described / "images", dict.fromkeys(("cat_0", "cat_6", "cat_7"), "A cat."), "org/captioner")
    (line,) = told()  # cat_0 is no test picture
    assert "2 of 6 pictures" in line and "(org/captioner)" in line
