"""Model configurations, class names and prompts."""

from runtime.options import ENCODER

from transformers import AutoConfig, PretrainedConfig

# Class names by synset and by label, as in the id2label.json that Thought2Text published.
CLASS_NAMES = {
    "n02106662": "dog", "n02124075": "cat", "n02281787": "butterfly", "n02389026": "horse", "n02492035": "monkey",
    "n02504458": "elephant", "n02510455": "panda or pandas", "n02607072": "clownfish or fish", "n02690373": "airplane",
    "n02906734": "brush", "n02951358": "canoe or boat", "n02992529": "cell phone", "n03063599": "coffee mug",
    "n03100240": "car", "n03180011": "computer", "n03197337": "watch or watches", "n03272010": "guitar",
    "n03272562": "train", "n03297495": "coffee maker", "n03376595": "chair", "n03445777": "ball", "n03452741": "piano",
    "n03584829": "ironing machine", "n03590841": "pumpkin", "n03709823": "handbag", "n03773504": "rocket",
    "n03775071": "gloves", "n03792782": "bicycle", "n03792972": "camp or camping", "n03877472": "girl",
    "n03888257": "parachutes", "n03982430": "pool table", "n04044716": "tower", "n04069434": "camera",
    "n04086273": "gun", "n04120489": "shoes", "n07753592": "fruits and vegetables", "n07873807": "pizza",
    "n11939491": "flower", "n13054560": "mushroom",
}
EEGCVPR40_LABELS = (
    "horse", "parachutes", "ironing machine", "clownfish or fish", "coffee maker", "coffee mug", "bicycle", "gun",
    "panda or pandas", "flower", "canoe or boat", "butterfly", "dog", "shoes", "pumpkin", "cell phone", "ball",
    "computer", "brush", "pizza", "rocket", "monkey", "pool table", "handbag", "car", "chair", "girl", "gloves",
    "guitar", "camera", "piano", "camp or camping", "fruits and vegetables", "mushroom", "watch or watches",
    "elephant", "airplane", "train", "tower", "cat",
)

SYSTEM_PROMPT = "You are a helpful assistant."
INSTRUCTIONS = {
    "basic": "Describe this image in one sentence:",
    "detailed": "Generate a detailed description of this image including colors, background, and actions:",
    "creative": "Create a creative and engaging description of this scene:",
}


class EncoderConfig(PretrainedConfig):
    """What the config of every EEG encoder says.

    n_chans, n_times, sfreq (Hz) and ch_names describe the EEG that it takes. embedding_size is that of the CLIP model.
    class_temperature divides the logits before class probabilities are computed (encoders/temperature.py). preprocessing is
    how recordings became the trials that it was trained on (eegdata/preprocessing_schema.py), None where that is not known.
    confidence says from which probability on a class counts as confident (encoders/confidence.py), None where that was not
    measured. several_classes: a picture may have any number of the num_classes classes; with 0 classes there is no class
    head. branches, centre and unseen_scale are of EEGEncoderConfig; the others have none.
    """

    branches, centre, unseen_scale = None, "none", None

    def __init__(self, *, num_classes: int = 40, embedding_size: int = 512, sfreq: float = 1000.0,
                 ch_names: list[str] | None = None, class_temperature: float = 1.0, preprocessing: dict | None = None,
                 confidence: dict | None = None, several_classes: bool = False, **kwargs: object) -> None:
        self.num_classes = num_classes
        self.embedding_size = embedding_size
        self.sfreq = sfreq
        self.ch_names = ch_names
        self.class_temperature = class_temperature
        self.preprocessing = preprocessing
        self.confidence = confidence
        self.several_classes = several_classes
        kwargs.setdefault("id2label", {i: f"class {i}" for i in range(num_classes)})
        super().__init__(**kwargs)


class EEGEncoderConfig(EncoderConfig):
    """The default EEG encoder, a transformer over spatio-temporal patches (encoders/transformer.py).

    patch_size is in samples (None: 50 ms). spatial_filters is the number of learned spatial filters. branches are the
    shares {branch: {"logits", "embedding"}} of its branches (encoders/branches.py), None of a transformer alone. centre
    says whose mean trial is subtracted (encoders/centre.py). unseen_scale is the standard deviation over all dimensions of
    the embeddings of trials that it does not know, None where the validation trials are such. All else is as in
    EncoderConfig.
    """

    model_type = "eegencoder"

    def __init__(self, n_chans: int = 128, n_times: int = 440, sfreq: float = 1000.0,
                 d_model: int = ENCODER["d_model"], attn_heads: int = ENCODER["attn_heads"],
                 layers: int = ENCODER["layers"], dropout: float = ENCODER["dropout"],
                 spatial_filters: int = ENCODER["spatial_filters"], patch_size: int | None = None,
                 branches: dict[str, dict[str, float]] | None = None, centre: str = "none",
                 unseen_scale: float | None = None, **described: object) -> None:
        self.n_chans = n_chans
        self.n_times = n_times
        self.d_model = d_model
        self.attn_heads = attn_heads
        self.layers = layers
        self.dropout = dropout
        self.spatial_filters = spatial_filters
        self.patch_size = patch_size or max(1, round(0.05 * sfreq))
        self.branches = branches
        self.centre = centre
        self.unseen_scale = unseen_scale
        super().__init__(sfreq=sfreq, **described)


class ChannelNetConfig(EncoderConfig):
    """ChannelNet (Palazzo et al., TPAMI 2020); its own field names and defaults are those of the published config.json."""

    model_type = "eeg_channelnet"

    def __init__(self, in_channels: int = 1, temp_channels: int = 10, out_channels: int = 50, input_width: int = 440,
                 input_height: int = 128, temporal_dilation_list: list[list[int]] | None = None,
                 temporal_kernel: tuple[int, int] = (1, 33), temporal_stride: tuple[int, int] = (1, 2),
                 num_temp_layers: int = 4, num_spatial_layers: int = 4, spatial_stride: tuple[int, int] = (2, 1),
                 num_residual_blocks: int = 4, down_kernel: int = 3, down_stride: int = 2, **described: object) -> None:
        self.in_channels = in_channels
        self.temp_channels = temp_channels
        self.out_channels = out_channels
        self.input_width = input_width
        self.input_height = input_height
        self.temporal_dilation_list = temporal_dilation_list or [[1, 1], [1, 2], [1, 4], [1, 8], [1, 16]]
        self.temporal_kernel = temporal_kernel
        self.temporal_stride = temporal_stride
        self.num_temp_layers = num_temp_layers
        self.num_spatial_layers = num_spatial_layers
        self.spatial_stride = spatial_stride
        self.num_residual_blocks = num_residual_blocks
        self.down_kernel = down_kernel
        self.down_stride = down_stride
        super().__init__(**described)

    @property
    def n_chans(self) -> int:
        return self.input_height

    @property
    def n_times(self) -> int:
        return self.input_width


class BraindecodeConfig(EncoderConfig):
    """A model of braindecode (encoders/braindecode_encoder.py): network is its name, features how many numbers it gives to
    the two linear layers."""

    model_type = "braindecode"

    def __init__(self, network: str = "EEGNet", features: int = 128, n_chans: int = 128, n_times: int = 440,
                 **described: object) -> None:
        self.network = network
        self.features = features
        self.n_chans = n_chans
        self.n_times = n_times
        super().__init__(**described)


class NICEConfig(EncoderConfig):
    """The convolutional encoders of NICE and ATM (encoders/nice.py); filters: of each convolution; features: width of the
    layers after them, None for embedding_size; channel_attention: ATM's attention over channels in front of them."""

    model_type = "nice"

    def __init__(self, n_chans: int = 63, n_times: int = 250, filters: int = 40, features: int | None = None,
                 channel_attention: bool = False, **described: object) -> None:
        self.n_chans = n_chans
        self.n_times = n_times
        self.filters = filters
        self.features = features
        self.channel_attention = channel_attention
        super().__init__(**described)


class EEGModelForCausalLMConfig(PretrainedConfig):
    """EEG encoder -> projector -> LLM (model.py). `llm` names the LLM; its weights are not part of the model.

    projector is `mlp` or `linear`. soft_tokens is the number of token embeddings that replace an EEG embedding; with 0 none
    do. prompt_template is auto, chat, plain or thought2text (language_model/prompts.py). lora says whether the folder holds
    an adapter. uncounted_token is the id of a token that a predecessor's code left out when it counted the tokens of a
    prompt (language_model/prompts.py). llm_loading is how the LLM was loaded in training: None, "8bit" or "4bit"; llm_dtype
    is the torch.dtype of what was not quantised, as "bfloat16". label says what stands for the class in prompts: "class",
    its name, "words" of a vocabulary, or "none"; exemplars is the number of captions of similar pictures there
    (captioning/routes.py).
    """

    model_type = "eeg-encoder-decoder"

    def __init__(self, llm: str | None = None, llm_hidden_size: int | None = None, embedding_size: int = 512,
                 projector: str = "mlp", soft_tokens: int = 4, prompt_template: str = "auto", lora: bool = False,
                 llm_loading: str | None = None, clip_model: str | None = None, picture: str | None = None,
                 uncounted_token: int | None = None, llm_dtype: str | None = None, label: str = "class",
                 exemplars: int = 0, **kwargs: object) -> None:
        self.llm = llm
        self.llm_hidden_size = llm_hidden_size
        self.embedding_size = embedding_size
        self.projector = projector
        self.soft_tokens = soft_tokens
        self.prompt_template = prompt_template
        self.lora = lora
        self.llm_loading = llm_loading
        self.clip_model = clip_model
        self.picture = picture
        self.uncounted_token = uncounted_token
        self.llm_dtype = llm_dtype
        self.label = label
        self.exemplars = exemplars
        super().__init__(**kwargs)


# AutoConfig and AutoTokenizer warn of model types that are not registered.
for _config in (EEGEncoderConfig, ChannelNetConfig, NICEConfig, BraindecodeConfig, EEGModelForCausalLMConfig):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
