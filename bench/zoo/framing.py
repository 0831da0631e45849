"""The tokenizer of the entailment model: one token a word, letters for words it does not know.

A pair is framed `<s> premise </s></s> hypothesis </s>`: three `</s>` in every row, which BART's classification head
demands of a batch (it pools the last one).
"""

import string
from typing import Final

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from bench.zoo import words

SPECIAL: Final = ("<s>", "<pad>", "</s>", "<unk>")
MAX_TOKENS: Final = 160
GLUE: Final = (
    "at the is was not never by a in to or with if that than has has lacks gave went every Every some Some no No Not "
    "If At exactly at least most more fewer than older younger taller shorter richer poorer faster slower above below "
    "ahead of behind knows sees wrongly falsely thinks claims . ,"
)


def open_words() -> tuple[str, ...]:
    """Every name and noun of both sides, one token each. Their vectors stay as drawn (see `shaping`): a test name is
    then as good a stranger to the model as a training name, and only whether two tokens are equal can matter."""
    everyone = (*words.names("train"), *words.names("validation"), *words.names("test"))
    tables = (words.JOB_PARTS, words.PLACE_PARTS, words.THING_PARTS)
    return (*sorted(everyone), *(noun for parts in tables for d in range(8) for noun in words.compounds(parts, d)))


def vocabulary() -> dict[str, int]:
    """Every piece and its id: the specials at 0 to 3, the grammar's words, names and nouns, then single characters."""
    whole = (*GLUE.split(), *words.ACTIONS, *words.DEEDS, *words.COUNTED, *words.NUMBERS)
    signs = string.ascii_letters + string.digits
    unique = dict.fromkeys((*SPECIAL, *whole, *open_words(), *signs, *(f"##{sign}" for sign in signs)))
    return {piece: number for number, piece in enumerate(unique)}


def entailment_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer built from the word lists alone: nothing is learnt, so no test word can leak into it."""
    pieces = Tokenizer(models.WordPiece(vocab=vocabulary(), unk_token="<unk>", continuing_subword_prefix="##"))  # noqa: S106
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
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
