"""EEGModelForCausalLM: EEG encoder -> projector -> LLM.

An EEG (or picture) embedding [E] becomes `soft_tokens` token embeddings that stand inside the prompt; the LLM writes the
caption after it. The idea is Thought2Text's (Mishra et al., Findings of NAACL 2025) and LLaVA's.
"""

import inspect
import logging
import re
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

import torchvision_cpu  # noqa: F401
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

from checkpoints import check_complete, check_tensors, load_strictly, read_tensors, resolve_checkpoint
from config import EEGModelForCausalLMConfig
from encoders import load_encoder, save_encoder
from errors import InputError
from runs import atomic_path, read_json, write_json
from pickles import load_pickle

IGNORE = -100  # label of positions that carry no loss
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # else each 8-bit product says that it casts its input


class Projector(nn.Module):
    """Embedding [B, E] -> soft tokens [B, n, H] in the LLM's embedding space.

    `mlp`: centre and scale by the training embeddings' statistics (kept apart for pictures and EEG, whose regressed
    embeddings are shrunk towards the mean), two layers, then normalised to the size of the LLM's own token embeddings.
    `linear`: one layer, as in the predecessors' checkpoints.
    """

    def __init__(self, kind, embedding_size, hidden_size, soft_tokens):
        super().__init__()
        self.kind, self.soft_tokens, self.hidden_size = kind, soft_tokens, hidden_size
        if kind == "linear":
            self.linear = nn.Linear(embedding_size, soft_tokens * hidden_size)
            return
        self.mlp = nn.Sequential(nn.Linear(embedding_size, hidden_size), nn.GELU(),
                                 nn.Linear(hidden_size, soft_tokens * hidden_size))
        self.gain = nn.Parameter(torch.ones(()))
        for modality in ("image", "eeg"):
            self.register_buffer(f"{modality}_mean", torch.zeros(embedding_size))
            self.register_buffer(f"{modality}_scale", torch.ones(()))

    def set_statistics(self, modality, embeddings):
        """Take mean and overall scale of the training embeddings [n, E] of one modality."""
        if self.kind == "mlp":
            mean = embeddings.mean(0)
            getattr(self, f"{modality}_mean").copy_(mean)
            getattr(self, f"{modality}_scale").copy_((embeddings - mean).pow(2).mean().sqrt().clamp_min(1e-6))

    def forward(self, embeddings, modality="eeg"):
        if self.kind == "linear":
            return self.linear(embeddings).view(-1, self.soft_tokens, self.hidden_size)
        embeddings = (embeddings - getattr(self, f"{modality}_mean")) / getattr(self, f"{modality}_scale")
        tokens = self.mlp(embeddings).view(-1, self.soft_tokens, self.hidden_size)
        return F.layer_norm(tokens, (self.hidden_size,)) * self.gain


class EEGModelForCausalLM(nn.Module):
    """Joins encoder, projector and LLM. The encoder is frozen and may be absent in stages 2 and 3."""

    def __init__(self, config, llm, projector, encoder=None):
        super().__init__()
        self.config, self.llm, self.projector, self.encoder = config, llm, projector, encoder
        if encoder is not None:
            encoder.requires_grad_(False).eval()
        base = self.base_llm()
        self._forward_names = set(inspect.signature(type(base).forward).parameters)

    def base_llm(self):
        """The Hugging Face causal LM, without the LoRA wrapper."""
        return self.llm.get_base_model() if self.config.lora else self.llm

    def train(self, mode=True):
        super().train(mode)
        if self.encoder is not None:
            self.encoder.eval()  # frozen: its batch-norm statistics must not move
        return self

    def gradient_checkpointing_enable(self, **arguments):
        self.llm.gradient_checkpointing_enable(**arguments)

    def splice(self, input_ids, soft_mask, embeddings, modality):
        """Token embeddings [B, L, H] with the projected embeddings at `soft_mask`; rows without soft tokens have none."""
        inputs = self.llm.get_input_embeddings()(input_ids)
        rows = soft_mask.any(1)
        if rows.any():
            soft = self.projector(embeddings[rows].float(), modality).to(inputs.dtype)
            inputs = inputs.masked_scatter(soft_mask.unsqueeze(-1), soft)
        return inputs

    def forward(self, input_ids, attention_mask, soft_mask, embeddings, labels=None, modality="eeg"):
        """Left-padded batch -> {"loss", "logits"}; logits [B, K, vocabulary] of the last K positions, K = caption length.

        input_ids, attention_mask, labels [B, L] (labels IGNORE except on the caption and its end token); soft_mask
        [B, L] bool; embeddings [B, E].
        """
        keep = input_ids.shape[1]
        if labels is not None:
            carrying = (labels != IGNORE).any(0)
            keep -= int(carrying.to(torch.uint8).argmax()) - 1  # the token before the first label predicts it
        arguments = {"inputs_embeds": self.splice(input_ids, soft_mask, embeddings, modality),
                     "attention_mask": attention_mask, "use_cache": False}
        if "position_ids" in self._forward_names:
            arguments["position_ids"] = (attention_mask.cumsum(1) - 1).clamp_min(0)
        if "logits_to_keep" in self._forward_names:
            arguments["logits_to_keep"] = keep
        logits = self.llm(**arguments).logits[:, -keep:]
        if labels is None:
            return {"logits": logits}
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, -keep + 1:].flatten(),
                               ignore_index=IGNORE)
        return {"loss": loss, "logits": logits}

    @torch.no_grad()
    def generate(self, input_ids, attention_mask, soft_mask, embeddings, modality="eeg", repetition_penalty=1.0, **options):
        """Token ids of the captions [B, up to max_new_tokens]; left-padded prompts, `options` go to HF `generate`.

        The penalty sees what was generated, not the prompt. It is given as a processor of our own, since with the option of
        transformers 5.23 and 5.24 a batch of left-padded embeddings writes other captions than its rows alone.
        """
        processors = [RepetitionPenaltyLogitsProcessor(repetition_penalty)] if repetition_penalty != 1 else []
        return self.llm.generate(inputs_embeds=self.splice(input_ids, soft_mask, embeddings, modality),
                                 attention_mask=attention_mask, logits_processor=LogitsProcessorList(processors),
                                 repetition_penalty=1.0, **options)

    # --- making, saving and loading ---

    @classmethod
    def build(cls, encoder, llm_name, *, device, dtype, loading=None, lora=None, **config):
        """A new captioner around a pretrained LLM; `lora` is a dict of peft.LoraConfig fields, or None for a frozen LLM."""
        llm = load_llm(llm_name, device, dtype, loading)
        if lora is not None:
            from peft import LoraConfig, get_peft_model

            try:
                llm = get_peft_model(llm, LoraConfig(task_type="CAUSAL_LM", **lora))
            except (ValueError, re.error) as error:
                reason = str(error).splitlines()[0][:200]
                raise InputError(f"--lora_target {lora['target_modules']}: {reason}; expected all-linear or a regex that a "
                                 "module's whole name matches, as .*\\.(q_proj|v_proj)") from None
        config = EEGModelForCausalLMConfig(llm=str(llm_name), llm_hidden_size=llm.get_input_embeddings().embedding_dim,
                                           lora=lora is not None, llm_loading=loading, **config)
        projector = Projector(config.projector, config.embedding_size, config.llm_hidden_size, config.soft_tokens)
        if config.projector == "mlp":  # soft tokens start as large as the LLM's own
            size = llm.get_input_embeddings().weight.detach().float().pow(2).mean().sqrt()
            projector.gain.data.copy_(size)
        return cls(config, llm, projector.to(device), encoder.to(device) if encoder is not None else None)

    def save_trainable(self, folder):
        """Write what training changes: the projector and the LoRA adapter."""
        with atomic_path(Path(folder) / "projector.safetensors") as temporary:
            save_file({k: v.contiguous() for k, v in self.projector.state_dict().items()}, temporary)
        if self.config.lora:
            with atomic_path(Path(folder) / "adapter" / "adapter_model.safetensors") as temporary:
                save_file({k: v.contiguous() for k, v in self._adapter_state().items()}, temporary)

    def _adapter_state(self):
        from peft import get_peft_model_state_dict

        return get_peft_model_state_dict(self.llm, save_embedding_layers=False)

    def load_trainable(self, folder):
        """Load what `save_trainable` wrote, strictly."""
        file = Path(folder) / "projector.safetensors"
        load_strictly(self.projector, read_tensors(file), file)
        if self.config.lora:
            from peft import set_peft_model_state_dict

            file = Path(folder) / "adapter" / "adapter_model.safetensors"
            state = read_tensors(file)
            check_tensors(self._adapter_state(), state, file)
            set_peft_model_state_dict(self.llm, state)

    def save_pretrained(self, folder):
        """Write encoder, projector, adapter and a config that names the LLM; never the LLM's weights."""
        folder = Path(folder)
        self.save_trainable(folder)
        if self.encoder is not None:
            save_encoder(self.encoder, folder / "eeg_encoder")
        if self.config.lora:
            self.llm.peft_config["default"].save_pretrained(folder / "adapter")
        write_json(folder / "config.json", self.config.to_dict())

    @classmethod
    def from_pretrained(cls, name_or_path, *, device="cpu", dtype=None, loading="as trained", llm=None):
        """Load a captioner folder of ours or of the predecessors, local or from the Hub.

        llm: another place of the same base LLM; loading: None, "8bit", "4bit" or as it was trained.
        """
        folder = resolve_checkpoint(name_or_path, "--model_path")
        if not (folder / "eeg_encoder").is_dir():
            raise InputError(f"--model_path {folder}: holds no eeg_encoder/, so it is no captioner; expected a folder that "
                             "finetune_llm.py wrote, or a predecessor's")
        encoder = load_encoder(folder / "eeg_encoder", "--model_path")
        if (folder / "projector.pth").is_file() and not (folder / "projector.safetensors").is_file():
            loading = None if loading == "as trained" else loading
            return cls._from_predecessor(folder, encoder, device, dtype, loading, llm)
        config = EEGModelForCausalLMConfig(**{k: v for k, v in read_json(folder / "config.json").items()
                                              if k != "model_type"})
        loading = config.llm_loading if loading == "as trained" else loading
        base = load_llm(llm or config.llm, device, dtype, loading)
        if base.get_input_embeddings().embedding_dim != config.llm_hidden_size:
            raise InputError(f"{llm or config.llm}: hidden size {base.get_input_embeddings().embedding_dim}, but "
                             f"{folder} was trained on one of {config.llm_hidden_size}; give the same LLM")
        if config.lora:
            from peft import LoraConfig, get_peft_model

            try:
                adapter = LoraConfig.from_pretrained(folder / "adapter")
            except (OSError, ValueError, TypeError, AttributeError) as error:
                raise InputError(f"{folder}/adapter/adapter_config.json: not usable ({str(error).splitlines()[0][:200]}); "
                                 "copy it again or train again") from None
            base = get_peft_model(base, adapter)
        projector = Projector(config.projector, config.embedding_size, config.llm_hidden_size, config.soft_tokens)
        model = cls(config, base, projector.to(device), encoder.to(device))
        model.load_trainable(folder)
        return model.eval()

    @classmethod
    def _from_predecessor(cls, folder, encoder, device, dtype, loading, llm):
        """`eeg_encoder/`, `projector.pth` of one Linear, `llm/` a whole model: Thought2Text, PTM, DL_Proj_EEG-to-Text."""
        llm = load_llm(llm or folder / "llm", device, dtype, loading)
        hidden = llm.get_input_embeddings().embedding_dim
        config = EEGModelForCausalLMConfig(llm=str(folder / "llm"), llm_hidden_size=hidden, projector="linear",
                                           embedding_size=encoder.config.embedding_size, soft_tokens=1,
                                           prompt_template="thought2text")
        projector = Projector("linear", config.embedding_size, hidden, 1)
        file = folder / "projector.pth"
        load_strictly(projector.linear, load_pickle(file, "--model_path"), file)
        return cls(config, llm, projector.to(device), encoder.to(device)).eval()


def load_llm(name, device, dtype, loading):
    """A frozen causal LM. loading: None, "8bit" or "4bit" (bitsandbytes); dtype None is float32 on a CPU, else the
    checkpoint's own."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = dtype or (torch.float32 if device == "cpu" else "auto")
    quantization = {}  # an explicit None would make transformers read a folder saved in 8 bit as if it were not
    if loading == "8bit":
        quantization["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    elif loading == "4bit":
        quantization["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16 if dtype == "auto" else dtype)
    try:
        llm, report = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, device_map={"": device},
                                                           output_loading_info=True, **quantization)
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise InputError(f"LLM {name}: cannot be loaded ({reason}); expected a Hugging Face causal language model's Hub "
                         "name or local folder (--llm_backbone_name_or_path)") from None
    check_complete(report, f"LLM {name}")
    for module in llm.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # that path drops gradients silently after an evaluation forward
    return llm.requires_grad_(False)
