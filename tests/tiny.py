"""Small models and data that the tests make themselves: random weights, a word-level tokenizer, learnable labels."""

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

LABELS = {0: "contradiction", 1: "neutral", 2: "entailment"}
WORDS = ["red", "blue", "green", "cat", "dog", "bird", "runs", "sleeps", "not", "big", "small", "the"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def tokenizer() -> PreTrainedTokenizerFast:
    """Word-level, framed as BART frames: <s> a </s></s> b </s>."""
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )


def _ready(model: PreTrainedModel) -> PreTrainedModel:
    model.train(False)
    return model


def bart(decoder_layers: int = 4, encoder_layers: int = 2, width: int = 16, seed: int = 0) -> PreTrainedModel:
    """A BART classifier with random weights."""
    torch.manual_seed(seed)
    config = BartConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        d_model=width,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=2 * width,
        decoder_ffn_dim=2 * width,
        max_position_embeddings=64,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
        id2label=LABELS,
        label2id={name: i for i, name in LABELS.items()},
    )
    return _ready(BartForSequenceClassification(config))


def bert(layers: int = 3, width: int = 16, seed: int = 0) -> PreTrainedModel:
    """A BERT classifier with random weights."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=64,
        pad_token_id=1,
        id2label=LABELS,
        label2id={name: i for i, name in LABELS.items()},
    )
    return _ready(BertForSequenceClassification(config))


def distilbert(layers: int = 3, width: int = 16, seed: int = 0) -> PreTrainedModel:
    """A DistilBERT classifier with random weights."""
    torch.manual_seed(seed)
    config = DistilBertConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        dim=width,
        n_layers=layers,
        n_heads=2,
        hidden_dim=2 * width,
        max_position_embeddings=64,
        pad_token_id=1,
        id2label=LABELS,
        label2id={name: i for i, name in LABELS.items()},
    )
    return _ready(DistilBertForSequenceClassification(config))


CAUSAL = ("llama", "mistral", "qwen2", "qwen3", "gpt2")


def causal(kind: str = "llama", layers: int = 4, width: int = 16, seed: int = 0, **changes: object) -> PreTrainedModel:
    """A causal language model with random weights, of one of the kinds in CAUSAL."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    settings: dict[str, object] = {
        "vocab_size": len(SPECIAL) + len(WORDS),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    }
    if kind != "gpt2":
        settings |= {"intermediate_size": 2 * width, "num_key_value_heads": 1, "tie_word_embeddings": False}
    config = AutoConfig.for_model(kind, **{**settings, **changes})
    return _ready(AutoModelForCausalLM.from_config(config, dtype=torch.float32))  # type: ignore[no-untyped-call]


def bigrams(chances: Mapping[str, Mapping[str, float]]) -> PreTrainedModel:
    """A Llama whose next token depends on the last one alone, with the chances given; what is not given is unlikely.

    Width is the size of the vocabulary, embeddings are its unit vectors and the layer adds nothing to them, so that
    the output layer is the table of log-probabilities. Chances after each token should add up to one.
    """
    size = len(SPECIAL) + len(WORDS)
    model = causal("llama", layers=1, width=size)
    number = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()
        model.get_parameter("model.embed_tokens.weight").copy_(torch.eye(size))
        model.get_parameter("model.norm.weight").fill_(size**-0.5)  # a unit vector has this root mean square
        table = torch.full((size, size), -30.0)
        for last, row in chances.items():
            for word, chance in row.items():
                table[number[word], number[last]] = math.log(chance)
        model.get_parameter("lm_head.weight").copy_(table)
    return model


def writer(decoder_layers: int = 4, encoder_layers: int = 2, width: int = 16, seed: int = 0) -> PreTrainedModel:
    """A BART that writes text, with random weights."""
    from transformers import BartForConditionalGeneration

    config = bart(decoder_layers, encoder_layers, width).config
    assert isinstance(config, BartConfig)
    config.architectures = None
    torch.manual_seed(seed)
    return _ready(BartForConditionalGeneration(config))


def saved(model: PreTrainedModel, folder: Path) -> Path:
    """The model and the tokenizer, saved as a user would save them."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Premise, hypothesis and a label that depends on both: equal colours entail, 'not' contradicts, else neutral."""
    rng = random.Random(seed)
    found = []
    for i in range(count):
        colour, animal = rng.choice(WORDS[:3]), rng.choice(WORDS[3:6])
        label = rng.choice(list(LABELS.values()))
        other = rng.choice([c for c in WORDS[:3] if c != colour])
        premise = " ".join(["the", colour, animal, "runs", *rng.choices(WORDS[9:11], k=rng.randrange(4))])
        said = {"entailment": colour, "contradiction": f"not {colour}", "neutral": other}[label]
        found.append({"id": str(i), "premise": premise, "hypothesis": f"the {animal} {said}", "label": label})
    return found


def data_file(path: Path, count: int, seed: int = 0) -> Path:
    """The rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(count, seed)), encoding="utf-8")
    return path


def sweep_file(folder: Path, **changes: object) -> Path:
    """A small sweep over a fresh tiny BART: a base, four recipes, one task, nothing held back.

    `changes` replace top-level keys.
    """
    import yaml

    if not (folder / "model").exists():
        saved(bart(), folder / "model")
        data_file(folder / "train.jsonl", 96, seed=1)
        data_file(folder / "test.jsonl", 120, seed=2)
    pair = {"text": "premise", "pair": "hypothesis", "label": "label"}
    values: dict[str, object] = {
        "name": "tiny",
        "bases": {"tiny": {"model": "model"}},
        "data": {"train": {"source": "train.jsonl", **pair}, "test": {"source": "test.jsonl", **pair}},
        "tasks": {"pairs": {"kind": "classification", "data": "test", "max_length": 32}},
        "holdout": 0,
        "recipes": [
            [{"layer_copy": {"decoder": [2]}}, [None, {"finetune": {"data": "train", "learning_rate": 1e-3}}]],
            ["int8_dynamic"],
            [{"cast": {"dtype": "bfloat16"}}],
        ],
        "latency": {"length": [16], "first_rounds": 20, "max_rounds": 20, "burst_ms": 1, "leases": 2},
        "memory": {"repeats": 1},
        **changes,
    }
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path
