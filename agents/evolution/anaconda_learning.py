"""Gradient learning of Anaconda networks from the positions of played games; numpy only."""

from __future__ import annotations

import numpy as np

from games.compiled import NDArray
from nets import anaconda_layout as layout

ADAM_BETA_1, ADAM_BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-8
_SQUARES, _STARTS = layout.connections()
_WINDOWS = np.repeat(np.arange(layout.NUM_WINDOWS), np.diff(_STARTS))


def gradient(vector: NDArray, codes: NDArray, targets: NDArray) -> tuple[NDArray, float]:
    """Return the gradient [5047] of the mean squared error of the network's output, and that error.

    vector: float32 [5047], the flat weights and, last, K. codes: [B, 32], the mover's view in {-2, -1, 0, 1, 2}.
    targets: float32 [B], expected returns of the mover in [-1, 1].
    """
    weights, king_value = vector[:-1], vector[-1]
    first = np.zeros((layout.NUM_SQUARES, layout.NUM_WINDOWS), np.float32)
    first[_SQUARES, _WINDOWS] = weights[layout.WINDOW_WEIGHTS]
    second = weights[layout.HIDDEN_2_WEIGHTS].reshape(layout.NUM_WINDOWS, layout.NUM_HIDDEN_2)
    third = weights[layout.HIDDEN_3_WEIGHTS].reshape(layout.NUM_HIDDEN_2, layout.NUM_HIDDEN_3)
    output = weights[layout.OUTPUT_WEIGHTS]

    king_signs = np.where(np.abs(codes) == 2, np.sign(codes), 0).astype(np.float32)
    inputs = np.where(king_signs != 0, king_signs * king_value, codes).astype(np.float32)
    hidden_1 = np.tanh(inputs @ first + weights[layout.WINDOW_BIASES])
    hidden_2 = np.tanh(hidden_1 @ second + weights[layout.HIDDEN_2_BIASES])
    hidden_3 = np.tanh(hidden_2 @ third + weights[layout.HIDDEN_3_BIASES])
    values = np.tanh(hidden_3 @ output + weights[layout.OUTPUT_BIAS] + inputs.sum(axis=1))

    errors = values - targets
    at_output = (2.0 / len(codes)) * errors * (1.0 - values**2)  # [B], of the sum that enters the output node
    at_3 = np.outer(at_output, output) * (1.0 - hidden_3**2)
    at_2 = (at_3 @ third.T) * (1.0 - hidden_2**2)
    at_1 = (at_2 @ second.T) * (1.0 - hidden_1**2)
    at_inputs = at_1 @ first.T + at_output[:, None]

    result = np.empty(layout.NUM_WEIGHTS + 1, np.float32)
    result[layout.WINDOW_WEIGHTS] = (inputs.T @ at_1)[_SQUARES, _WINDOWS]
    result[layout.WINDOW_BIASES] = at_1.sum(axis=0)
    result[layout.HIDDEN_2_WEIGHTS] = (hidden_1.T @ at_2).ravel()
    result[layout.HIDDEN_2_BIASES] = at_2.sum(axis=0)
    result[layout.HIDDEN_3_WEIGHTS] = (hidden_2.T @ at_3).ravel()
    result[layout.HIDDEN_3_BIASES] = at_3.sum(axis=0)
    result[layout.OUTPUT_WEIGHTS] = hidden_3.T @ at_output
    result[layout.OUTPUT_BIAS] = at_output.sum()
    result[-1] = (at_inputs * king_signs).sum()
    return result, float((errors**2).mean())


def adam(vector: NDArray, moments: NDArray, slope: NDArray, rate: float, step: int) -> None:
    """Take one step of Adam (Kingma & Ba 2015, algorithm 1) in place; moments [2, N], step counts from 1."""
    moments[0] += (1 - ADAM_BETA_1) * (slope - moments[0])
    moments[1] += (1 - ADAM_BETA_2) * (slope**2 - moments[1])
    mean = moments[0] / (1 - ADAM_BETA_1**step)
    scale = np.sqrt(moments[1] / (1 - ADAM_BETA_2**step)) + ADAM_EPSILON
    vector -= rate * mean / scale
