import pytest
import torch
from torch import nn

from classlens.cam.classifier import Layer
from classlens.cam.layout import Layout, ModuleRun, covers, layout_of, window_layout
from classlens.errors import ModelError


def read(shape, *, picture=(224, 224), module=None, extra=None) -> Layout:
    return layout_of(Layer("here", module or nn.Identity()), shape, (shape[0], 3, *picture), extra)


def test_windows_of_pictures_are_refused():
    with pytest.raises(ModelError, match="puts out 128 items for a batch of 2"):
        layout_of(Layer("attn.qkv", nn.Identity()), (128, 49, 96), (2, 3, 224, 224))


@pytest.mark.parametrize(
    ("shape", "picture", "layout"),
    [
        ((2, 2048, 7, 7), (224, 224), Layout("channels first", 7, 7)),
        ((2, 7, 7, 768), (224, 224), Layout("channels last", 7, 7)),
        ((1, 2048, 7, 14), (224, 448), Layout("channels first", 7, 14)),
        ((1, 14, 7, 96), (448, 224), Layout("channels last", 14, 7)),
        ((1, 197, 768), (224, 224), Layout("tokens", 14, 14, 1)),
        ((1, 198, 192), (224, 224), Layout("tokens", 14, 14, 2)),
        ((1, 49, 768), (224, 224), Layout("tokens", 7, 7, 0)),
        ((1, 577, 768), (384, 384), Layout("tokens", 24, 24, 1)),
        ((1, 201, 384), (224, 224), Layout("tokens", 14, 14, 5)),
        ((1, 98, 768), (224, 448), Layout("tokens", 7, 14, 0)),
        ((1, 393, 768), (224, 448), Layout("tokens", 14, 28, 1)),
        ((1, 192, 768), (256, 192), Layout("tokens", 16, 12, 0)),
        ((1, 197, 1024), (224, 224), Layout("tokens", 14, 14, 1)),
    ],
)
def test_a_layout_follows_from_the_shape_of_the_picture(shape, picture, layout):
    assert read(shape, picture=picture) == layout


def test_a_grid_puts_every_value_where_it_belongs():
    first = torch.arange(2 * 5 * 3 * 4).reshape(2, 5, 3, 4)
    last = first.permute(0, 2, 3, 1)
    tokens = torch.cat([torch.full((2, 2, 5), -1), last.reshape(2, 12, 5)], dim=1)

    assert torch.equal(Layout("channels first", 3, 4).grid(first), first)
    assert torch.equal(Layout("channels last", 3, 4).grid(last), first)
    assert torch.equal(Layout("tokens", 3, 4, 2).grid(tokens), first)
    assert torch.equal(Layout("tokens", 3, 4, 2).filled(tokens, first), tokens)


def test_known_extra_tokens_are_believed():
    assert read((1, 16, 8), picture=(64, 64), extra=0) == Layout("tokens", 4, 4, 0)
    with pytest.raises(ModelError, match="is no feature map"):
        read((1, 17, 8), picture=(64, 64), extra=0)


def test_a_convolution_puts_channels_first_whatever_its_numbers():
    assert read((1, 7, 7, 7), module=nn.Conv2d(3, 7, 1)) == Layout("channels first", 7, 7)


def test_a_layer_norm_puts_channels_last_where_both_would_fit():
    assert read((1, 7, 7, 7), module=nn.LayerNorm(7)) == Layout("channels last", 7, 7)


def test_a_shape_with_two_readings_is_refused():
    with pytest.raises(ModelError, match="can be read as channels first, 7 x 7 or channels last, 7 x 7"):
        read((1, 7, 7, 7))


@pytest.mark.parametrize("shape", [(1, 1000), (1, 3, 49, 20), (1, 8, 2, 4, 4), (1, 34, 768)])
def test_what_does_not_cover_the_picture_is_refused(shape):
    with pytest.raises(ModelError, match="is no feature map of a 224 x 224 picture"):
        read(shape)


def test_rounding_at_the_border_is_allowed_and_no_more():
    assert covers(8, 10, (225, 300))
    assert covers(7, 9, (225, 300))
    assert not covers(7, 12, (225, 300))
    assert not covers(5, 6, (224, 224))


def test_known_extra_tokens_need_not_be_there_yet():
    assert str(read((1, 197, 8), extra=1)) == "tokens, 14 x 14, 1 extra"
    assert str(read((1, 196, 8), extra=1)) == "tokens, 14 x 14, 0 extra"


def test_windows_are_put_together_and_taken_apart_again():
    layout = Layout("windows", 2, 2, rows=6, order=(5, 0, 3, 2))
    pieces = torch.arange(2 * 6 * 3.0).reshape(4, 3, 3)

    grid = layout.grid(pieces)

    assert grid[:, 0].tolist() == [[[15, 0], [9, 6]], [[33, 18], [27, 24]]]
    torch.testing.assert_close(layout.filled(pieces, grid), pieces)
    emptied = layout.filled(pieces, torch.zeros_like(grid))
    assert emptied.flatten(0, 1).any(dim=1).nonzero()[:, 0].tolist() == [1, 4, 7, 10]  # the padding stays


def test_a_row_of_numbers_for_each_picture_is_in_no_windows():
    part = ModuleRun(Layer("squeeze", nn.Linear(4, 4)), None, torch.ones(2, 4))

    assert window_layout(part, [part], [torch.ones(2, 4, 3, 3)]) is None
