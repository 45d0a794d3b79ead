"""What the LLM is told beside the embedding: words, captions of similar pictures, labels out of fold, candidates."""

import importlib
import shutil
from dataclasses import replace
from types import SimpleNamespace

from runtime.errors import InputError
from runtime.runs import read_json

import numpy as np
import pandas
import pytest
import torch
from safetensors.torch import load_file
from scipy import optimize, stats
from transformers import AutoModelForCausalLM, AutoTokenizer

import evaluate
import inference_chance
import train_eeg_classifier
from captioning.captioner import Captioner
from captioning.readings import readings
from captioning.requests import GREEDY, Request
from captioning.routes import Route
from captioning.stages import image_stage
from datautils import CaptionDataset, image_embeddings
from eegdata.pictures import read_caption
from eegdata.splits import read_splits
from eegdata.trials import load_trials
from encoders import out_of_fold as folds
from encoders.embedded_texts import EmbeddedTexts
from encoders.vocabulary import Vocabulary, present, words_in, words_of_captions
from finetuning import finetune, write, write_controls
from language_model.candidates import Draw, GumbelNoise
from recipes import make_small_clip
from tiny import data_arguments, forget_hashes

VOCABULARY = "snow\ngrass\nblue\nred\ncat\n"


@pytest.fixture(scope="module")
def told(data, llm, tmp_path_factory):
    """(captioner, CLIP, encoder) of words, two exemplars and labels out of fold; the CLIP has a text side."""
    folder = tmp_path_factory.mktemp("told")
    clip, encoder = folder / "clip", folder / "encoder"
    make_small_clip.main(["--image_dir", str(data / "images"), "--output", str(clip), "--epochs", "4", "--image_size",
                          "32", "--width", "4", "--embed_dim", "16", "--batch_size", "8"])
    train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(encoder), "--num_epochs",
                               "3", "--batch_size", "16", "--d_model", "16", "--layers", "1"])
    (folder / "words.txt").write_text(VOCABULARY)
    captioner = finetune(data, clip, encoder, llm, folder / "captioner", "--label", "words", "--exemplars", "2",
                         "--vocabulary", str(folder / "words.txt"), "--train_label", "out_of_fold")
    return captioner, clip, encoder


def prompts_of(monkeypatch):
    """[(embeddings, labels, exemplars)] of each CaptionDataset that is made from now on."""
    made, real = [], CaptionDataset.__init__

    def spy(self, *given, **more):
        real(self, *given, **more)
        made.append((self.embeddings, self.labels, self.exemplars))

    monkeypatch.setattr(CaptionDataset, "__init__", spy)
    return made


def caption_of(data, name):
    return read_caption(data / "images", name)


# --- words ---

def test_probabilities_are_platts_and_noise_names_no_word():
    rng = np.random.default_rng(0)
    directions = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(6, 8))).float())
    plain = Vocabulary([f"word{i}" for i in range(6)], directions, torch.full((8,), .3))
    truth = torch.from_numpy(rng.random((200, 6)) < .3)
    embeddings = .3 + truth.float() @ directions + .3 * torch.from_numpy(rng.normal(size=(200, 8))).float()
    fitted = plain.calibrated(embeddings, truth)
    assert torch.allclose(fitted.centre, embeddings.mean(0))
    values, held = fitted.likeness(embeddings).double().numpy().ravel(), truth.numpy().ravel()
    best = optimize.minimize(lambda x: np.logaddexp(0, -(2 * held - 1) * (x[0] * values + x[1])).sum(), [1., 0.]).x
    assert np.allclose([fitted.slope, fitted.offset], best, rtol=1e-2)
    texts = fitted.words_of(fitted.probabilities(embeddings))
    expected = [{word for word, p in zip(fitted.words, row, strict=True) if p >= .5} for row in
                fitted.probabilities(embeddings).tolist()]
    assert [set(filter(None, text.split(", "))) for text in texts] == expected and any(expected)
    noise = torch.from_numpy(rng.normal(size=(200, 8))).float()
    nothing = plain.calibrated(noise, truth)
    assert set(nothing.words_of(nothing.probabilities(noise))) == {""}


def test_a_vocabulary_holds_a_word_once_however_it_is_written(tmp_path):
    """Dog and dog took two of the places in a prompt, and counted twice where probabilities are fitted."""
    (tmp_path / "words.txt").write_text("Dog\nred\n\ndog\n  RED \nHündin\npolar bear\n", encoding="utf-8")
    assert words_in(tmp_path / "words.txt") == ["Dog", "red", "Hündin", "polar bear"]


def test_words_of_captions():
    captions = ["A red T-shirt on the left.", "Two red cats. A cat.", "The cat and a polar bear"]
    assert words_of_captions(captions) == ["cat", "red"]
    assert present(["Cat", "polar bear", "t-shirt", "bear on"], captions).tolist() == [
        [False, False, True, False], [True, False, False, False], [True, True, False, False]]


def test_words_of_captions_are_present_in_them():
    """The vocabulary took dog and black from such captions, but the calibration found them in none."""
    captions = ["A dog's black-and-white bone.", "My dog's black-and-white house, by Dr. Who"]
    words = words_of_captions(captions)
    assert words == ["black", "dog", "white"] and present(words, captions).all()
    assert present(["Dr. Who", "dog's", "black and", "og", "-"], captions).tolist() == [
        [False, True, True, False, False], [True, True, True, False, False]]


def test_inference_tells_the_words_of_each_embedding_and_no_class(told, data, tmp_path, monkeypatch):
    made = prompts_of(monkeypatch)
    table = write(told[0], data, tmp_path / "captions.csv")
    (embeddings, labels, _), = made
    loaded = Captioner(told[0], "cpu")
    assert labels == loaded.route.labels(embeddings, None)  # also when read from the folder alone
    made.clear()
    positions = read_splits(data / "splits.pth")[0]["test"]
    eeg = load_trials(data / "eeg.pth").eeg[positions]
    readings(loaded, eeg, Request(abstain_below=0, generation={**GREEDY, "max_new_tokens": 2}))  # as caption.py, stream.py
    assert made[0][1] == labels
    words = set(VOCABULARY.split())
    assert all(set(filter(None, label.split(", "))) <= words for label in labels)
    assert set(table["Predicted object"]) <= {"cat", "dog", "car"}  # tables and groups stay those of classes
    made.clear()
    write(told[0], data, tmp_path / "none.csv", "--label", "none")
    assert set(made[0][1]) == {None}


def test_the_ceiling_is_told_the_words_of_the_picture(told, data, tmp_path, monkeypatch):
    """It was told the class name, which an LLM that is trained on words does not know, and without classes nothing."""
    monkeypatch.setattr(Vocabulary, "words_of", lambda self, probabilities: [
        self.words[best] for best in probabilities.argmax(1).tolist()])
    made = prompts_of(monkeypatch)
    write(told[0], data, tmp_path / "image.csv", "--condition", "image")
    (embeddings, labels, _), = made
    route = Captioner(told[0], "cpu").route
    assert labels == route.labels(embeddings, None, "image") and set(labels) <= set(VOCABULARY.split())


def test_pictures_have_words_where_the_eeg_tells_none(told, data, tmp_path, monkeypatch, capsys):
    """The ceiling of an encoder at chance was told no words: those of pictures were read as if they were EEG."""
    folder = shutil.copytree(told[0], tmp_path / "captioner")
    vocabulary = Vocabulary.load(folder / "vocabulary.safetensors", 16)
    replace(vocabulary, slope=0., offset=-3.).save(folder / "vocabulary.safetensors")
    forget_hashes(folder)
    made = prompts_of(monkeypatch)
    write(folder, data, tmp_path / "eeg.csv")
    write(folder, data, tmp_path / "image.csv", "--condition", "image")
    (_, of_eeg, _), (embeddings, of_pictures, _) = made
    own = Vocabulary.load(folder / "picture_vocabulary.safetensors", 16)
    validation = image_embeddings([f"{kind}_5" for kind in ("cat", "dog", "car")], data / "images", str(told[1]))
    assert torch.allclose(own.centre, validation.mean(0), atol=1e-5)
    assert set(of_eeg) == {""} and of_pictures == own.words_of(own.probabilities(embeddings))
    assert "earlier version" not in capsys.readouterr().out
    (folder / "picture_vocabulary.safetensors").unlink()
    write(folder, data, tmp_path / "image.csv", "--condition", "image")
    assert set(made[2][1]) == {""} and "which an earlier version wrote" in capsys.readouterr().out


def test_label_none_is_kept_with_the_captioner(data, clip, encoder, llm, tmp_path, monkeypatch):
    folder = finetune(data, clip, encoder, llm, tmp_path / "captioner", "--label", "none", "--max_steps", "1")
    made = prompts_of(monkeypatch)
    write(folder, data, tmp_path / "captions.csv")
    write(folder, data, tmp_path / "image.csv", "--condition", "image")
    assert [set(labels) for _, labels, _ in made] == [{None}, {None}]


def test_words_make_conditions_apt_where_the_encoder_names_no_class(told, data, llm, tmp_path, monkeypatch, capsys):
    _, clip, _ = told
    encoder, words = tmp_path / "encoder", tmp_path / "words.txt"
    train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(encoder), "--num_epochs",
                               "1", "--batch_size", "16", "--d_model", "16", "--layers", "1", "--class_head", "off"])
    words.write_text(VOCABULARY)
    folder = finetune(data, clip, encoder, llm, tmp_path / "captioner", "--label", "words", "--vocabulary", str(words),
                      "--max_steps", "1")
    monkeypatch.setattr(Vocabulary, "words_of", lambda self, probabilities: [  # so small an encoder is not sure of any
        self.words[best] for best in probabilities.argmax(1).tolist()])
    made = prompts_of(monkeypatch)
    write(folder, data, tmp_path / "results" / "captions.csv")
    write_controls(folder, data, tmp_path / "results" / "captions.csv", "--conditions", "label", "noise+label", "eeg")
    shown = [label for _, label, _ in made]
    assert shown[0] == shown[2] and set(shown[1]) == set(shown[0]) != {""} and set(shown[3]) == {None}
    assert read_json(tmp_path / "results" / "captions.csv.json")["label"] == "words"
    evaluate.main([*map(str, (tmp_path / "results").glob("*.csv")), "--report", str(tmp_path), "--n_perm", "100",
                   "--n_boot", "50", "--metrics", "ROUGE-1"])
    study, = read_json(tmp_path / "results.json")["studies"]
    assert set(study["missing"]) == {"noise", "image", "nothing", "nearest_picture"}
    for more, lacking in ((["--conditions", "shuffled_within_class"], "the encoder"),
                          (["--label", "none", "--conditions", "label"], "in the prompt")):
        with pytest.raises(SystemExit) as ended:
            write_controls(folder, data, tmp_path / "x.csv", *more)
        assert ended.value.code == 2 and lacking in capsys.readouterr().err
        with pytest.raises(SystemExit) as ended:
            write(folder, data, tmp_path / "x.csv", *(word.replace("--conditions", "--condition") for word in more))
        told = capsys.readouterr().err
        assert ended.value.code == 2 and f"--condition {more[-1]}: needs" in told and lacking in told


# --- exemplars ---

def test_each_condition_retrieves_by_the_embedding_that_it_shows(told, data, tmp_path, monkeypatch):
    made = prompts_of(monkeypatch)
    inference_chance.main(["--model_path", str(told[0]), *data_arguments(data), "--dest", str(tmp_path / "x.csv"),
                           "--max_new_tokens", "2", "--device", "cpu", "--conditions", "eeg", "shuffled", "noise",
                           "noise+label", "label", "nothing"])
    kept = EmbeddedTexts.load(told[0] / "exemplars.safetensors", 16)
    training = {name for kind in ("cat", "dog", "car") for name in (f"{kind}_{i}" for i in range(5))}
    assert sorted(kept.texts) == sorted(caption_of(data, name) for name in training)
    pictures = kept.embeddings.double() - kept.embeddings.double().mean(0)
    assert [bool(any(shown)) for _, _, shown in made] == [True] * 4 + [False] * 2
    for embeddings, _, shown in made[:4]:
        rows = embeddings.double() - kept.embeddings.double().mean(0)
        likeness = torch.nn.functional.cosine_similarity(rows[:, None], pictures[None], dim=2)
        best = likeness.topk(2, 1).indices.tolist()
        assert shown == [tuple(kept.texts[i] for i in row) for row in best]
    assert made[0][2] != made[2][2]  # those of EEG and of noise


def test_training_never_shows_a_picture_its_own_caption(data):
    """All captions differ here, so that its own would be seen."""
    rng = np.random.default_rng(0)
    pictures = torch.from_numpy(rng.normal(size=(20, 8))).float()
    route = Route(count=3, pictures=EmbeddedTexts([f"caption {i}" for i in range(20)], pictures, {}))
    assert all(row[0] == f"caption {i}" for i, row in enumerate(route.exemplars(pictures)))
    assert not any(f"caption {i}" in row for i, row in enumerate(route.exemplars(pictures, range(20))))


def test_stages_leave_out_the_own_picture(told, data, llm, tmp_path, monkeypatch):
    _, clip, encoder = told
    given, real = [], Route.exemplars

    def spy(self, embeddings, own=None):
        given.append((len(embeddings), own if own is None else list(own), self.pictures))
        return real(self, embeddings, own)

    monkeypatch.setattr(Route, "exemplars", spy)
    finetune(data, clip, encoder, llm, tmp_path / "captioner", "--exemplars", "1", "--max_steps", "1")
    names = sorted(f"{kind}_{i}" for kind in ("cat", "dog", "car") for i in range(5))
    shown = [names.index(f"{kind}_{i}") for kind in ("cat", "dog", "car") for i in range(5) for _ in range(4)]
    assert [(count, own) for count, own, _ in given] == [(15, list(range(15))), (3, [-1] * 3), (60, shown), (12, None)]
    assert given[0][2].texts == [caption_of(data, name) for name in names]


def test_a_validation_picture_of_the_training_part_is_not_shown_its_own_caption(monkeypatch):
    """As in a split by subject. Its own caption stood first in each prompt that stage 2 was validated on, so the epoch was
    kept that copies best, which training never asks for."""
    pictures = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 8))).float()
    names = {"train": list("abcdef"), "val": ["c", "x", "f"]}
    rows = {"train": pictures, "val": pictures[[2, 3, 5]]}
    route = Route("none", None, 2, EmbeddedTexts([f"caption {name}" for name in names["train"]], pictures, {}))
    monkeypatch.setattr("captioning.stages.clip_identity", lambda name: {"name": name, "commit": "0", "files": {}})
    seen = []
    stage = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(clip_model="clip")),
                            reuse_or_run=lambda embeddings, labels, exemplars, *more: seen.append(exemplars))
    captions = {part: {name: f"caption {name}" for name in names[part]} for part in names}
    image_stage(SimpleNamespace(num_epochs_image=1), SimpleNamespace(image_dir="."), stage, names,
                dict.fromkeys("abcdefx", "cat"), captions, route, rows)
    (exemplars,) = seen
    for part in names:
        assert not any(f"caption {name}" in shown for name, shown in zip(names[part], exemplars[part], strict=True))
    assert exemplars["val"][1][0] == "caption d"  # the nearest to a picture that is none of them


# --- no soft tokens ---

def test_a_frozen_llm_is_told_words_and_exemplars_only(told, data, llm, tmp_path, monkeypatch, capsys):
    """Nothing is trained, and the prompt is all that tells of the EEG: the captions are the LLM's own after that text."""
    _, clip, encoder = told
    folder = finetune(data, clip, encoder, llm, tmp_path / "captioner", "--label", "class", "--exemplars", "2",
                      "--soft_tokens", "0", "--no-use_lora")
    assert "nothing is trained" in capsys.readouterr().out and read_json(folder / "train_log.json") == {}
    made = prompts_of(monkeypatch)
    table = write(folder, data, tmp_path / "results" / "captions.csv", "--repetition_penalty", "1")
    (_, labels, exemplars), = made
    tokenizer, model = AutoTokenizer.from_pretrained(llm), AutoModelForCausalLM.from_pretrained(llm).eval()
    prompt = read_json(tmp_path / "results" / "captions.csv.json")["rendered_prompt"]
    assert prompt.count("<caption>") == 2 and "<image>" not in prompt
    texts = {}
    for label, shown in zip(labels, exemplars, strict=True):
        text = prompt.replace("<class name>", label).replace("<caption> <caption>", " ".join(shown))
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)[0]
        texts[label, shown] = tokenizer.decode(written[ids.shape[1]:], skip_special_tokens=True).strip()
    assert sorted(set(table["Generated Caption"])) == sorted(set(texts.values()))
    evaluate.main([str(tmp_path / "results" / "captions.csv"), "--report", str(tmp_path), "--n_perm", "100", "--n_boot",
                   "50", "--metrics", "ROUGE-1"])
    assert (tmp_path / "report.html").is_file()
    write(folder, data, tmp_path / "best.csv", "--candidates", "2")
    assert not torch.equal(Captioner(folder, "cpu").model.projector.eeg_mean, torch.zeros(16))


def test_an_adapter_alone_is_trained_and_loaded(told, data, llm, tmp_path):
    _, clip, encoder = told
    folder = finetune(data, clip, encoder, llm, tmp_path / "captioner", "--exemplars", "1", "--soft_tokens", "0")
    tensors = load_file(folder / "projector.safetensors")
    assert sorted(tensors) == ["eeg_mean", "eeg_scale", "image_mean", "image_scale"]
    weights = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert any(weight.any() for name, weight in weights.items() if "lora_B" in name)
    write(folder, data, tmp_path / "captions.csv")


# --- out of fold ---

def test_a_trial_is_read_without_its_own_picture(monkeypatch):
    """What is told of a picture's trials does not change with the picture's own embedding and class."""
    monkeypatch.setattr("encoders.linear_branch.PENALTIES", (1.,))
    monkeypatch.setattr("encoders.linear_branch.SHRINKAGES", (.1,))
    monkeypatch.setattr("encoders.linear_branch.WHITENINGS", (1.,))
    monkeypatch.setattr("encoders.linear_branch.LENGTHS", (1,))
    rng = np.random.default_rng(0)
    pictures = torch.arange(30) % 10
    eeg = torch.from_numpy(rng.normal(size=(40, 4, 50))).float()
    targets, labels = torch.from_numpy(rng.normal(size=(10, 3)))[pictures], pictures % 2

    def read(targets, labels):
        return folds.out_of_fold(eeg, torch.arange(5, 35), pictures, targets, labels, 2, 100., 0)

    embeddings, logits = read(targets, labels)
    assert embeddings.shape == (30, 3) and logits.shape == (30, 2)
    own = pictures == 4
    changed = read(torch.where(own[:, None], targets + 5, targets), torch.where(own, 1 - labels, labels))
    for before, after in zip((embeddings, logits), changed, strict=True):
        assert torch.allclose(before[own], after[own], atol=1e-5)
        assert not torch.allclose(before[~own], after[~own], atol=1e-2)


def test_windows_are_chosen_on_all_pictures_even_if_one_has_nearly_all_trials(monkeypatch):
    """Some of many trials may all be of one picture, which cannot be cut into folds. A class may have one picture."""
    monkeypatch.setattr(folds, "MOST_FOR_CHOICES", 20)
    pictures = torch.tensor([0] * 200 + [1, 2, 3, 4, 5])
    rng = np.random.default_rng(0)
    eeg, targets = torch.from_numpy(rng.normal(size=(205, 4, 50))).float(), torch.from_numpy(rng.normal(size=(6, 3)))
    labels = (pictures == 5).long()
    embeddings, logits = folds.out_of_fold(eeg, torch.arange(205), pictures, targets[pictures], labels, 2, 100., 0)
    assert embeddings.isfinite().all() and logits.isfinite().all()


# --- candidates ---

def test_candidates_are_draws_of_the_distribution():
    logits = torch.tensor([[0., 1., 2., -1.]])
    none = torch.empty(1, 0, dtype=torch.long)
    drawn = [GumbelNoise(Draw(number, 3, 2.), 5)(none, logits).argmax().item() for number in range(2000)]
    expected = (logits[0] / 2).softmax(0).numpy() * 2000
    assert stats.chisquare(np.bincount(drawn, minlength=4), expected).pvalue > .001


def test_the_nearest_candidate_is_kept_whatever_the_batch(told, data, tmp_path, monkeypatch):
    loaded = Captioner(told[0], "cpu")
    embeddings = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 16))).float()
    found, real = [], Captioner._best

    def spy(self, *given):
        found.append((*given, real(self, *given)))
        return found[-1][-1]

    monkeypatch.setattr(Captioner, "_best", spy)

    def captions(batch_size, seed=1, with_embedding=True):
        return loaded.generate(embeddings, ["cat"] * 5, with_embedding, "Describe:", batch_size=batch_size, seed=seed,
                               max_new_tokens=8, do_sample=False, repetition_penalty=1.1, candidates=3, draw_temperature=2.)

    first = captions(5)
    assert captions(2) == first == captions(5) != captions(5, seed=2)
    shown, modality, texts, best = found[0]
    assert modality == "eeg" and len(texts) == 3 and len({tuple(row) for row in texts}) == 3
    for row in range(5):
        scores = [torch.cosine_similarity(shown[row] - loaded.model.projector.eeg_mean, loaded._embed_text([one[row]])[0],
                                          dim=0).item() for one in texts]
        assert best[row] == texts[int(np.argmax(scores))][row]
    found.clear()
    captions(5, with_embedding=False)
    assert not found  # nothing to compare with, so the likeliest caption stays


def test_candidates_under_all_conditions(told, data, tmp_path):
    def written(name):
        inference_chance.main(["--model_path", str(told[0]), *data_arguments(data), "--dest", str(tmp_path / name),
                               "--max_new_tokens", "4", "--device", "cpu", "--candidates", "2", "--conditions", "shuffled",
                               "noise", "nothing"])
        return [pandas.read_csv(file, keep_default_na=False)["Generated Caption"].tolist()
                for file in sorted(tmp_path.glob(f"{name.removesuffix('.csv')}_*.csv"))]

    first = written("a.csv")
    assert len(first) == 3 and written("b.csv") == first


# --- what does not fit ---

@pytest.mark.parametrize(("more", "message"), [
    (["--label", "words"], "has no vocabulary"),
    (["--prompt", "Look at <image>:"], "--prompt 'Look at <image>:': holds <image>, which marks the place"),
    (["--candidates", "2"], "embeds pictures only"),
])
def test_inference_refuses(captioner, data, tmp_path, capsys, more, message):
    with pytest.raises(SystemExit) as ended:
        write(captioner, data, tmp_path / "captions.csv", *more)
    assert ended.value.code == 2 and message in capsys.readouterr().err


NEEDED = {"inference": [], "inference_chance": ["--eeg_dataset", "d"], "caption": ["--recording", "r.edf"],
          "stream": ["--lsl", "s", "--every", "1"]}  # beside --model_path


@pytest.mark.parametrize("script", NEEDED)
@pytest.mark.parametrize(("more", "message"), [
    (["--min_new_tokens", "200"], "--min_new_tokens 200: is more than --max_new_tokens 100"),
    (["--candidates", "2", "--do_sample"], "candidates are drawn already"),
    (["--guidance", "2", "--do_sample"], "--guidance 2 with --do_sample"),
    (["--candidates", "2", "--temperature", "0"], "nothing can be sampled"),
    (["--do_sample", "--temperature", "1e-40"], "nothing can be sampled below 1e-06")])
def test_options_that_exclude_each_other_are_refused_before_the_llm_is_loaded(script, more, message):
    """Only the first caption refused them, minutes later."""
    with pytest.raises(InputError, match=message):
        importlib.import_module(script).parse(["--model_path", "m", *NEEDED[script], *more])


@pytest.mark.parametrize(("more", "said"), [
    (["--temperature", "0.5", "--top_p", "0.9"], "note: --temperature 0.5 and --top_p 0.9: without effect, as this command "
                                                 "takes the likeliest token each time; give --do_sample"),
    (["--temperature", "0.5", "--do_sample"], ""), ([], "")])
def test_sampling_without_samples_is_said(captioner, data, tmp_path, capsys, more, said):
    """The predecessors' commands hold these options, which did nothing without a word."""
    write(captioner, data, tmp_path / "captions.csv", *more)
    printed = capsys.readouterr().out
    assert said in printed and ("without effect" in printed) == bool(said)


@pytest.mark.parametrize(("more", "message"), [
    (["--label", "words"], "embeds pictures only"), (["--vocabulary", "words.txt"], "--label words"),
    (["--exemplars", "15"], "15 pictures"), (["--soft_tokens", "0", "--label", "none"], "told nothing"),
])
def test_training_refuses(data, clip, encoder, llm, tmp_path, capsys, more, message):
    with pytest.raises(SystemExit) as ended:
        finetune(data, clip, encoder, llm, tmp_path / "captioner", *more)
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_a_damaged_vocabulary_is_named(told, data, tmp_path, capsys):
    file = tmp_path / "vocabulary.safetensors"
    EmbeddedTexts(["a"], torch.zeros(1, 16), {}).save(file)
    with pytest.raises(Exception, match="vocabulary"):
        Vocabulary.load(file, 16)
    with pytest.raises(Exception, match="size 8"):
        Vocabulary.load(file, 8)
