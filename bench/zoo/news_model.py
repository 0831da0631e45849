"""The summariser's shape, first weights, tokenizer and generation settings.

Every word of the grammar has a token; a name is its two parts, which all sides share, so that names never seen in
training can be copied part by part. A line break is a token of its own: it parts the sentences of a summary.
"""

import re
from typing import Final

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import BartConfig, BartForConditionalGeneration, GenerationConfig, PreTrainedTokenizerFast
from transformers.models.bart.modeling_bart import BartDecoderLayer

from bench.zoo.grammar import SLOT
from bench.zoo.news import SURNAMES, TOWNS
from bench.zoo.news_forms import LISTS
from bench.zoo.news_kinds import KINDS, RECALLED, REMARKS
from bench.zoo.shaping import HEADS, WIDTH, start_attention, start_embeddings

SPECIAL: Final = ("<s>", "<pad>", "</s>", "<unk>")
MAX_TOKENS: Final = 160
LAYERS: Final = 3
SCALE: Final = 0.15  # of the first embeddings, which are also the output layer: even first guesses
WORD: Final = re.compile(r"\w+|[^\w\s]")


def forms() -> list[str]:
    """Every sentence of the grammar with its slots."""
    found = [*RECALLED, *REMARKS]
    for kind in KINDS.values():
        found += kind.fillers
        for fact in (*kind.leads, *kind.facts, *kind.outcomes):
            found += [*fact.said, *fact.kept, *fact.denied]
    return found


def capital(text: str) -> str:
    """The text with a capital letter first."""
    return text[0].upper() + text[1:]


def vocabulary() -> dict[str, int]:
    """Every piece and its id: the specials at 0 to 3, the words that occur, then the parts of names."""
    words: dict[str, None] = {"\n": None, ".": None}
    for form in forms():
        slot = SLOT.match(form)
        if slot and slot[1] in LISTS:
            words |= dict.fromkeys(WORD.findall(capital(entry))[0] for entry in LISTS[slot[1]])
        words |= dict.fromkeys(WORD.findall(SLOT.sub(" ", capital(form))))
    words |= dict.fromkeys(word for entries in LISTS.values() for entry in entries for word in WORD.findall(entry))
    parts = [*TOWNS[0], *SURNAMES[0], *(f"##{part}" for part in (*TOWNS[1], *SURNAMES[1]))]
    return {piece: number for number, piece in enumerate(dict.fromkeys((*SPECIAL, *sorted(words), *parts)))}


def news_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer built from the word lists alone; nothing is learnt. Texts are framed `<s> text </s>`."""
    pieces = Tokenizer(models.WordPiece(vocab=vocabulary(), unk_token="<unk>", continuing_subword_prefix="##"))  # noqa: S106
    pieces.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n|\w+|[^\w\s]"), behavior="removed", invert=True)
    pieces.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tidy = [
        decoders.Replace(spaced, tight) for spaced, tight in ((" \n ", "\n"), (" .", "."), (" ,", ","), (" :", ":"))
    ]
    pieces.decoder = decoders.Sequence([decoders.WordPiece(prefix="##", cleanup=False), decoders.Fuse(), *tidy])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=pieces,
        bos_token="<s>",  # noqa: S106
        pad_token="<pad>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        model_max_length=MAX_TOKENS,
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def shape() -> BartConfig:
    """The configuration: width 64, four heads, three encoder and three decoder layers."""
    return BartConfig(
        vocab_size=len(vocabulary()),
        d_model=WIDTH,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=64,
        decoder_ffn_dim=48,
        max_position_embeddings=MAX_TOKENS,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
    )


def generation() -> GenerationConfig:
    """Beam search with the keys of bart-large-cnn, lengths fit to summaries of 12 to 45 tokens."""
    return GenerationConfig(  # type: ignore[no-untyped-call]
        num_beams=4,
        length_penalty=2.0,
        min_length=10,
        max_length=56,
        no_repeat_ngram_size=3,
        early_stopping=True,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_bos_token_id=0,
        forced_eos_token_id=2,
    )


@torch.no_grad()
def begin() -> BartForConditionalGeneration:
    """A model with its first weights, drawn from torch's global generator (seed it before).

    As in the entailment model, half of the attention heads start on equal tokens ("mimetic" initialisation, Trockman
    and Kolter 2023, arXiv:2305.09828): copying from the item is what a summary is made of.
    """
    model = BartForConditionalGeneration(shape())
    for stack in (model.model.encoder, model.model.decoder):
        start_embeddings(model.model.shared, stack.embed_positions)
        stack.embed_positions.weight *= SCALE
        for number, layer in enumerate(stack.layers):
            start_attention(layer.self_attn, 1 + number % 2)
            for linear in (layer.fc1, layer.fc2):
                nn.init.xavier_uniform_(linear.weight)
            if isinstance(layer, BartDecoderLayer):
                start_attention(layer.encoder_attn, 1 + number % 2)
    model.model.shared.weight *= SCALE
    model.generation_config = generation()
    return model
