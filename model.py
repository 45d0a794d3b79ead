"""EEGModelForCausalLM: EEG encoder -> projector -> LLM.

An EEG (or picture) embedding [E] becomes `soft_tokens` token embeddings that stand inside the prompt; the LLM writes the
caption after it. The idea is Thought2Text's (Mishra et al., Findings of NAACL 2025) and LLaVA's.
"""

from pathlib import Path

from runtime import cuda, processes
from runtime.atomic_files import atomic_path, remove_folder
from runtime.checkpoint_files import check_whole
from runtime.checkpoints import check_tensors, is_predecessors, load_strictly, read_tensors
from runtime.config_schema import CaptionerConfig, made_of
from runtime.errors import InputError
from runtime.model_files import has_weights
from runtime.pickles import load_state
from runtime.places import resolve_checkpoint
from runtime.runs import read_json, write_json

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from config import EEGModelForCausalLMConfig
from encoders import load_encoder, save_encoder
from language_model import adapter_files, sharding
from language_model.decoding import decode
from language_model.loading import load_llm, token_size
from language_model.prefix_cache import PrefixCache, whole_prompts
from language_model.static_decoding import StaticDecoder

IGNORE = -100  # label of positions that carry no loss


class Projector(nn.Module):
    """Embedding [B, E] -> soft tokens [B, n, H] in the embedding space of the LLM.

    Embeddings are centred and scaled, so that training does not depend on their scale. Pictures and EEG have their own
    statistics, as embeddings regressed from EEG are shrunk towards the mean. The scale of EEG embeddings is that of trials
    that the encoder does not know, like those that will be captioned.
    `mlp`: two layers follow, then the result is normalised to the size of the LLM's token embeddings. `linear`: one layer
    follows. In the predecessors' checkpoints it is all there is, which is a mean of 0 and a scale of 1.
    Without soft tokens it has no layers: an embedding then chooses words and exemplars only (captioning/routes.py).
    """

    def __init__(self, kind: str, embedding_size: int, hidden_size: int, soft_tokens: int):
        super().__init__()
        self.kind, self.soft_tokens, self.hidden_size = kind, soft_tokens, hidden_size
        if not soft_tokens:
            self.kind = None
        elif kind == "linear":
            self.linear = nn.Linear(embedding_size, soft_tokens * hidden_size)
        else:
            self.mlp = nn.Sequential(nn.Linear(embedding_size, hidden_size), nn.GELU(),
                                     nn.Linear(hidden_size, soft_tokens * hidden_size))
            self.gain = nn.Parameter(torch.ones(()))
        for modality in ("image", "eeg"):
            self.register_buffer(f"{modality}_mean", torch.zeros(embedding_size))
            self.register_buffer(f"{modality}_scale", torch.ones(()))

    def set_statistics(self, modality: str, mean: torch.Tensor, scale: float) -> None:
        """Set the mean [E] and overall scale of the embeddings of one modality (encoders.targets.mean_and_scale)."""
        getattr(self, f"{modality}_mean").copy_(mean)
        getattr(self, f"{modality}_scale").fill_(scale)

    def forward(self, embeddings: torch.Tensor, modality: str = "eeg") -> torch.Tensor:
        embeddings = (embeddings - getattr(self, f"{modality}_mean")) / getattr(self, f"{modality}_scale")
        if self.kind == "linear":
            return self.linear(embeddings).view(-1, self.soft_tokens, self.hidden_size)
        tokens = self.mlp(embeddings).view(-1, self.soft_tokens, self.hidden_size)
        return F.layer_norm(tokens, (self.hidden_size,)) * self.gain


def captioner_folder(name_or_path: str | Path) -> Path:
    """The folder of a captioner, local or from the Hub. InputError where it is none, or is not whole."""
    folder = resolve_checkpoint(name_or_path, "--model_path")
    if not (folder / "eeg_encoder").is_dir():
        raise InputError(f"--model_path {folder}: has no eeg_encoder/, so it is not a captioner; expected a folder "
                         "that finetune_llm.py wrote, or a predecessor's")
    check_whole(folder, "--model_path")
    return folder


class EEGModelForCausalLM(nn.Module):
    """Joins encoder, projector and LLM. The encoder is frozen and may be absent in stages 2 and 3."""

    accepts_loss_kwargs = True  # so that transformers' Trainer gives forward num_items_in_batch

    def __init__(self, config: EEGModelForCausalLMConfig, llm: nn.Module, projector: Projector,
                 encoder: nn.Module | None = None):
        super().__init__()
        self.config, self.llm, self.projector, self.encoder = config, llm, projector, encoder
        if encoder is not None:
            encoder.requires_grad_(False).eval()
        self.llm.get_output_embeddings().register_forward_pre_hook(_contiguous)
        self.prefix = PrefixCache(llm, self.base_llm())
        self.static = StaticDecoder(llm, self.base_llm(), self.prefix.names, self.prefix.argument)

    def base_llm(self) -> PreTrainedModel:
        """The Hugging Face causal LM, without the LoRA wrapper."""
        return self.llm.get_base_model() if self.config.lora else self.llm

    def train(self, mode: bool = True) -> "EEGModelForCausalLM":
        super().train(mode)
        if self.encoder is not None:
            self.encoder.eval()  # frozen: its batch-norm statistics must not move
        return self

    def gradient_checkpointing_enable(self, **arguments: object) -> None:
        """What transformers' Trainer calls; only the LLM has layers worth it."""
        self.llm.gradient_checkpointing_enable(**arguments)

    def activation_checkpointing_enable(self, **arguments: object) -> None:
        """The same by the name that it has from transformers 5.24 on."""
        self.llm.activation_checkpointing_enable(**arguments)

    def splice(self, input_ids: torch.Tensor, soft_mask: torch.Tensor, embeddings: torch.Tensor,
               modality: str) -> torch.Tensor:
        """Token embeddings [B, L, H] with the projected embeddings at `soft_mask`; a row may have no soft tokens."""
        inputs = self.llm.get_input_embeddings()(input_ids)
        if not self.config.soft_tokens:
            return inputs
        # also for no rows: each process must have a gradient, even a zero one, for each trained weight
        soft = self.projector(embeddings[soft_mask.any(1)].float(), modality).to(inputs.dtype)
        return inputs.masked_scatter(soft_mask.unsqueeze(-1), soft)

    def _start(self, input_ids, attention_mask, soft_mask, embeddings, modality, prefix_ids, new_tokens=0):
        """Token embeddings [B, L or P + L, H] for the LLM, the mask [B, P + L] of whole prompts, and the cache of the
        prefix [P], or None if each row holds the prefix."""
        cache = None if prefix_ids is None else self.prefix.cache(prefix_ids, attention_mask, new_tokens)
        if cache is not None:
            mask = F.pad(attention_mask, (len(prefix_ids), 0), value=1)
            return self.splice(input_ids, soft_mask, embeddings, modality), mask, cache
        if prefix_ids is not None:
            input_ids, attention_mask, soft_mask = whole_prompts(prefix_ids, input_ids, attention_mask, soft_mask)
        return self.splice(input_ids, soft_mask, embeddings, modality), attention_mask, None

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, soft_mask: torch.Tensor,
                embeddings: torch.Tensor, labels: torch.Tensor | None = None, modality: str = "eeg",
                prefix_ids: torch.Tensor | None = None,
                num_items_in_batch: int | torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Left-padded batch -> {"loss"}, or without labels {"logits"} [B, L, vocabulary].

        input_ids, attention_mask, labels [B, L] (labels IGNORE except on the caption and its end token); soft_mask
        [B, L] bool; embeddings [B, E]; prefix_ids [P]: tokens that each row begins with, left out of the others.
        The loss is the mean over the labels, or their sum divided by num_items_in_batch, the number of labels in all
        batches of a step. So a step is the same however its examples are divided into batches and processes.
        """
        inputs, mask, cache = self._start(input_ids, attention_mask, soft_mask, embeddings, modality, prefix_ids)
        arguments = {"inputs_embeds": inputs, "attention_mask": mask, "use_cache": cache is not None}
        if cache is not None:
            arguments[self.prefix.argument] = cache
        if "position_ids" in self.prefix.names:
            arguments["position_ids"] = (mask.cumsum(1) - 1).clamp_min(0)[:, -inputs.shape[1]:]
        if labels is None:
            return {"logits": self.llm(**arguments).logits[:, -input_ids.shape[1]:]}
        rows, columns = (labels[:, 1:] != IGNORE).nonzero(as_tuple=True)  # a token predicts the label after it
        logits = self._logits_at(rows, columns - labels.shape[1], arguments)
        loss = F.cross_entropy(logits.float(), labels[rows, columns + 1], reduction="sum")
        return {"loss": loss / (len(rows) if num_items_in_batch is None else num_items_in_batch)}

    def _logits_at(self, rows, columns, arguments):
        """Logits [n, vocabulary] at the given rows and columns only, which are far fewer than the positions of a batch.

        The hidden states are picked at the input of the LLM's head, so that what a family does before or after it (scaling,
        soft caps) stays as it is.
        """
        head = self.llm.get_output_embeddings()
        hook = head.register_forward_pre_hook(lambda module, given: (given[0][rows, columns], *given[1:]))
        try:
            return self.llm(**arguments).logits
        finally:
            hook.remove()

    @torch.no_grad()
    def generate(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, soft_mask: torch.Tensor,
                 embeddings: torch.Tensor, modality: str = "eeg", repetition_penalty: float = 1.0,
                 prefix_ids: torch.Tensor | None = None, **options: object) -> torch.Tensor:
        """Token ids of the captions [B, up to max_new_tokens]; left-padded prompts, `options` go to `decode`.

        prefix_ids [P]: tokens that each prompt begins with, left out of the rows. With `guidance` other than 1 the second
        half of the rows are the prompts of the first without the embedding; B is then a half.
        """
        batch = input_ids, attention_mask, soft_mask, embeddings, modality, prefix_ids, options["max_new_tokens"]
        inputs, mask, cache = self._start(*batch)
        if self.static.suits(cache, inputs.device, **options):
            ids = self.static.write(inputs, mask, cache, penalty=repetition_penalty, **options)
            if ids is not None:
                return ids
            inputs, mask, cache = self._start(*batch)
        if cache is not None:  # HF generate wants the whole prompt and leaves out what the cache holds
            prefix = self.llm.get_input_embeddings()(prefix_ids).expand(len(inputs), -1, -1)
            inputs = torch.cat([prefix, inputs], 1)
        return decode(self.llm, inputs, mask, {} if cache is None else {self.prefix.argument: cache},
                      penalty=repetition_penalty, **options)

    # --- making, saving and loading ---

    @classmethod
    def build(cls, encoder: nn.Module | None, llm_name: str | Path, *, device: str, dtype: torch.dtype | None,
              loading: str | None = None, lora: dict | None = None, **config: object) -> "EEGModelForCausalLM":
        """A new captioner around a pretrained LLM; `lora` is a dict of peft.LoraConfig fields, or None for a frozen LLM."""
        llm = load_llm(llm_name, device, dtype, loading)
        if lora is not None:
            from language_model.adapter import with_adapter  # imports peft, which takes seconds

            llm = with_adapter(llm, lora)
        config = EEGModelForCausalLMConfig(llm=str(llm_name), llm_hidden_size=llm.get_input_embeddings().embedding_dim,
                                           lora=lora is not None, llm_loading=loading,
                                           llm_dtype=str(llm.dtype).removeprefix("torch."), **config)
        projector = Projector(config.projector, config.embedding_size, config.llm_hidden_size, config.soft_tokens)
        if projector.kind == "mlp":  # soft tokens start as large as the LLM's own
            projector.gain.data.copy_(token_size(llm))
        return cls(config, llm, projector.to(device), encoder.to(device) if encoder is not None else None)

    def save_trainable(self, folder: str | Path) -> None:
        """Write what training changes: the projector and the LoRA adapter."""
        with atomic_path(Path(folder) / "projector.safetensors") as temporary:
            save_file(self._projector_state(), temporary)
        if self.config.lora:
            with atomic_path(Path(folder) / "adapter" / "adapter_model.safetensors") as temporary:
                save_file(sharding.gathered(adapter_files.adapter_state(self.llm)), temporary)

    def _projector_state(self):
        state = sharding.gathered(self.projector.state_dict())
        return state | ({"gain": state["gain"].reshape(())} if "gain" in state else {})

    def load_trainable(self, folder: str | Path) -> None:
        """Load what `save_trainable` wrote, strictly."""
        self.prefix.forget()
        file = Path(folder) / "projector.safetensors"
        own, state = self._projector_state(), read_tensors(file)
        if set(state) == {"linear.weight", "linear.bias"}:  # of an older version, which did not scale
            state |= Projector("linear", self.config.embedding_size, 1, 1).named_buffers()
        check_tensors(own, state, file)
        self.projector.load_state_dict(sharding.dealt(state, self.projector.state_dict()))
        if self.config.lora:
            adapter_files.load_weights(self.llm, Path(folder) / "adapter")

    def save_pretrained(self, folder: str | Path) -> None:
        """Write encoder, projector, adapter and a config that names the LLM; never the LLM's weights."""
        folder = Path(folder)
        self.save_trainable(folder)
        if self.encoder is not None:
            save_encoder(self.encoder, folder / "eeg_encoder")
        if not self.config.lora:
            remove_folder(folder / "adapter")  # of an earlier captioner there
        elif processes.is_main():
            self.llm.peft_config["default"].save_pretrained(folder / "adapter")
        write_json(folder / "config.json", self.config.to_dict())

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, device: str = "cpu", dtype: torch.dtype | None = None,
                        loading: str | None = "as trained", llm: str | None = None) -> "EEGModelForCausalLM":
        """Load a captioner of ours or of the predecessors from a local folder or the Hub.

        llm: another place of the same base LLM; loading: None, "8bit", "4bit" or "as trained"; dtype None: float32 on a
        CPU, else the type that it was trained in, as far as the card has it.
        """
        folder = captioner_folder(name_or_path)
        encoder = load_encoder(folder / "eeg_encoder", "--model_path")
        if is_predecessors(folder):
            loading = None if loading == "as trained" else loading
            return cls._from_predecessor(folder, encoder, device, dtype, loading, llm)
        file = folder / "config.json"
        content = read_json(file)
        config = made_of(CaptionerConfig, content, file, lambda: EEGModelForCausalLMConfig(
            **{name: value for name, value in content.items() if name != "model_type"}))
        loading = config.llm_loading if loading == "as trained" else loading
        if dtype is None and device != "cpu" and config.llm_dtype:
            dtype = cuda.native(getattr(torch, config.llm_dtype), device)
        base = load_llm(llm or config.llm, device, dtype, loading)
        if base.get_input_embeddings().embedding_dim != config.llm_hidden_size:
            raise InputError(f"{llm or config.llm}: hidden size {base.get_input_embeddings().embedding_dim}, but "
                             f"{folder} was trained on one of {config.llm_hidden_size}; give the same LLM")
        if config.lora:
            base = adapter_files.attach(base, folder / "adapter")
        projector = Projector(config.projector, config.embedding_size, config.llm_hidden_size, config.soft_tokens)
        model = cls(config, base, projector.to(device), encoder.to(device))
        model.load_trainable(folder)
        base.requires_grad_(False)  # as peft loads an adapter: not to be trained on unless asked for
        return model.eval()

    @classmethod
    def _from_predecessor(cls, folder, encoder, device, dtype, loading, llm):
        """`eeg_encoder/`, `projector.pth` of one Linear, `llm/` a whole model or an adapter: Thought2Text, PTM,
        DL_Proj_EEG-to-Text."""
        own = folder / "llm"
        lora = adapter_files.is_adapter(own)
        try:
            llm = load_llm(cls._base_of_predecessor(own, llm), device, dtype, loading)
        except InputError as error:
            if llm or not lora:
                raise
            raise InputError(f"{error}; {own} is an adapter for that LLM: give the place where the LLM lies now with "
                             "--llm_backbone_name_or_path") from None
        hidden, eos = llm.get_input_embeddings().embedding_dim, llm.config.eos_token_id
        if lora:
            llm = adapter_files.attach(llm, own)
            adapter_files.load_weights(llm, own)
            llm.requires_grad_(False)
        config = EEGModelForCausalLMConfig(llm=str(own), llm_hidden_size=hidden, projector="linear", lora=lora,
                                           embedding_size=encoder.config.embedding_size, soft_tokens=1,
                                           prompt_template="thought2text",
                                           uncounted_token=eos if isinstance(eos, int) else None)
        projector = Projector("linear", config.embedding_size, hidden, 1)
        file = folder / "projector.pth"
        load_strictly(projector.linear, load_state(file, "--model_path"), file)
        return cls(config, llm, projector.to(device), encoder.to(device)).eval()

    @staticmethod
    def _base_of_predecessor(own, given):
        """What `llm/` of a predecessor's captioner is loaded from; given: --llm_backbone_name_or_path or None."""
        if adapter_files.is_adapter(own):
            return given or adapter_files.base_of(own)
        if given and has_weights(own):
            raise InputError(f"--llm_backbone_name_or_path {given}: would replace the whole LLM of the checkpoint, {own}, "
                             "which may be finetuned; leave the option out")
        if not given and not own.is_dir():
            raise InputError(f"{own}: no such folder, so the checkpoint does not say which LLM it belongs to; give the LLM "
                             "that it was trained with by --llm_backbone_name_or_path")
        return given or own


def _contiguous(head, given):
    """The last hidden state of each row is cut out of all; as it lies there torch multiplies row by row, which reads the
    weights of the LLM's head as often: on an H100 148 ms for 512 rows in place of 0.6."""
    return given[0].contiguous(), *given[1:]
