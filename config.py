"""Model configurations, class names and prompts."""

from runtime.options import ENCODER

from transformers import AutoConfig, PretrainedConfig

# Class names by synset and by label id, as in Thought2Text (its published id2label.json).
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


class EEGEncoderConfig(PretrainedConfig):
    """The default EEG encoder, a transformer over spatio-temporal patches (encoders/transformer.py).

    n_chans, n_times, sfreq (Hz) and ch_names describe the EEG it takes; embedding_size is the CLIP embedding's;
    patch_size is in samples; spatial_filters counts the learned channel mixtures; class_temperature divides the logits
    where class probabilities are made of them (encoders/temperature.py).
    """

    model_type = "eegencoder"

    def __init__(self, n_chans=128, n_times=440, sfreq=1000.0, ch_names=None, num_classes=40, embedding_size=512,
                 d_model=ENCODER["d_model"], attn_heads=ENCODER["attn_heads"], layers=ENCODER["layers"],
                 dropout=ENCODER["dropout"], spatial_filters=ENCODER["spatial_filters"], patch_size=None,
                 class_temperature=1.0, **kwargs):
        self.n_chans = n_chans
        self.n_times = n_times
        self.sfreq = sfreq
        self.ch_names = ch_names
        self.num_classes = num_classes
        self.embedding_size = embedding_size
        self.d_model = d_model
        self.attn_heads = attn_heads
        self.layers = layers
        self.dropout = dropout
        self.spatial_filters = spatial_filters
        self.patch_size = patch_size or max(1, round(0.05 * sfreq))
        self.class_temperature = class_temperature
        kwargs.setdefault("id2label", {i: f"class {i}" for i in range(num_classes)})
        super().__init__(**kwargs)


class ChannelNetConfig(PretrainedConfig):
    """ChannelNet (Palazzo et al., TPAMI 2020); field names and defaults are those of the published config.json."""

    model_type = "eeg_channelnet"

    def __init__(self, in_channels=1, temp_channels=10, out_channels=50, num_classes=40, embedding_size=512,
                 input_width=440, input_height=128, temporal_dilation_list=None, temporal_kernel=(1, 33),
                 temporal_stride=(1, 2), num_temp_layers=4, num_spatial_layers=4, spatial_stride=(2, 1),
                 num_residual_blocks=4, down_kernel=3, down_stride=2, sfreq=1000.0, ch_names=None,
                 class_temperature=1.0, **kwargs):
        self.in_channels = in_channels
        self.temp_channels = temp_channels
        self.out_channels = out_channels
        self.num_classes = num_classes
        self.embedding_size = embedding_size
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
        self.sfreq = sfreq
        self.ch_names = ch_names
        self.class_temperature = class_temperature
        kwargs.setdefault("id2label", {i: f"class {i}" for i in range(num_classes)})
        super().__init__(**kwargs)

    @property
    def n_chans(self):
        return self.input_height

    @property
    def n_times(self):
        return self.input_width


class EEGModelForCausalLMConfig(PretrainedConfig):
    """EEG encoder -> projector -> LLM (model.py). It names the LLM (`llm`) and never holds its weights.

    projector is `mlp` or `linear`; soft_tokens is how many token embeddings an EEG embedding becomes; prompt_template
    is auto, chat, plain or thought2text (prompts.py); lora tells whether an adapter lies beside this file; llm_loading is
    None, "8bit" or "4bit" as trained.
    """

    model_type = "eeg-encoder-decoder"

    def __init__(self, llm=None, llm_hidden_size=None, embedding_size=512, projector="mlp", soft_tokens=4,
                 prompt_template="auto", lora=False, llm_loading=None, clip_model=None, picture=None, **kwargs):
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
        super().__init__(**kwargs)


for _config in (EEGEncoderConfig, ChannelNetConfig, EEGModelForCausalLMConfig):  # so that AutoConfig and AutoTokenizer
    AutoConfig.register(_config.model_type, _config, exist_ok=True)  # read such folders without a warning
