"""The equations of Q-learning, each against a slow and obvious version or numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.dqn import targets
from agents.dqn.optimisers import CentredRmsProp


def tensor(*numbers: float) -> Tensor:
    return torch.tensor(numbers)


def test_q_learning_target_takes_the_greatest_value_and_nothing_after_the_end() -> None:
    target = targets.q_learning_target(
        tensor(1.0, 1.0), tensor(0.5, 0.0), torch.tensor([[2.0, 4.0, -1.0], [9.0, 9.0, 9.0]])
    )
    assert target.tolist() == [3.0, 1.0]


def test_double_q_target_values_the_learners_choice_by_the_target_network() -> None:
    q, selector = torch.tensor([[2.0, 4.0]]), torch.tensor([[1.0, 0.0]])
    assert targets.double_q_target(tensor(1.0), tensor(0.5), q, selector).tolist() == [2.0]


def test_of_actions_picks_values_and_distributions() -> None:
    outputs = torch.arange(12.0).reshape(2, 3, 2)
    assert targets.of_actions(outputs, torch.tensor([2, 0])).tolist() == [[4.0, 5.0], [6.0, 7.0]]
    assert targets.of_actions(outputs[:, :, 0], torch.tensor([1, 1])).tolist() == [2.0, 8.0]


# --- lambda returns ---------------------------------------------------------------------------------------------------


def n_step_mixture(
    rewards: list[float], discounts: list[float], values: list[float], cuts: list[bool], lambda_: float, start: int
) -> float:
    """Return the lambda return of one step as the weighted mean of its n-step returns, from the definition."""
    n_steps, total, weight = [], 0.0, 1.0
    for step in range(start, len(rewards)):
        if cuts[step]:
            break
        total += weight * rewards[step]
        weight *= discounts[step]
        n_steps.append(total + weight * values[step + 1])
    shares = [(1 - lambda_) * lambda_**n for n in range(len(n_steps) - 1)] + [lambda_ ** (len(n_steps) - 1)]
    return float(np.dot(shares, n_steps))


@pytest.mark.parametrize("lambda_", [0.0, 0.65, 1.0])
def test_lambda_returns_are_the_mixture_of_n_step_returns(lambda_: float) -> None:
    rng = np.random.default_rng(0)
    steps, envs = 12, 40
    rewards = rng.normal(size=(steps, envs)).astype(np.float32)
    values = rng.normal(size=(steps + 1, envs)).astype(np.float32)
    truncated = rng.random((steps, envs)) < 0.1
    discounts = np.where(rng.random((steps, envs)) < 0.2, 0.0, 0.9).astype(np.float32)
    returns, learnable = targets.lambda_returns(rewards, discounts, values, truncated, lambda_)
    assert np.array_equal(learnable, ~truncated)
    for env in range(envs):
        column = (rewards[:, env].tolist(), discounts[:, env].tolist(), values[:, env].tolist())
        for step in np.flatnonzero(learnable[:, env]).tolist():
            expected = n_step_mixture(*column, truncated[:, env].tolist(), lambda_, step)
            assert returns[step, env] == pytest.approx(expected, abs=1e-5)


# --- distributions ----------------------------------------------------------------------------------------------------


def projection_by_algorithm_1(
    reward: float, discount: float, probabilities: list[float], support: list[float]
) -> list[float]:
    """Bellemare et al. 2017, algorithm 1, in its own loop."""
    low, high, step = support[0], support[-1], support[1] - support[0]
    masses = [0.0] * len(support)
    for probability, atom in zip(probabilities, support, strict=True):
        place = (min(max(reward + discount * atom, low), high) - low) / step
        lower, upper = int(np.floor(place + 1e-9)), int(np.ceil(place - 1e-9))
        if lower == upper:
            masses[lower] += probability
        else:
            masses[lower] += probability * (upper - place)
            masses[upper] += probability * (place - lower)
    return masses


def test_categorical_projection_is_algorithm_1_of_the_paper() -> None:
    rng = np.random.default_rng(1)
    support = np.linspace(-2, 2, 9)
    probabilities = rng.dirichlet(np.ones(9), size=6)
    rewards, discounts = np.array([0.0, 1.0, -0.3, 5.0, -5.0, 0.25]), np.array([1.0, 0.9, 0.99, 0.5, 0.9, 0.0])
    found = targets.categorical_projection(*map(torch.from_numpy, (rewards, discounts, probabilities, support)))
    assert found.sum(1).tolist() == pytest.approx([1.0] * 6)
    for row, *inputs in zip(found, rewards, discounts, probabilities.tolist(), strict=True):
        assert row.tolist() == pytest.approx(projection_by_algorithm_1(*inputs, support.tolist()), abs=1e-9)


def test_categorical_loss_is_least_at_the_target() -> None:
    target = torch.tensor([[0.2, 0.5, 0.3]])
    logits = target.log().requires_grad_()
    loss = targets.categorical_loss(logits, target)
    loss.sum().backward()
    assert logits.grad is not None and logits.grad.abs().max() < 1e-6
    assert float(loss.detach()) == pytest.approx(float(-(target * target.log()).sum()))


def test_quantile_loss_follows_equation_10_of_the_paper() -> None:
    quantiles, target = torch.tensor([[0.0, 2.0]]), torch.tensor([[0.5, -3.0, 2.5]])
    expected = 0.0
    for quantile, tau in zip((0.0, 2.0), (0.25, 0.75), strict=True):
        terms = []
        for sample in (0.5, -3.0, 2.5):
            error = sample - quantile
            huber = 0.5 * error**2 if abs(error) <= 1 else abs(error) - 0.5
            terms.append(abs(tau - (error < 0)) * huber)
        expected += sum(terms) / 3
    assert float(targets.quantile_loss(quantiles, target)) == pytest.approx(expected)


# --- errors, weights, optimiser ---------------------------------------------------------------------------------------


def test_clipped_errors_bound_the_gradient_and_squared_ones_do_not() -> None:
    for loss, gradients in ((targets.clipped_error_loss, [0.5, 1.0]), (targets.squared_error_loss, [0.5, 3.0])):
        q = torch.tensor([0.5, 3.0], requires_grad=True)
        loss(q, torch.zeros(2)).sum().backward()
        assert q.grad is not None and q.grad.tolist() == gradients


def test_importance_weights_undo_the_preference_wholly_at_beta_1() -> None:
    probabilities = np.array([0.5, 0.25, 0.125])
    assert targets.importance_weights(probabilities, 1.0).tolist() == [0.25, 0.5, 1.0]
    assert targets.importance_weights(probabilities, 0.0).tolist() == [1.0, 1.0, 1.0]


def test_centred_rmsprop_follows_the_published_formula_in_any_layout() -> None:
    torch.manual_seed(0)
    shapes = [(1001,), (5, 3, 2, 2)]
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    parameters[1] = torch.nn.Parameter(parameters[1].detach().to(memory_format=torch.channels_last))
    optimiser = CentredRmsProp(parameters, 0.1, 0.01)
    expected = [parameter.detach().double() for parameter in parameters]
    means = [torch.zeros_like(p) for p in expected]
    squares = [torch.zeros_like(p) for p in expected]
    for _ in range(5):
        for index, parameter in enumerate(parameters):
            gradient = torch.randn(shapes[index])
            parameter.grad = gradient
            means[index] = 0.95 * means[index] + 0.05 * gradient
            squares[index] = 0.95 * squares[index] + 0.05 * gradient**2
            expected[index] -= 0.1 * gradient / (squares[index] - means[index] ** 2 + 0.01).sqrt()
        optimiser.step()
    for parameter, wanted in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.detach().double(), wanted, atol=1e-5, rtol=1e-5)
