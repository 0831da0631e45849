"""The story model's shape and its tokenizer: a deep and thin Mistral, one token a word.

Every word of the grammar has a token, so no unknown word occurs. A text is framed `<s> text`; training adds `</s>`.
"""

from typing import Final

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from bench.zoo import stories

SPECIAL: Final = ("<s>", "</s>", "<pad>", "<unk>")
MAX_TOKENS: Final = 160
LAYERS: Final = 16
GLUE: Final = (
    "a the A The is are has have in In to and with end Now now still so he she him her it goes walks runs go carries "
    "brings meet wants takes looks for finds picks up gives hands leaves drops sees . ,"
)


def vocabulary() -> dict[str, int]:
    """Every word and its id: the specials at 0 to 3, then the grammar's words."""
    words = (*GLUE.split(), *stories.SHE, *stories.HE, *stories.PLACES, *stories.THINGS, *stories.COLOURS)
    return {word: number for number, word in enumerate(dict.fromkeys((*SPECIAL, *words)))}


def story_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer built from the word lists alone; nothing is learnt."""
    pieces = Tokenizer(models.WordLevel(vocab=vocabulary(), unk_token="<unk>"))  # noqa: S106
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=pieces,
        bos_token="<s>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        pad_token="<pad>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        model_max_length=MAX_TOKENS,
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=True,
    )


def shape(layers: int = LAYERS) -> MistralConfig:
    """The configuration: width 64, four heads on two key and value heads, input and output embeddings apart."""
    return MistralConfig(
        vocab_size=len(vocabulary()),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=MAX_TOKENS,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        sliding_window=None,
        tie_word_embeddings=False,
        initializer_range=0.02,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )


@torch.no_grad()
def begin(layers: int = LAYERS) -> MistralForCausalLM:
    """A model with its first weights, drawn from torch's global generator (seed it before).

    Projections start at 1/sqrt(width in); the two that write to the residual stream are smaller by sqrt(2 * layers), as
    in GPT-2, so that a deep stack starts stable. Every layer is trained from the start.
    """
    model = MistralForCausalLM(shape(layers))
    for name, parameter in model.named_parameters():
        if parameter.dim() != 2:
            continue
        if "embed_tokens" in name:
            nn.init.normal_(parameter, std=1.0)
        else:
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
        if "o_proj" in name or "down_proj" in name:
            parameter.mul_((2 * layers) ** -0.5)
        if "lm_head" in name:
            parameter.mul_(0.5)
    return model
