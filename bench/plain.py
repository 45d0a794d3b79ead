"""The predecessors' way of working, which bench.speed compares with: simple and correct, but slow.

It does what Thought2Text and DL_Proj_EEG-to-Text do in each step, but shares no code with them:

- The whole .pth is in memory.
- Each picture is opened and goes through CLIP every time one of its trials is used.
- Captions are tokenised every time, and padded to 512 tokens.
- The LLM is trained on one trial at a time, with gradient checkpointing. The loss covers prompt and caption, and logits are
  computed over the whole vocabulary at every position.
- Captions are written one by one.

Two things are faster here than there: the loops are plain Python without a Trainer, and no optimiser state is paged.

    python -m bench.plain RESULT.json EEG IMAGES CLIP CHANNELS BLOCKS

This measures the startup: everything before the first step of stage 1. The result is JSON. Modules that the startup does
not need are imported in functions, so that they do not count.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from runtime import options
from runtime.options import Options

import torch
from PIL import Image
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, CLIPImageProcessorPil, CLIPVisionModelWithProjection

from bench.measurement import MemoryWithoutFiles, now, peak_memory
from bench.roofline import count_flops, decoding_bytes
from config import INSTRUCTIONS
from eegdata.pictures import picture_path, read_caption
from language_model.prompts import IMAGE, render

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PADDED_TOKENS = 512  # length that prompt and caption are padded to
WINDOW = slice(20, 460)  # samples of a record
EMBEDDING_SIZE = 512  # of CLIP ViT-B/32
BATCH_SIZE = 16  # trials of a step in stage 1
ACCUMULATION_STEPS = 16  # trials whose gradients are summed before a step
TEMPLATE, INSTRUCTION = "thought2text", INSTRUCTIONS["basic"]


def load_content(path: str | Path) -> dict:
    """The whole content of a .pth. Unpickling is safe here, because the bench wrote the file itself."""
    return torch.load(path, weights_only=False)


class Examples(torch.utils.data.Dataset):
    """Trials with pictures and, if there is a tokenizer, prompts and captions. Each is made again at every access.

    An item is (pixels [3, H, W], eeg [1, C, 440], label), followed by the token ids before and after the embedding, [512]
    each, if there is a tokenizer. rows: positions of the trials; names: class names by label.
    """

    def __init__(self, content: dict, rows: Sequence[int], names: Sequence[str] | None, image_dir: str, clip_model: str,
                 tokenizer: PreTrainedTokenizerBase | None = None):
        self.content, self.rows, self.names, self.image_dir, self.tokenizer = content, rows, names, image_dir, tokenizer
        self.processor = CLIPImageProcessorPil.from_pretrained(clip_model)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        record = self.content["dataset"][self.rows[i]]
        eeg = record["eeg"].float()[:, WINDOW].unsqueeze(0)
        name = self.content["images"][record["image"]]
        picture = Image.open(picture_path(self.image_dir, name, "sketch")).convert("RGB")
        pixels = self.processor(images=picture, return_tensors="pt")["pixel_values"][0]
        if self.tokenizer is None:
            return pixels, eeg, record["label"]
        return pixels, eeg, record["label"], *padded_ids(self.tokenizer, self.names[record["label"]],
                                                         read_caption(self.image_dir, name))


def padded_ids(tokenizer: PreTrainedTokenizerBase, label: str, caption: str) -> list[torch.Tensor]:
    """Token ids of prompt and caption before and after the embedding, [512] each, left-padded with the end token."""
    text = f"{render(tokenizer, TEMPLATE, INSTRUCTION, label)}<s>Assistant: {caption}</s>\n"
    tokenizer.pad_token_id, tokenizer.padding_side = tokenizer.eos_token_id, "left"
    return [tokenizer(part, padding="max_length", max_length=PADDED_TOKENS, truncation=True, add_special_tokens=False,
                      return_tensors="pt").input_ids[0] for part in text.split(IMAGE)]


def load_clip(clip_model: str, device: str) -> CLIPVisionModelWithProjection:
    return CLIPVisionModelWithProjection.from_pretrained(clip_model).requires_grad_(False).eval().to(device)


def load_llm(name: str, device: str) -> PreTrainedModel:
    """The frozen LLM: in float32 on a CPU, and in 8 bit on a GPU, as the predecessors load it."""
    if device == "cpu":
        return AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32).requires_grad_(False)
    return AutoModelForCausalLM.from_pretrained(name, device_map={"": device}, quantization_config=BitsAndBytesConfig(
        load_in_8bit=True)).requires_grad_(False)


def plain_encoder(data: dict) -> torch.nn.Module:
    """ChannelNet as published."""
    from config import ChannelNetConfig
    from encoders import build_encoder

    return build_encoder(ChannelNetConfig(input_height=data["channels"], num_residual_blocks=data["blocks"]))


def encoder_loss(encoder: torch.nn.Module, target: torch.Tensor, eeg: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus the mean squared error to the embeddings of the pictures, target [B, E]."""
    embedding, logits = encoder(eeg)
    return F.cross_entropy(logits, labels) + F.mse_loss(embedding, target)


def caption_loss(llm: PreTrainedModel, projected: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """The LLM's own loss of one example over prompt and caption. The place of the embedding is not predicted.

    projected [1, H]: the embedding in the space of the LLM; before, after [512]: ids, left-padded with the end token.
    """
    parts, labels = [], []
    for ids in (before, after):
        keep = ids != llm.config.eos_token_id
        parts.append(llm.get_input_embeddings()(ids)[keep])  # they look up the padding as well
        labels.append(ids[keep])
    inputs = torch.cat([parts[0], projected.to(parts[0].dtype), parts[1]]).unsqueeze(0)
    labels = torch.cat([labels[0], labels[0].new_tensor([-100]), labels[1]]).unsqueeze(0)
    return llm(inputs_embeds=inputs, attention_mask=torch.ones_like(labels), labels=labels, use_cache=False).loss


def captioner_loss(llm: PreTrainedModel, projector: torch.nn.Module, embedding: torch.Tensor, before: torch.Tensor,
                   after: torch.Tensor) -> torch.Tensor:
    """caption_loss of one example; on a GPU, where the LLM is in 8 bit, it is computed in bfloat16."""
    with torch.autocast("cuda", torch.bfloat16, enabled=llm.device.type == "cuda"):
        return caption_loss(llm, projector(embedding), before, after)


@torch.no_grad()
def write_caption(encoder: torch.nn.Module, projector: torch.nn.Module, llm: PreTrainedModel,
                  tokenizer: PreTrainedTokenizerBase, eeg: torch.Tensor, class_names: Sequence[str],
                  max_new_tokens: int) -> torch.Tensor:
    """Token ids of the caption of one trial, eeg [C, T]. Decoding is greedy and ends at the end token or the limit."""
    embedding, logits = encoder(eeg.unsqueeze(0))
    text = render(tokenizer, TEMPLATE, INSTRUCTION, class_names[int(logits.argmax())])
    before, after = (tokenizer(part, add_special_tokens=False, return_tensors="pt").input_ids.to(eeg.device)
                     for part in (text.split(IMAGE)[0], text.split(IMAGE)[1].strip()))
    embed = llm.get_input_embeddings()
    soft = projector(embedding).view(1, 1, -1).to(embed.weight.dtype)
    return llm.generate(inputs_embeds=torch.cat([embed(before), soft, embed(after)], 1), do_sample=False,
                        max_new_tokens=max_new_tokens, repetition_penalty=1.1, pad_token_id=tokenizer.eos_token_id,
                        eos_token_id=tokenizer.eos_token_id)[0]


# --- what bench.speed times: "step" is a median in seconds, "flops" are those of one step ---

def time_stage1(data: dict, steps: int, device: str) -> dict:
    """ChannelNet with CLIP in each step ("step"), and its part without pictures and CLIP ("encoder")."""
    encoder = plain_encoder(data).to(device).train()
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-3)
    clip = load_clip(data["clip"], device)
    examples = Examples(load_content(data["eeg"]), data["train"], data["names"], data["images"], data["clip"])
    batches = iter(torch.utils.data.DataLoader(examples, BATCH_SIZE, shuffle=True, drop_last=True))
    whole, alone, flops = [], [], 0
    for number in range(steps + 1):  # the first one warms up
        start = now()
        pixels, eeg, labels = (part.to(device) for part in next(batches))
        target = clip(pixel_values=pixels).image_embeds
        middle = now()
        step = partial(_backward, encoder_loss, 1, encoder, target, eeg, labels)
        flops = count_flops(step)[1] if number == 0 else step() or flops
        _update(optimizer, encoder)
        whole.append(now() - start)
        alone.append(now() - middle)
    return {"step": median(whole[1:]), "encoder": median(alone[1:]), "flops": flops}


def time_captioner(data: dict, steps: int, device: str, stage: int) -> dict:
    """Stage 2, with CLIP in each step, or stage 3, with stored EEG embeddings and token ids. A step is 16 single trials."""
    from language_model.tokenizer import load_tokenizer

    llm, tokenizer = load_llm(data["llm"], device), load_tokenizer(data["llm"])
    llm.gradient_checkpointing_enable({"use_reentrant": False})
    llm.train()
    examples = Examples(load_content(data["eeg"]), data["train"], data["names"], data["images"], data["clip"], tokenizer)
    clip = load_clip(data["clip"], device)
    if stage == 3:  # random numbers, because the values of the embeddings do not change the speed
        stored = [examples[i] for i in range(ACCUMULATION_STEPS * (steps + 1))]
        examples = [(torch.randn(EMBEDDING_SIZE), *example[1:]) for example in stored]
    projector = torch.nn.Linear(EMBEDDING_SIZE, llm.config.hidden_size).to(device)
    optimizer = torch.optim.AdamW(projector.parameters(), lr=1e-5)
    batches = iter(torch.utils.data.DataLoader(examples, 1, shuffle=True))
    tokens, flops, seconds = 0, 0, []
    for number in range(steps + 1):  # the first one warms up
        start = now()
        for _ in range(ACCUMULATION_STEPS):
            inputs, _, _, before, after = (part.to(device) for part in next(batches))
            embedding = clip(pixel_values=inputs).image_embeds if stage == 2 else inputs
            step = partial(_backward, captioner_loss, ACCUMULATION_STEPS, llm, projector, embedding, before[0], after[0])
            if number:
                step()
            else:
                flops += count_flops(step)[1]
            tokens += int((torch.cat([before, after]) != tokenizer.eos_token_id).sum()) + 1
        _update(optimizer, projector)
        seconds.append(now() - start)
    return {"step": median(seconds[1:]), "flops": flops, "tokens": tokens / len(seconds)}


def _backward(loss, count, *arguments):
    (loss(*arguments) / count).backward()


def _update(optimizer, module):
    torch.nn.utils.clip_grad_norm_(module.parameters(), 0.3)
    optimizer.step()
    optimizer.zero_grad()


def time_captions(data: dict, llm: str, max_new_tokens: int, count: int, device: str) -> dict:
    """The first `count` captions of the test part, one by one. "step" is the time of all, "ids" are the captions."""
    from language_model.tokenizer import load_tokenizer
    from model import EEGModelForCausalLM

    model = EEGModelForCausalLM.from_pretrained(data["captioner"], device=device, llm=llm,
                                                loading=None if device == "cpu" else "8bit")
    tokenizer, content = load_tokenizer(data["captioner"]), load_content(data["eeg"])
    prompt = len(tokenizer(render(tokenizer, TEMPLATE, INSTRUCTION, data["names"][0])).input_ids)
    ids = []
    for number in range(-1, count):  # the first one warms up and is not counted
        if number == 0:
            start = now()
        eeg = content["dataset"][data["test"][max(0, number)]]["eeg"].float()[:, WINDOW].to(device)
        ids.append(write_caption(model.encoder, model.projector, model.llm, tokenizer, eeg, data["names"], max_new_tokens))
        tokenizer.decode(ids[-1], skip_special_tokens=True)
    seconds, ids = now() - start, [row.tolist() for row in ids[1:]]
    return {"step": seconds, "captions": len(ids), "ids": ids, "tokens": sum(map(len, ids)),
            "bytes": decoding_bytes(model.llm, [(1, prompt, len(row)) for row in ids])}


def parse(argv: list[str] | None) -> Options:
    parser = options.make_parser(__doc__)
    parser.prog = "python -m bench.plain"
    parser.add_argument("result", type=Path, help="JSON file to write")
    parser.add_argument("eeg", help=".pth file of the trials")
    parser.add_argument("image_dir", help="folder of pictures")
    parser.add_argument("clip_model", help="folder of the CLIP model")
    parser.add_argument("channels", type=options.positive, help="channels of a trial")
    parser.add_argument("blocks", type=options.bounded(int, 0), help="residual blocks of ChannelNet")
    return options.parse(parser, argv)


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    memory = MemoryWithoutFiles()
    examples = Examples(load_content(args.eeg), range(BATCH_SIZE), None, args.image_dir, args.clip_model)
    ready = [plain_encoder({"channels": args.channels, "blocks": args.blocks}), load_clip(args.clip_model, "cpu"),
             next(iter(torch.utils.data.DataLoader(examples, BATCH_SIZE, shuffle=True)))]
    args.result.write_text(json.dumps({"end": now(), "own GiB": memory.peak, "peak GiB": peak_memory(),
                                       "ready": len(ready)}))


if __name__ == "__main__":
    main()
