"""Memory of a model: what a process needs beyond its own imports, and what torch takes on a GPU.

`python -m bench.measure.memory` imports what loading needs, then forks one fresh child for each measurement. A child
resets its peak, loads the model, runs the largest declared shape and reports. Nothing can be left over from an earlier
one.

Protocol 4. A model's first pass touches code of the libraries that its neighbours in a job may have had touched before:
beside an int8 one, whose kernels are chosen first, the same model read 7 MB less, 58 for 65 (64 for 73 at batch 8). So
pages of libraries that a child touches are left out, those up to the end of loading from the peak of loading, and all
from the peak of the whole; two such jobs now agree to 4%.

Weights are mapped from their file, and which of its pages count as resident after a pass is up to the
kernel: it maps a page together with the folio of the page cache that holds it, and the size of folios depends on how
the file came into the cache. The peak of one int8 model (83 MB on disk, most of it embeddings) read 36 MB with a cold
cache, 63 MB after the file had been read and 88 MB just after it had been written; prctl(PR_SET_THP_DISABLE) changes
nothing. So after the first pass a child touches every page of the model's own tensors, each storage once, and runs the
shape again: peak and resident memory hold all weights, whichever tokens the inputs have and whatever the cache was.
`mapped_weights` is the part that stands in files, which processes share and the kernel can drop. Before it loads, a
child gives back the free memory of the heap that it has from its parent: the 19 MB that this model's kernels pack lay
in what the choice of kernels had left free, and did not count. Cold or just written, the model now reads the same to
1%. Which int8 kernels the machine chose moves it from 99 MB (int_mm) over 118 (onednn) to 127 (fbgemm), so the record
names them. Files are read through before each child, for the seconds' sake.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.architecture import MARKER
from bench.artefacts import Artefacts
from bench.device import gpu_index
from bench.job import MemoryJob, parts_of
from bench.measure.baseline import returns_to_baseline
from bench.measure.conditions import capture
from bench.measure.repeats import kept, repeated
from bench.processor import prepare
from bench.record import Conditions, Finished

if TYPE_CHECKING:
    from torch import nn

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")
# Of the measuring process. The last has torch ask NVML, not CUDA, whether there is a GPU, should a library ask while it
# is imported: a process that has asked CUDA cannot fork children that use it.
ALONE = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
Span = tuple[int, int]  # first address, and the one past the last


def run_memory(job: MemoryJob, artefacts: Artefacts) -> tuple[Finished, Conditions]:
    """Measure each artefact `job.repeats` times. Interval: from the smallest to the largest of the repeats.

    Raises BadInput where an artefact or the device is gone, Contaminated where a GPU does not get its memory back.
    """
    request = {
        "folders": [str(artefacts.path(a)) for a in job.artefact_ids],
        "inputs": job.inputs.model_dump(mode="json"),
        "shape": list(job.shape),
        "repeats": job.repeats,
        "device": job.device,
        "new_tokens": job.new_tokens,
    }
    with returns_to_baseline(job.device):
        found, kernels = _ask(request)
    scope = parts_of(job.shape, job.new_tokens)[-1]
    measured = {a: _by_metric(samples) for a, samples in zip(job.artefact_ids, found, strict=True)}
    values = tuple(value for a, repeats in measured.items() for value in repeated(a, repeats, scope))
    backends = {f"backend_{i}": name for i, name in enumerate(kernels) if name}
    notes: dict[str, str | float | int | bool | None] = {"repeats": job.repeats, **backends}
    return Finished(values=values, notes=notes, answer=kept(measured)), capture(1, job.device, **backends)


def _by_metric(samples: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    return {metric: [sample[metric] for sample in samples] for metric in samples[0]}


def _ask(request: dict[str, Any]) -> tuple[list[list[dict[str, float]]], list[str]]:
    """For each folder of the request the measurements of its children, and the int8 kernels that were chosen."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.measure.memory"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **ALONE},
    )
    if done.returncode != 0:
        raise RuntimeError(f"The memory measurement ended with exit code {done.returncode}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return found["measured"], found["kernels"]


def _kib(field: str) -> int:
    """A field of this process's status, in bytes."""
    for line in STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{STATUS} has no {field}")


def _measure(
    folder: Path, tokens: dict[str, list[list[int]]], new_tokens: int | None, pages: Sequence[int], device: str
) -> dict[str, float]:
    """Load and run one model in this process, which must be fresh; `pages` are those that its parent had touched."""
    import time

    import torch

    from bench.measure.calls import calls_of
    from bench.models import load

    torch.set_num_threads(1)
    gpu = gpu_index(device) is not None
    if gpu:
        torch.zeros(1, device=device)  # the context is no part of a model
        torch.cuda.reset_peak_memory_stats(device)
    _touch(pages)
    _trim()
    RESET.write_text("5")  # the peak starts again from what is resident now
    imports, libraries = _kib("VmHWM"), _library_bytes(folder)
    begin = time.perf_counter()
    loaded = load(folder, device)
    if gpu:
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - begin
    while_loading = _kib("VmHWM") - imports - (_library_bytes(folder) - libraries)
    inputs = {key: torch.tensor(rows, device=device) for key, rows in tokens.items()}
    with torch.inference_mode():
        *_, call = calls_of(loaded, inputs, new_tokens).values()
        begin = time.perf_counter()
        call()
        if gpu:
            torch.cuda.synchronize(device)
        first = time.perf_counter() - begin
        weights = _spans(loaded.model)
        size = os.sysconf("SC_PAGE_SIZE")
        _touch(page for start, end in weights for page in range(start - start % size, end, size))
        call()
    peak, resident = _kib("VmHWM") - imports, _kib("VmRSS") - imports
    libraries = _library_bytes(folder) - libraries
    found = {
        "host_peak": max(0, while_loading, peak - libraries),
        "resident": max(0, resident - libraries),
        "mapped_weights": shared(weights, _file_spans()),
        "host_imports": imports,
        "load_seconds": seconds,
        "first_call_seconds": first,
    }
    if gpu:
        found["cuda_allocated_peak"] = torch.cuda.max_memory_allocated(device)
        found["cuda_reserved_peak"] = torch.cuda.max_memory_reserved(device)
    return found


def _trim() -> None:
    """Give free memory of the parent's heap back, or the model would lie in it for nothing."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)


def _touch(pages: Iterable[int]) -> None:
    """Read one byte of each page, by its address."""
    import ctypes

    for page in pages:
        ctypes.c_char.from_address(page).value  # noqa: B018 - reading is the point


def _spans(model: nn.Module) -> list[Span]:
    """Where the model's parameters and buffers lie in this process's memory."""
    found = []
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.device.type == "cpu" and tensor.numel():
            last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
            start = tensor.data_ptr()
            found.append((start, start + (last + 1) * tensor.element_size()))
    return found


def _file_spans() -> list[Span]:
    """The mappings of files in this process."""
    with Path("/proc/self/maps").open(encoding="utf-8") as maps:
        lines = [line.split() for line in maps]
    return [(int(a, 16), int(b, 16)) for a, b in (words[0].split("-") for words in lines if words[4] != "0")]


def shared(first: Iterable[Span], second: Iterable[Span]) -> int:
    """How many bytes lie both in one of `first` and in one of `second`, each counted once."""
    both = [(group, span) for group, spans in enumerate((first, second)) for span in spans]
    ends = sorted((place, group, step) for group, span in both for place, step in zip(span, (1, -1), strict=True))
    open_now = [0, 0]
    total = before = 0
    for place, group, step in ends:
        total += place - before if all(open_now) else 0
        open_now[group] += step
        before = place
    return total


def _library_pages() -> list[int]:
    """Addresses of the pages of mapped files (code, constants) that this process has touched so far.

    A fork copies the page table of private memory only. The libraries' pages would enter a child's count when it
    touches them again, as if its model needed them: about 20 MB.
    """
    size = os.sysconf("SC_PAGE_SIZE")
    return [(first + i) * size for first, high in _mapped() for i, byte in enumerate(high) if byte & 0x80]


def _library_bytes(model: Path) -> int:
    """How much of mapped files this process has touched so far, apart from those of a model."""
    return os.sysconf("SC_PAGE_SIZE") * sum(byte >> 7 for _, high in _mapped(apart=model) for byte in high)


def _mapped(apart: Path | None = None) -> Iterator[tuple[int, bytes]]:
    """The mappings of files: number of the first page, and a byte of each page whose top bit says that it is there."""
    size = os.sysconf("SC_PAGE_SIZE")
    with Path("/proc/self/maps").open(encoding="utf-8") as maps, Path("/proc/self/pagemap").open("rb") as table:
        for line in maps:
            span, rights, _, _, inode, *path = line.rstrip("\n").split(maxsplit=5)
            if inode == "0" or not rights.startswith("r") or (apart and path and path[0].startswith(f"{apart}/")):
                continue
            first, last = (int(end, 16) // size for end in span.split("-"))
            table.seek(8 * first)
            yield first, table.read(8 * (last - first))[7::8]  # an entry ends with its highest byte


def _import_for(folder: Path) -> None:
    """Import what loading this model needs, so that no child pays for it."""
    from importlib import import_module

    from bench.models import RESTORERS, model_class

    model_class(folder)  # the architecture's module
    restorer = RESTORERS.get(json.loads((folder / MARKER).read_text(encoding="utf-8"))["loader"])
    if restorer:
        import_module(restorer.partition(":")[0])


def _choose_kernels(folder: Path) -> str:
    """Decide on int8 kernels here: the buffers of that trial are no part of any model's peak. Names those chosen."""
    from safetensors import safe_open

    from bench.methods.int8_backends import choose_backend

    marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    chosen: set[str] = set()
    if marker["loader"] != "int8_dynamic":
        return ""
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - no dict
                if key.endswith(".weight_int8"):
                    shape = tensors.get_slice(key).get_shape()
                    chosen.add(choose_backend(marker["settings"]["activations"], "cpu", *shape))
    return ", ".join(sorted(chosen))


def _in_child(
    folder: Path, tokens: dict[str, list[list[int]]], new_tokens: int | None, pages: Sequence[int], device: str
) -> dict[str, float]:
    """`_measure` in a forked child, which ends with it."""
    _read_through(folder)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            with os.fdopen(write, "w") as pipe:
                json.dump(_measure(folder, tokens, new_tokens, pages, device), pipe)
            code = 0
        except BaseException:  # noqa: BLE001 - the child ends below, whatever it was; the parent's error quotes this
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        raise RuntimeError(f"the measuring process for {folder.name} was killed: out of memory, unless by hand")
    if status != 0:
        raise RuntimeError(f"the measuring process for {folder.name} ended with status {status}")
    measured: dict[str, float] = json.loads(text)
    return measured


def _read_through(folder: Path) -> None:
    """Have the weights in the page cache, as far as there is room."""
    buffer = memoryview(bytearray(1 << 20))
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass


def main() -> None:
    """Read a request from standard input, print one line of JSON: measurements and int8 kernels of each folder."""
    request: dict[str, Any] = json.load(sys.stdin)
    prepare()
    import torch

    import bench.measure.calls
    import bench.methods.int8_linear
    import bench.models  # here, so that no child pays for it
    from bench.measure.inputs import inputs_of_shape
    from bench.tasks.spec import TaskSpec

    torch.set_num_threads(1)
    torch.ones(64, 64) @ torch.ones(64, 64)  # the kernels' own buffers are no part of a model either
    device = request["device"]
    kernels = []
    for name in request["folders"]:
        _import_for(Path(name))
        kernels.append(_choose_kernels(Path(name)) if gpu_index(device) is None else "")
    examples = TaskSpec.model_validate(request["inputs"]).data.examples()
    results = []
    for name in request["folders"]:
        folder = Path(name)
        tokens = inputs_of_shape(bench.models.load_tokenizer(folder), examples, *request["shape"])
        lists = {key: tensor.tolist() for key, tensor in tokens.items()}
        pages = _library_pages()
        results.append(
            [_in_child(folder, lists, request["new_tokens"], pages, device) for _ in range(request["repeats"])]
        )
    sys.stdout.write(json.dumps({"measured": results, "kernels": kernels}) + "\n")


if __name__ == "__main__":
    main()
