"""Predicted memory: against sums by hand, against torch's own profiler, and what follows from too little of it."""

import json
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from transformers import BartConfig, BertConfig, BertForSequenceClassification, LlamaConfig, PreTrainedModel

from bench.artefacts import weight_bytes
from bench.errors import DoesNotFit
from bench.measure import predict as predictions
from bench.measure.live_bytes import storages
from bench.measure.predict import (
    Predicted,
    Unpredictable,
    available_bytes,
    check_fit,
    fits_together,
    kv_cache_per_token,
    meta_model,
    predict,
)
from bench.methods.int8_dynamic import Int8Dynamic
from bench.models import load, save
from bench.recipe import Workplace
from tests import tiny

BATCH, LENGTH = 4, 24
FLOAT, INT64 = 4, 8  # bytes


def held(model: PreTrainedModel) -> int:
    return sum(storages([*model.parameters(), *model.buffers()]).values())


def profiled(run: Callable[[], object]) -> int:
    """Most bytes allocated at once during `run`, by the allocator's own events."""
    with torch.no_grad():
        run()
        activities = [torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
            run()
    events: Any = profile.profiler
    sizes = [(e.start_ns(), e.nbytes()) for e in events.kineto_results.events() if e.name() == "[memory]"]
    assert len(sizes) > 20
    live, most = 0, 0
    for _, size in sorted(sizes, key=lambda event: event[0]):  # stable: events of one moment stay in order
        live += size
        most = max(most, live)
    return most


def test_bert_by_hand(tmp_path: Path) -> None:
    width, inner, vocabulary, positions, layers = 16, 128, 16, 64, 2
    config = tiny.bert(layers=layers, width=width).config
    assert isinstance(config, BertConfig)
    config.intermediate_size = inner
    folder = tiny.saved(BertForSequenceClassification(config), tmp_path / "bert")
    layer = 4 * (width * width + width) + (width * inner + inner) + (inner * width + width) + 4 * width
    numbers = (
        (vocabulary + positions + 2) * width + 2 * width + layers * layer + (width * width + width) + 3 * width + 3
    )
    found = predict(folder, BATCH, LENGTH)
    assert found.weights == FLOAT * numbers + 2 * INT64 * positions  # with the ids of positions and token types
    # In the last feed-forward: what the embeddings gave, the layer's input, the attention's output, both wide tensors.
    assert found.activations == FLOAT * BATCH * LENGTH * (3 * width + 2 * inner)
    assert found.kv_cache_per_token == 0
    assert found.total == found.weights + found.activations


def test_bart_by_hand(tmp_path: Path) -> None:
    width, layers = 16, (2, 3)
    model = tiny.writer(encoder_layers=layers[0], decoder_layers=layers[1], width=width)
    config = model.config
    assert isinstance(config, BartConfig)
    attention, feed = 4 * (width * width + width), 2 * (width * 2 * width) + 3 * width
    encoder, decoder = attention + feed + 4 * width, 2 * attention + feed + 6 * width
    shared = config.vocab_size * width  # of both embeddings and the head
    others = 2 * (config.max_position_embeddings + 2) * width + 4 * width + config.vocab_size
    found = predict(tiny.saved(model, tmp_path / "bart"), BATCH, LENGTH)
    assert found.weights == FLOAT * (shared + others + layers[0] * encoder + layers[1] * decoder)
    assert found.kv_cache_per_token == FLOAT * layers[1] * 2 * width  # keys and values; the source's do not grow


def test_llama_by_hand(tmp_path: Path) -> None:
    width, inner, layers, vocabulary = 16, 32, 3, 3000
    model = tiny.causal("llama", layers=layers, width=width, vocab_size=vocabulary)
    assert isinstance(model.config, LlamaConfig)
    keys = width // 2  # one of two heads
    layer = 2 * width * width + 2 * width * keys + 3 * width * inner + 2 * width
    angles = 2 * keys // 2  # of the rotation, as they are and as they were
    folder = tiny.saved(model, tmp_path / "llama")
    found = predict(folder, BATCH, LENGTH)
    assert found.weights == FLOAT * (2 * vocabulary * width + layers * layer + width + angles)
    assert found.kv_cache_per_token == FLOAT * layers * 2 * keys
    cache = found.kv_cache_per_token * BATCH * LENGTH
    assert found.activations == FLOAT * BATCH * LENGTH * (vocabulary + width) + cache  # logits, last state
    written = predict(folder, BATCH, LENGTH, new_tokens=8)
    assert written.activations < found.activations / 2  # logits of the last token alone


@pytest.mark.parametrize("kind", ["bert", "bart", "distilbert", "writer", "llama", "qwen3", "gpt2"])
def test_activations_are_those_that_torch_allocates(kind: str, tmp_path: Path) -> None:
    makers: dict[str, Callable[..., PreTrainedModel]] = {"bert": tiny.bert, "distilbert": tiny.distilbert}
    makers |= {"bart": tiny.bart, "writer": tiny.writer}
    model = makers[kind](width=64) if kind in makers else tiny.causal(kind, width=64)
    ids = predictions._ids(model, BATCH, LENGTH)
    expected = profiled(lambda: model(input_ids=ids, attention_mask=torch.ones_like(ids)))
    found = predict(tiny.saved(model, tmp_path / kind), BATCH, LENGTH)
    assert found.activations == pytest.approx(expected, rel=0.01)


def test_attention_that_is_spelled_out_keeps_its_scores(tmp_path: Path) -> None:
    model = tiny.bert(width=16)
    folder = tiny.saved(model, tmp_path / "model")
    fused = predict(folder, 2, 60).activations
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "attn_implementation": "eager"}))
    predict.cache_clear()
    eager = predict(folder, 2, 60).activations
    scores = FLOAT * 2 * 2 * 60 * 60  # batch, heads, queries, keys
    assert eager >= fused + scores


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral", "writer"])
def test_writing_needs_what_generate_allocates(kind: str, tmp_path: Path) -> None:
    """Within 30%: `generate` keeps float32 copies of logits, and masks, which weigh as much as so small a model."""
    model = tiny.writer(width=64) if kind == "writer" else tiny.causal(kind, width=64)
    assert model.generation_config is not None
    model.generation_config.forced_eos_token_id = None
    ids = predictions._ids(model, BATCH, LENGTH)
    asked = {"min_new_tokens": 16, "max_new_tokens": 16, "do_sample": False}
    generate: Any = model.generate
    expected = profiled(lambda: generate(input_ids=ids, attention_mask=torch.ones_like(ids), **asked))
    found = predict(tiny.saved(model, tmp_path / kind), BATCH, LENGTH, new_tokens=16)
    assert found.activations == pytest.approx(expected, rel=0.3)


@pytest.mark.parametrize(("kind", "changes"), [("mistral", {"sliding_window": 8}), ("qwen3", {}), ("gpt2", {})])
def test_the_cache_of_a_run_agrees(kind: str, changes: dict[str, int]) -> None:
    """Counted on real tensors, layers with windows among them."""
    model = tiny.causal(kind, layers=3, width=32, **changes)
    sizes = []
    for tokens in (2, 3):
        ids = predictions._ids(model, 1, tokens)
        out: Any = model(ids, use_cache=True)
        sizes.append(sum(layer.keys.nbytes + layer.values.nbytes for layer in out.past_key_values.layers))
    assert kv_cache_per_token(model) == sizes[1] - sizes[0] > 0


def test_other_classes_of_cache_are_counted_too() -> None:
    from transformers import DynamicCache, EncoderDecoderCache, StaticCache

    config = tiny.causal("llama", layers=3, width=32).config
    static = StaticCache(config=config, max_cache_len=10)
    head = torch.zeros(2, 1, 4, 16)
    both = EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))
    for layer in range(3):
        static.update(head, head, layer)
        both.self_attention_cache.update(head, head, layer)
        both.cross_attention_cache.update(head, head, layer)
    assert predictions._bytes_of_cache({"past_key_values": static}) >= FLOAT * 3 * 2 * 2 * 10 * 16
    # Keys and values given above are joined to nothing, which copies them; so each is its own.
    assert predictions._bytes_of_cache({"past_key_values": both}) == 2 * 3 * 2 * head.nbytes
    assert predictions._bytes_of_cache({}) == 0


def test_types_are_those_of_the_saved_weights(tmp_path: Path) -> None:
    model = tiny.causal("llama", layers=2, width=32)
    whole = predict(tiny.saved(model, tmp_path / "float32"), 2, 8)
    torch.nn.Module.to(model, dtype=torch.bfloat16)
    half = predict(tiny.saved(model, tmp_path / "bfloat16"), 2, 8)
    assert half.kv_cache_per_token * 2 == whole.kv_cache_per_token
    assert half.weights < 0.52 * whole.weights  # angles stay in float32


def test_int8_weights_are_counted_as_they_are_loaded(models: dict[str, Path], tmp_path: Path) -> None:
    for embeddings in (False, True):
        save(Int8Dynamic(embeddings=embeddings).apply(load(models["bart"]), Workplace(0, {})), tmp_path / "int8")
        loaded = load(tmp_path / "int8").model
        found = predict(tmp_path / "int8", 2, 8)
        assert found.weights == held(loaded)
        assert found.packed == sum(b.nbytes for n, b in loaded.named_buffers() if n.endswith("weight_int8"))
        assert found.activations > 0
        predict.cache_clear()
        for file in (tmp_path / "int8").iterdir():
            file.unlink()


@pytest.mark.parametrize("name", ["bart", "bert", "distilbert", "writer"])
def test_float_weights_are_counted_as_they_are_loaded(name: str, models: dict[str, Path]) -> None:
    assert predict(models[name], 2, 8).weights == held(load(models[name]).model)


def test_nothing_is_loaded(tmp_path: Path) -> None:
    """A file of 2.7 GB that holds no byte of weights, and a machine that need not have so much."""
    model = tiny.causal("llama", layers=1)
    folder = tiny.saved(model, tmp_path / "large")
    file = folder / "config.json"
    sizes = {"hidden_size": 8192, "intermediate_size": 16384, "num_attention_heads": 2, "head_dim": 4096}
    file.write_text(json.dumps({**json.loads(file.read_text()), **sizes}))
    (folder / "model.safetensors").unlink()
    _sparse(folder / "model.safetensors", {n: tuple(p.shape) for n, p in _empty(folder).named_parameters()})
    before = psutil.Process().memory_info().rss
    found = predict(folder, 1, 8)
    assert psutil.Process().memory_info().rss - before < 200e6
    assert found.weights > 2e9


def _empty(folder: Path) -> PreTrainedModel:
    from bench.models import empty_model

    return empty_model(folder)


def _sparse(file: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of float32 zeros that takes no room on the disk."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = FLOAT * torch.Size(shape).numel()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.truncate(8 + len(text) + offset)


def test_a_model_that_needs_its_numbers_is_not_predicted(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def looks(self: object, input_ids: torch.Tensor, **others: object) -> int:
        return int(meta.get_input_embeddings()(input_ids).sum())

    meta = meta_model(models["bert"])
    monkeypatch.setattr(type(meta), "forward", looks)
    predict.cache_clear()
    size = weight_bytes(models["bert"])
    assert predict(models["bert"], 1, 8) == Predicted(size, 0, size, 0, watched=False)
    with pytest.raises(Unpredictable, match=r"^TypeError"):
        kv_cache_per_token(_broken_writer(models["writer"], monkeypatch))
    monkeypatch.setattr(predictions, "available_bytes", lambda device: size)
    check_fit([models["bert"]], "cpu", (1, 8, 0))  # held to its weights


def _broken_writer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> PreTrainedModel:
    model = load(folder).model
    monkeypatch.setattr(model, "forward", lambda: None)
    return model


def test_models_fit_together_with_room_to_spare() -> None:
    assert fits_together([100, 300, 400], 1000)
    assert not fits_together([100, 300, 401], 1000)
    assert fits_together([], 0)
    assert not fits_together([1], 0)


def test_what_cannot_fit_is_refused_in_one_sentence(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    found = Predicted(weights=600, packed=200, activations=800, kv_cache_per_token=0)
    monkeypatch.setattr(predictions, "predict", lambda *asked: found)
    monkeypatch.setattr(predictions, "weight_bytes", lambda folder: 600)
    monkeypatch.setattr(predictions, "available_bytes", lambda device: 1000)
    check_fit([models["bert"]], "cpu", (1, 8, 0))  # 600 and half of 800, exactly what there is
    monkeypatch.setattr(predictions, "available_bytes", lambda device: 999)
    with pytest.raises(DoesNotFit, match=r"^bert cannot fit into the memory of cpu: at least .* MB are needed and "):
        check_fit([models["bert"]], "cpu", (1, 8, 0))
    check_fit([models["bert"]], "cpu")
    with pytest.raises(DoesNotFit, match=r"^bert and bart cannot fit"):
        check_fit([models["bert"], models["bart"]], "cpu")


def test_what_can_be_had_is_the_tightest_of_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "memory_left", lambda: None)
    free = available_bytes("cpu")
    assert 0 < free <= psutil.virtual_memory().total + psutil.swap_memory().total
    monkeypatch.setattr(predictions, "memory_left", lambda: 12345)
    assert available_bytes("cpu") == 12345
    vms = psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (vms - 1, vms))
    assert available_bytes("cpu") == 0
