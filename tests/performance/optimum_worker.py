"""One measurement by optimum-benchmark, in its own environment: prints one number.

`python -m tests.performance.optimum_worker WHAT LAUNCHER MODEL_FOLDER TOKENS`; WHAT is latency (p50 of the forward
pass, seconds) or memory (the larger of its peaks while loading and while running, bytes), LAUNCHER is process or
inline. The release is older than transformers 5, which dropped two names that it imports but does not need here.
"""

import logging
import sys
from typing import Any


def mend() -> None:
    """Give the names that optimum-benchmark imports a meaning; transformers makes its module anew more than once."""
    from transformers.utils.import_utils import _LazyModule

    real: Any = _LazyModule.__getattr__

    def found(self: Any, name: str) -> Any:
        return type(name, (), {}) if name in ("SpecialTokensMixin", "TFPreTrainedModel") else real(self, name)

    _LazyModule.__getattr__ = found  # type: ignore[method-assign]


mend()  # here, for the process launcher starts this file's module again


def main() -> None:
    """Measure once with the tool's own defaults."""
    what, launcher, model, tokens = *sys.argv[1:4], int(sys.argv[4])
    logging.disable(logging.WARNING)
    from optimum_benchmark import (  # type: ignore[import-not-found]
        Benchmark,
        BenchmarkConfig,
        InferenceConfig,
        InlineConfig,
        ProcessConfig,
        PyTorchConfig,
    )

    config: Any = BenchmarkConfig(
        name="one",
        scenario=InferenceConfig(
            input_shapes={"batch_size": 1, "sequence_length": tokens},
            memory=what == "memory",
            latency=what == "latency",
        ),
        launcher=ProcessConfig() if launcher == "process" else InlineConfig(),
        backend=PyTorchConfig(model=model, task="text-classification", device="cpu", no_weights=False),
    )
    report = Benchmark.launch(config)
    if what == "latency":
        print(report.forward.latency.p50)
    else:
        print(1e6 * max(part.memory.max_ram for part in (report.load_model, report.forward)))


if __name__ == "__main__":
    main()
