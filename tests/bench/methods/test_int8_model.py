"""uint8 embeddings and int8 output layers: values by hand, what is shared and saved, and that it stays so."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.architecture import describe
from bench.errors import BadInput
from bench.methods.int8_dynamic import Int8Dynamic, chosen_names
from bench.methods.int8_embedding import Int8Embedding, is_word_embedding, quantise_rows
from bench.methods.int8_linear import Int8DynamicLinear
from bench.methods.int8_sizes import folder_table, linears, predicted_bytes, tied_heads
from bench.models import Loaded, load, save, unique_state
from bench.recipe import Workplace
from tests import tiny, tiny_bert

WORK = Workplace(0, {})
IDS = torch.tensor([[0, 5, 6, 7, 2], [0, 9, 2, 1, 1]])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("writers")
    llama = tiny.causal("llama", tie_word_embeddings=True)
    made = {"writer": tiny.writer(), "bert": tiny.bert(), "llama": llama}
    return {name: tiny.saved(model, folder / name) for name, model in made.items()}


def quantised(folder: Path, **settings: object) -> Loaded:
    return Int8Dynamic.model_validate(settings).apply(load(folder), WORK)


def logits(loaded: Loaded) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = loaded.model(input_ids=IDS).logits
    return found


def tensor_bytes(loaded: Loaded) -> int:
    return sum(t.numel() * t.element_size() for t in unique_state(loaded.model).values())


def test_rows_by_hand() -> None:
    weight = torch.tensor([[0.0, 1.0, 2.55, 0.304], [-1.0, -1.0, -1.0, -1.0], [10.0, 10.1, 10.2, 10.255]])
    q, scale, zero = quantise_rows(weight)
    assert q.dtype == torch.uint8
    assert q[0].tolist() == [0, 100, 255, 30]
    assert torch.allclose(scale, torch.tensor([0.01, 1.0, 0.001]), rtol=1e-4)
    assert torch.allclose(zero, torch.tensor([0.0, 1.0, -10000.0]), rtol=1e-3)
    assert q[1].tolist() == [0, 0, 0, 0]  # -1 = (0 - 1) * 1: exact
    assert q[2].tolist() == [0, 100, 200, 255]  # a range far from zero is not widened to hold it
    with pytest.raises(ValueError, match="NaN"):
        quantise_rows(torch.tensor([[1.0, float("nan")]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_look_up(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    embedding = nn.Embedding(11, 6, padding_idx=1).to(dtype)
    made = Int8Embedding.from_embedding(embedding)
    ids = torch.tensor([[3, 1], [10, 3]])
    found, expected = made(ids), embedding(ids)
    assert found.dtype == dtype
    step = (expected.float().amax(-1) - expected.float().amin(-1)) / 255
    allowed = 0.5 * step[..., None] + (0.01 if dtype == torch.bfloat16 else 1e-6)
    assert bool(((found.float() - expected.float()).abs() <= allowed).all())
    assert made(torch.tensor([1])).eq(0).all()  # padding is a row of zeros, exactly
    half = copy.deepcopy(made).to(torch.float16)
    assert half(ids).dtype == torch.float16
    assert half.weight_scale.dtype == torch.float32
    assert torch.equal(half.weight_scale, made.weight_scale)
    assert set(made.state_dict()) == {"weight_uint8", "weight_scale", "weight_zero"}


def test_which_embeddings(folders: dict[str, Path]) -> None:
    """BART's scaled word embeddings, not its learned positions; BERT's are all plain nn.Embedding."""
    writer, bert = load(folders["writer"]).model, load(folders["bert"]).model
    found = {n for n, m in writer.named_modules() if is_word_embedding(m)}
    assert found == {"model.shared", "model.encoder.embed_tokens", "model.decoder.embed_tokens"}
    assert sum(is_word_embedding(m) for m in bert.modules()) == 3


@pytest.mark.parametrize("lm_head", ["float", "int8"])
@pytest.mark.parametrize("embeddings", [False, True])
@pytest.mark.parametrize("kind", ["writer", "bert", "llama"])
def test_bytes_are_those_predicted(
    kind: str, embeddings: bool, lm_head: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    """And what was saved loads again as the same model, with the same tensors shared."""
    if kind == "bert" and lm_head == "int8":
        with pytest.raises(BadInput, match="has no output layer over its vocabulary"):
            Int8Dynamic(lm_head="int8").check(describe(folders[kind]))
        return
    made = quantised(folders[kind], embeddings=embeddings, lm_head=lm_head)
    save(made, tmp_path / "x")
    again = load(tmp_path / "x")
    wanted = predicted_bytes(folder_table(folders[kind]), embeddings=embeddings, lm_head=lm_head)  # type: ignore[arg-type]
    written = (tmp_path / "x" / "model.safetensors").read_bytes()
    assert tensor_bytes(made) == tensor_bytes(again) == wanted
    assert len(written) - 8 - int.from_bytes(written[:8], "little") == wanted
    assert torch.equal(logits(made), logits(again))
    exact = logits(load(folders[kind]))
    assert 0 < (logits(again) - exact).abs().max() < 0.2 * exact.abs().max()


def test_an_int8_head_stays_untied(folders: dict[str, Path], tmp_path: Path) -> None:
    tied, untied = (quantised(folders["writer"], lm_head=h) for h in ("float", "int8"))
    assert isinstance(tied.model.lm_head, nn.Linear)
    assert tied.model.lm_head.weight is tied.model.model.shared.weight
    head = untied.model.get_submodule("lm_head")
    assert isinstance(head, Int8DynamicLinear)
    assert tensor_bytes(untied) == tensor_bytes(tied) + 16 * 16 + 4 * 16  # vocabulary x width, and its scales
    save(untied, tmp_path / "x")
    for model in (untied.model, load(tmp_path / "x").model):
        before = {k: v.clone() for k, v in model.state_dict().items()}
        expected = logits(Loaded(model, untied.tokenizer, untied.source))
        model.tie_weights()
        assert isinstance(model.get_submodule("lm_head"), Int8DynamicLinear)
        assert model.state_dict().keys() == before.keys()
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        assert torch.equal(logits(Loaded(model, untied.tokenizer, untied.source)), expected)
        embeds = [model.get_submodule(f"model.{n}").weight for n in ("shared", "encoder.embed_tokens")]
        assert embeds[0] is embeds[1]


def test_uint8_embeddings_of_a_masked_model(tmp_path: Path) -> None:
    """Its two ties are not alike: weights to the embedding, which changes, and biases, which do not."""
    folder = tiny_bert.saved(tiny_bert.masked(), tmp_path / "masked")
    made = quantised(folder, embeddings=True)
    save(made, tmp_path / "x")
    again = load(tmp_path / "x")
    assert isinstance(again.model.get_submodule("bert.embeddings.word_embeddings"), Int8Embedding)
    ids = torch.tensor([[2, 5, 6, 3]])
    with torch.inference_mode():
        assert torch.equal(made.model(input_ids=ids).logits, again.model(input_ids=ids).logits)
    decoder = again.model.get_submodule("cls.predictions.decoder")
    assert decoder.bias is again.model.get_submodule("cls.predictions").bias


def test_uint8_embeddings_are_shared_and_stay(folders: dict[str, Path], tmp_path: Path) -> None:
    made = quantised(folders["writer"], embeddings=True)
    save(made, tmp_path / "x")
    again = load(tmp_path / "x")
    assert again.loader_settings == {"activations": "token", "embeddings": "float32"}
    for model in (made.model, again.model):
        model.tie_weights()
        tables = [m for m in model.modules() if isinstance(m, Int8Embedding)]
        assert len(tables) == 3
        assert len({t.weight_uint8.data_ptr() for t in tables}) == 1
        assert type(model.get_submodule("lm_head")) is nn.Linear
        assert not any(isinstance(m, nn.Embedding) and is_word_embedding(m) for m in model.modules())
    # The head in float needs a tensor of its own now; the rows of the table cost 1 byte a number and 8 a row.
    plain = quantised(folders["writer"])
    assert tensor_bytes(made) == tensor_bytes(plain) + 16 * 16 + 8 * 16


def test_a_scaled_embedding_stays_scaled(tmp_path: Path) -> None:
    model = tiny.writer()
    model.config.scale_embedding = True
    folder = tiny.saved(model, tmp_path / "scaled")
    plain, made = load(folder), quantised(folder, embeddings=True)
    for name in ("model.encoder.embed_tokens", "model.decoder.embed_tokens"):
        before, after = plain.model.get_submodule(name)(IDS), made.model.get_submodule(name)(IDS)
        assert (before - after).abs().max() <= 4 * 0.5 / 255 * (before.amax() - before.amin())
        assert made.model.get_submodule(name).embed_scale == 4.0


def test_reloaded_models_write_as_their_authors_said(folders: dict[str, Path], tmp_path: Path) -> None:
    source = load(folders["writer"])
    source.model.generation_config.num_beams = 3
    folder = tiny.saved(source.model, tmp_path / "source")
    save(quantised(folder), tmp_path / "x")
    assert load(tmp_path / "x").model.generation_config.num_beams == 3


def test_t5_looks_at_its_weights(tmp_path: Path) -> None:
    """T5 compares the type of a layer's weight before it calls it."""
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(vocab_size=16, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=1)
    folder = tiny.saved(T5ForConditionalGeneration(config), tmp_path / "t5")
    made = quantised(folder, embeddings=True, lm_head="int8")
    save(made, tmp_path / "x")
    with torch.inference_mode():
        first, second = (m.model(input_ids=IDS, decoder_input_ids=IDS).logits for m in (made, load(tmp_path / "x")))
    assert torch.equal(first, second)


def test_names_are_known_from_the_config_alone(folders: dict[str, Path]) -> None:
    table = folder_table(folders["writer"])
    model = load(folders["writer"]).model
    assert linears(table) == tuple(n for n, m in model.named_modules() if type(m) is nn.Linear)
    assert len(chosen_names(linears(table), tied_heads(table), ())) == 2 * 6 + 4 * 10
    assert chosen_names(linears(table), tied_heads(table), ["model.*"], "int8") == ("lm_head",)
    with pytest.raises(BadInput, match=r"keeps 'decoder\.fc9' in float, but no Linear layer has that name"):
        chosen_names(linears(table), tied_heads(table), ["decoder.fc9"])
    with pytest.raises(BadInput, match="finds no Linear layer to quantise"):
        chosen_names(linears(table), tied_heads(table), ["model.*"])


def test_weights_that_are_not_finite(folders: dict[str, Path]) -> None:
    loaded = load(folders["writer"])
    with torch.no_grad():
        loaded.model.get_parameter("model.shared.weight")[3, 2] = float("nan")
    with pytest.raises(BadInput, match="the embedding holds NaN or infinity"):
        Int8Dynamic(embeddings=True).apply(loaded, WORK)
