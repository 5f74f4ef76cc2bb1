# Recital in a container:
#     docker build -t recital .
#     docker run --rm -it -v "$PWD/data:/recital/data" -v "$PWD/ckpts:/recital/ckpts" recital \
#         sh egs/tts/FastSpeech2/run.sh --stage 1-3 --name my_voice --infer_text "Hello there."
# With NVIDIA GPUs: docker run --gpus all. Without, save the gigabytes of CUDA libraries by naming an index that holds
# torch's CPU builds: docker build --build-arg PIP_EXTRA_INDEX_URL=... -t recital .
# Training with several workers needs shared memory: docker run --shm-size 1g.
# The image contains GPL packages: see NOTICE before distributing it.
# Any image with Python 3.10 or newer, such as one of NVIDIA's (nvcr.io/nvidia/pytorch:...).
ARG BASE=python:3.11-slim
FROM ${BASE}

# libsndfile and espeak-ng come inside their wheels; no system packages are needed.
WORKDIR /recital
# In two steps: while the requirements stay the same, the packages are not installed again.
COPY env.sh ./
COPY requirements requirements
ARG PIP_EXTRA_INDEX_URL
# Extras of env.sh: serve for egs/serve.
ARG EXTRAS=demo
RUN PIP_NO_CACHE_DIR=1 sh env.sh $EXTRAS
COPY . .
CMD ["sh", "egs/tts/FastSpeech2/run.sh", "--help"]
