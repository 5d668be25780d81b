"""Trunks: declared blocks, their sizes, receptive fields, errors and JSON."""

import dataclasses
import json
from typing import Any, get_args

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nets import blocks as b
from nets.cnn import ReceptiveField, Trunk, output_shapes, receptive_fields
from nets.spec import SpecError, fit, to_json

EVERY_BLOCK: list[tuple[b.Block, b.Shape]] = [
    (b.Conv(5, 3, 2, padding=1, bias=False), (2, 9, 9)),
    (b.Conv(5, 4, 3, padding="same"), (2, 9, 10)),
    (b.SymmetricConv(4, 5, padding=2), (2, 9, 9)),
    (b.LocalConv(3, 3, 2), (2, 9, 7)),
    (b.Windows(((0, 2), (1, 2, 3))), (4,)),
    (b.MaxPool(3, 2, padding="same"), (2, 8, 9)),
    (b.MaxPool(3, 3), (2, 9, 9)),
    (b.AvgPool(2, 2), (2, 8, 8)),
    (b.AvgPool(3, 2, padding=1), (2, 9, 9)),
    (b.L2Pool(3, 2, padding="same"), (2, 8, 9)),
    (b.StochasticPool(2, 2), (2, 8, 8)),
    (b.GlobalPool(), (2, 8, 8)),
    (b.RoiPool(((0, 0, 4, 8), (2, 2, 8, 8)), 3), (2, 8, 8)),
    (b.Relu(), (2, 3, 3)),
    (b.Tanh(), (5,)),
    (b.AbsTanh(), (5,)),
    (b.Sigmoid(), (5,)),
    (b.Linear(7), (2, 3, 3)),
    (b.DropConnect(7, 0.3), (9,)),
    (b.Dropout(0.3), (2, 3, 3)),
    (b.Norm("local_response"), (8, 3, 3)),
    (b.Norm("layer"), (5,)),
    (b.Residual(5, "post", "channel", pooled_channels=2), (4, 9, 9)),
    (b.PositionBias(), (2, 3, 4)),
    (b.Border(2), (2, 5, 6)),
]


@pytest.mark.parametrize(("block", "shape"), EVERY_BLOCK, ids=lambda value: getattr(value, "kind", None))
@pytest.mark.parametrize("training", [True, False])
def test_computed_shape_is_the_actual_one(block: b.Block, shape: b.Shape, training: bool) -> None:
    trunk = Trunk((block,), shape).train(training)
    out = trunk(torch.rand(3, *shape))
    assert out.shape[1:] == trunk.output_shape == output_shapes((block,), shape)[-1]
    assert out.isfinite().all()


def test_every_block_is_tested_here_and_survives_json() -> None:
    assert {type(block) for block, _ in EVERY_BLOCK} == set(get_args(b.Block))
    trunk = tuple(block for block, _ in EVERY_BLOCK)
    text = json.dumps([to_json(block) for block in trunk])
    assert fit(json.loads(text), tuple[b.Block, ...], "trunk") == trunk


def test_a_block_takes_other_sizes_exactly_where_it_says_so() -> None:
    for block, shape in EVERY_BLOCK:
        if len(shape) == 3:
            larger = (shape[0], shape[1] + 6, shape[2] + 6)
            trunk = Trunk((block,), shape).eval()
            if trunk.any_size:
                assert trunk(torch.rand(2, *larger)).shape[1:] == output_shapes((block,), larger)[-1]
            else:
                with pytest.raises(ValueError, match="takes inputs of shape"):
                    trunk(torch.rand(2, *larger))


windowed = st.builds(
    lambda make, size, stride, padding: make(size, stride, min(padding, size // 2)),
    st.sampled_from([lambda *a: b.Conv(2, *a), lambda *a: b.LocalConv(2, *a), b.MaxPool, b.AvgPool, b.L2Pool]),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 2),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(windowed, min_size=1, max_size=4), st.integers(3, 20), st.integers(3, 20))
def test_sizes_are_right_or_refused_by_name(trunk: list[b.Block], height: int, width: int) -> None:
    try:
        shapes = output_shapes(trunk, (2, height, width))
    except SpecError as error:
        bad = int(str(error).split()[2])
        assert str(error).startswith(f"trunk layer {bad} ({trunk[bad].kind}): output size (")
        _, *sizes = output_shapes(trunk[:bad], (2, height, width))[-1] if bad else (2, height, width)
        block: Any = trunk[bad]
        quotients = [(size - block.size + 2 * block.padding) / block.stride + 1 for size in sizes]
        assert any(quotient < 1 or quotient != int(quotient) for quotient in quotients)
        return
    x = torch.rand(1, 2, height, width)
    for block, layer, shape in zip(trunk, Trunk(trunk, (2, height, width)).layers, shapes, strict=True):
        x = layer(x)
        assert x.shape[1:] == shape, block


@pytest.mark.parametrize(
    ("trunk", "message"),
    [
        (
            (b.Conv(4, 3), b.Relu(), b.MaxPool(2, 2)),
            "trunk layer 2 (max_pool): output size (17 - 2 + 2*0)/2 + 1 = 8.5 is not whole",
        ),
        (
            (b.Conv(4, 21),),
            "trunk layer 0 (conv): output size (19 - 21 + 2*0)/1 + 1 = -1: the window is larger than its input",
        ),
        (
            (b.Linear(9), b.Conv(4, 3)),
            "trunk layer 1 (conv): needs a map (channels, height, width), not the shape (9,)",
        ),
        ((b.MaxPool(3, 2, padding=2),), "trunk layer 0 (max_pool): padding 2 is more than half of the window of 3"),
        ((b.RoiPool(((0, 0, 20, 5),), 2),), "trunk layer 0 (roi_pool): region (0, 0, 20, 5) is no part of a map 19x19"),
        (
            (b.Residual(pooled_channels=3),),
            "trunk layer 0 (residual): pooled_channels 3 leaves none of the 3 channels",
        ),
        ((b.Residual(4),), "trunk layer 0 (residual): size 4 is even, which would change the map's size"),
        (
            (b.GlobalPool(), b.Windows(((6,),))),
            "trunk layer 1 (windows): needs windows that are not empty over at least 7 features, not (6,)",
        ),
        ((b.GlobalPool(), b.Norm("channel")), "trunk layer 1 (norm): type 'channel' needs a map, not the shape (6,)"),
    ],
)
def test_a_trunk_that_does_not_fit_is_refused_in_one_line(trunk: tuple[b.Block, ...], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        Trunk(trunk, (3, 19, 19))
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b.Conv(0, 3), "conv: filters must be a whole number of at least 1, not 0"),
        (lambda: b.Conv(4, 3, padding="sane"), "padding must be a whole number of at least 0 or 'same', not 'sane'"),
        (lambda: b.Conv(4, True), "size must be a whole number of at least 1, not True"),
        (lambda: b.Conv(4, 3, bias=1), "bias must be true or false, not 1"),
        (lambda: b.Dropout(1.0), "probability must be a number from 0 to 0.999, not 1.0"),
        (lambda: b.Norm("bach"), "type must be 'batch' or 'layer' or 'channel' or 'local_response', not 'bach'"),
        (lambda: b.RoiPool(((0, 0, 1),), 2), "roi_pool: regions[0] must have 4 items, not 3"),
        (lambda: b.Windows((1, 2)), "windows[0] must be a list, not 1"),
    ],
)
def test_a_wrong_field_is_refused_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        make()
    assert str(refused.value).endswith(message)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"kind": "convolution"}, "trunk[0]: kind 'convolution' is not known, only "),
        ({"filters": 3}, "trunk[0]: kind None is not known, only "),
        ({"kind": "conv", "filters": 3}, "trunk[0] (conv): field 'size' is missing"),
        (
            {"kind": "relu", "leak": 0.1},
            "trunk[0] (relu): field 'leak' is not known, only ",
        ),
        ({"kind": "conv", "filters": 3, "size": "3"}, "conv: size must be a whole number"),
        ({"kind": "dropout", "probability": 10**400}, "dropout: probability must be a number from 0 to 0.999"),
        ("conv", "trunk[0] must be conv or symmetric_conv"),
    ],
)
def test_json_that_describes_no_trunk_is_refused_in_one_line(value: Any, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        fit([value], tuple[b.Block, ...], "trunk")
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def measured_field(trunk: tuple[b.Block, ...], shape: b.Shape) -> tuple[int, int]:
    """Return height and width of the input cells that reach the middle output, by gradients of many inputs."""
    torch.manual_seed(0)
    module = Trunk(trunk, shape).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()  # nothing cancels, no ReLU is dead
    x = torch.rand(200, *shape, requires_grad=True)  # many, because a maximum's gradient goes to one cell
    out = module(x)
    out[:, 0, out.shape[2] // 2, out.shape[3] // 2].sum().backward()
    assert x.grad is not None
    rows, columns = x.grad.abs().sum((0, 1)).nonzero().T
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


@pytest.mark.parametrize(
    ("trunk", "expected"),
    [
        ((b.Conv(3, 5, padding=2), b.Relu(), b.Conv(2, 3, padding=1)), (7, 1)),
        ((b.Conv(3, 5, 2, padding=2), b.MaxPool(3, 2, padding=1), b.Conv(3, 3)), (17, 4)),
        ((b.AvgPool(2, 2, padding="same"), b.L2Pool(2, 2, padding="same"), b.StochasticPool(2, 1)), (8, 4)),
        ((b.Residual(3, norm="none"), b.Residual(5, "post", "batch"), b.Norm("channel")), (13, 1)),
        ((b.SymmetricConv(2, 5), b.LocalConv(2, 3, 2, padding=1), b.PositionBias()), (7, 2)),
        ((b.Border(1), b.Conv(2, 3), b.Norm("batch"), b.Dropout(), b.Sigmoid()), (3, 1)),
    ],
)
def test_receptive_field_is_the_one_measured(trunk: tuple[b.Block, ...], expected: tuple[int, int]) -> None:
    shape = (2, 33, 33)
    assert receptive_fields(trunk, shape)[-1] == expected
    assert measured_field(trunk, shape) == (expected[0], expected[0])


@pytest.mark.parametrize(
    "block",
    [
        b.GlobalPool(),
        b.Linear(3),
        b.DropConnect(3),
        b.RoiPool(((0, 0, 9, 9),), 1),
        b.Norm("layer"),
        b.Residual(pooled_channels=1),
        b.Residual(norm="layer"),
    ],
)
def test_a_layer_that_sees_all_says_so_and_does(block: b.Block) -> None:
    trunk = (b.Conv(2, 3, padding=1), block)
    assert receptive_fields(trunk, (2, 9, 9)) == (ReceptiveField(3, 1), ReceptiveField(None, 1))
    torch.manual_seed(0)
    x = torch.rand(300, 2, 9, 9, requires_grad=True)
    module = Trunk(trunk, (2, 9, 9)).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    module(x).flatten(1)[:, 0].square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum((0, 1)).gt(0).all()


def test_same_padding_halves_any_size() -> None:
    for length in range(1, 30):
        assert output_shapes((b.MaxPool(3, 2, padding="same"),), (1, length, length + 1)) == (
            (1, -(-length // 2), -(-(length + 1) // 2)),
        )


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 24))
def test_same_padded_pooling_is_the_maximum_of_what_is_there(size: int, stride: int, length: int) -> None:
    assume(size >= stride)
    x = torch.randn(1, 1, length, length) - 5  # all negative, so padding with zeros would show
    out = Trunk((b.MaxPool(size, stride, padding="same"),), (1, length, length))(x)
    assert out.max() == x.max()
    assert out.lt(0).all()


def test_blocks_are_values() -> None:
    assert b.Conv(4, 3) == b.Conv(4, 3) != b.Conv(4, 5)
    assert hash(b.RoiPool([[0, 0, 1, 1]], 2)) == hash(b.RoiPool(((0, 0, 1, 1),), 2))  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        b.Conv(4, 3).filters = 5  # type: ignore[misc]
