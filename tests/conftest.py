"""What every test process needs before anything else: usable instructions for oneDNN, no network, Ctrl-C."""

import os
import signal

from bench.processor import prepare

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
prepare()
# A shell that starts a command in the background has it ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
