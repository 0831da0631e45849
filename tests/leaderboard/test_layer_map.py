"""The layer map: a cell a layer of the base, what is gone, what has which type; the same in words."""

from __future__ import annotations

from bench.store.layers import Layer, Stack
from leaderboard.layer_map import html_of, layer_rows, sentence

INT8 = {"int8": ("q", "k"), "float32": ("out",)}
DECODER = Stack("decoder", 4, (Layer(0, 0, {"float32": ("q", "k")}), Layer(1, 3, INT8)))


def test_every_layer_of_the_base_has_a_cell() -> None:
    assert layer_rows(DECODER) == [
        ("0", "f32", "layer 0, now 0: matrices: 2 in float32"),
        ("1", "gone", "layer 1: dropped"),
        ("2", "gone", "layer 2: dropped"),
        ("3", "i8 mixed", "layer 3, now 1: matrices: 2 in int8, 1 in float32"),
    ]
    assert sentence(DECODER) == "Dropped 1 to 2. Kept 2 of 4: 0 in float32; 3 in int8 and float32."


def test_where_it_cannot_be_told_what_is_left_the_variants_own_layers_are_shown() -> None:
    unknown = Stack("decoder", 4, (Layer(0, None, {"bfloat16": ("q",)}), Layer(1, None, {})))
    assert [row[:2] for row in layer_rows(unknown)] == [("0", "b16"), ("1", "other")]
    assert "which of them these were cannot be told" in sentence(unknown)


def test_the_map_is_text_with_a_label_for_screen_readers() -> None:
    html = html_of([DECODER, Stack("<b>", 1, (Layer(0, 0, {"x": ("q",)}),))])
    assert '<li class="gone" title="layer 1: dropped"><b>1</b><span>–</span></li>' in html
    assert '<li class="i8 mixed"' in html
    assert "<span>int8*</span>" in html
    assert 'aria-label="decoder: Dropped 1 to 2. Kept 2 of 4' in html
    assert "<h4>&lt;b&gt;</h4>" in html
    assert "<span>?</span>" in html  # a type that has no short name
