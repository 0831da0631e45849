"""Before the first torch call of the test process: keep oneDNN off instructions that this machine cannot run."""

import os

from bench.processor import prepare

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
prepare()
