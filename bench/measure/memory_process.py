"""The process that measures memory: it imports what all models need, and forks a process for each of them.

`python -m bench.measure.memory_process` reads what to measure. A model's process imports what it needs beside that, and
forks a child for each measurement. A child resets its peak, loads the model, runs the largest declared shape and
reports; another one is timed. Nothing can be left over from an earlier one.

Protocol 5. No neighbour in a job counts: what libraries keep once they have run, and int8 kernels that had been chosen,
moved the next model's peak by up to 5 MB, where all were children of one process. Pages of libraries that a child
touches are left out, those up to the end of loading from the peak of loading, and all from the peak of the
whole.

With every large block that is freed glibc raises the size from which a block is mapped by itself, and given back when
it is freed. What loading and a pass free may then stay resident below whatever is held above it: one int8 model read 96
to 124 MB in children that did the same. So a child holds that size at glibc's initial 128 KiB, and the model reads 87
to 89 MB: what it needs. A server that leaves glibc alone keeps as much more as happens. Mapping every block takes a
quarter to a half of a first call longer, so seconds are of other children, who leave glibc alone.

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

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from bench.architecture import MARKER
from bench.device import gpu_index
from bench.processor import prepare

if TYPE_CHECKING:
    from torch import Tensor, nn

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")
MMAP_THRESHOLD = -3  # as glibc's malloc.h names it for mallopt: bytes from which a block is mapped by itself
MAPPED_FROM = 128 << 10
Span = tuple[int, int]  # first address, and the one past the last
Measured = dict[str, float]
Answer = TypeVar("Answer")


class EndedError(RuntimeError):
    """A measuring process ended without an answer; what it has said of it stands on standard error."""


class Asked(NamedTuple):
    """One model, the token ids that it runs on, how many it writes (None: a forward pass), and where."""

    folder: Path
    tokens: dict[str, list[list[int]]]
    new_tokens: int | None
    device: str

    def inputs(self) -> dict[str, Tensor]:
        import torch

        return {key: torch.tensor(rows, device=self.device) for key, rows in self.tokens.items()}


def _kib(field: str) -> int:
    """A field of this process's status, in bytes."""
    for line in STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{STATUS} has no {field}")


def _timed(asked: Asked, pages: Sequence[int]) -> Measured:
    """Load and run one model in this process, which must be fresh; `pages` are those that its parent had touched."""
    import torch

    from bench.measure.calls import calls_of
    from bench.models import load

    torch.set_num_threads(1)
    gpu = gpu_index(asked.device) is not None
    if gpu:
        torch.zeros(1, device=asked.device)  # the context is no part of loading

    def done() -> float:
        if gpu:
            torch.cuda.synchronize(asked.device)
        return time.perf_counter()

    _touch(pages)  # whoever has imported the libraries itself has them
    begin = time.perf_counter()
    loaded = load(asked.folder, asked.device)
    seconds = done() - begin
    inputs = asked.inputs()
    with torch.inference_mode():
        *_, call = calls_of(loaded, inputs, asked.new_tokens).values()
        begin = time.perf_counter()
        call()
        return {"load_seconds": seconds, "first_call_seconds": done() - begin}


def _weighed(asked: Asked, pages: Sequence[int]) -> Measured:
    """Load and run one model in this process, which must be fresh; `pages` are those that its parent had touched."""
    import torch

    from bench.measure.calls import calls_of
    from bench.models import load

    torch.set_num_threads(1)
    gpu = gpu_index(asked.device) is not None
    if gpu:
        torch.zeros(1, device=asked.device)  # the context is no part of a model
        torch.cuda.reset_peak_memory_stats(asked.device)
    _touch(pages)
    _give_back()
    RESET.write_text("5")  # the peak starts again from what is resident now
    imports, libraries = _kib("VmHWM"), _library_bytes(asked.folder)
    loaded = load(asked.folder, asked.device)
    while_loading = _kib("VmHWM") - imports - (_library_bytes(asked.folder) - libraries)
    inputs = asked.inputs()
    with torch.inference_mode():
        *_, call = calls_of(loaded, inputs, asked.new_tokens).values()
        call()
        weights = _spans(loaded.model)
        size = os.sysconf("SC_PAGE_SIZE")
        _touch(page for start, end in weights for page in range(start - start % size, end, size))
        call()
    if gpu:
        torch.cuda.synchronize(asked.device)
    peak, resident = _kib("VmHWM") - imports, _kib("VmRSS") - imports
    libraries = _library_bytes(asked.folder) - libraries
    found: Measured = {
        "host_peak": max(0, while_loading, peak - libraries),
        "resident": max(0, resident - libraries),
        "mapped_weights": shared(weights, _file_spans()),
        "host_imports": imports,
    }
    if gpu:
        found["cuda_allocated_peak"] = torch.cuda.max_memory_allocated(asked.device)
        found["cuda_reserved_peak"] = torch.cuda.max_memory_reserved(asked.device)
    return found


def _give_back() -> None:
    """What is free of the parent's heap, where the model would lie for nothing; and from now on all that is freed."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc's
        libc.mallopt(MMAP_THRESHOLD, MAPPED_FROM)
        libc.malloc_trim(0)


def _touch(pages: Iterable[int]) -> None:
    """Read one byte of each page, by its address."""
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


def _in_child(what: Callable[[], Answer], name: str) -> Answer:
    """The answer of a forked child, as JSON has it; the child ends with it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            with os.fdopen(write, "w") as pipe:
                json.dump(what(), pipe)
            code = 0
        except EndedError as error:
            sys.stderr.write(f"{error}\n")
            sys.stderr.flush()
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
        raise EndedError(f"the measuring process for {name} was killed: out of memory, unless by hand")
    if status != 0:
        raise EndedError(f"the measuring process for {name} ended with status {status}")
    answer: Answer = json.loads(text)
    return answer


def _measure(asked: Asked, pages: Sequence[int]) -> Measured:
    """Everything about one model, once."""
    _read_through(asked.folder)
    timed = _in_child(lambda: _timed(asked, pages), asked.folder.name)
    return _in_child(lambda: _weighed(asked, pages), asked.folder.name) | timed


def _read_through(folder: Path) -> None:
    """Have the weights in the page cache, as far as there is room."""
    buffer = memoryview(bytearray(1 << 20))
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass


def _of_model(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """What a request asks of one model: each measurement by a child of this process, which has seen no other model."""
    from bench.measure.inputs import inputs_of_shape
    from bench.models import load_tokenizer
    from bench.tasks.spec import TaskSpec

    _import_for(folder)
    kernels = _choose_kernels(folder) if gpu_index(request["device"]) is None else ""
    examples = TaskSpec.model_validate(request["inputs"]).data.examples()
    tokens = inputs_of_shape(load_tokenizer(folder), examples, *request["shape"])
    lists = {key: rows.tolist() for key, rows in tokens.items()}
    asked = Asked(folder, lists, request["new_tokens"], request["device"])
    pages = _library_pages()
    return {"measured": [_measure(asked, pages) for _ in range(request["repeats"])], "kernels": kernels}


def main() -> None:
    """Read a request from standard input, print one line of JSON: of each folder measurements and int8 kernels."""
    request: dict[str, Any] = json.load(sys.stdin)
    prepare()
    import torch

    import bench.measure.calls
    import bench.methods.int8_linear
    import bench.models
    import bench.tasks.spec  # noqa: F401 - here, so that no child pays for it

    torch.set_num_threads(1)
    torch.ones(64, 64) @ torch.ones(64, 64)  # the kernels' own buffers are no part of a model either
    try:
        found = [_in_child(partial(_of_model, Path(name), request), Path(name).name) for name in request["folders"]]
    except EndedError as error:
        sys.exit(str(error))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
