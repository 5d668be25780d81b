"""What legal masks say."""

from __future__ import annotations

import numpy as np
import pytest

from games.compiled import NDArray
from games.legal_masks import NO_ACTION, count_actions, is_empty, is_in, mask_to_bools, nth_action, only_action


def mask_of(*actions: int) -> NDArray:
    mask = np.zeros(2, np.uint64)
    for action in actions:
        mask[action // 64] |= np.uint64(1) << np.uint64(action % 64)
    return mask


@pytest.mark.parametrize("actions", [(), (0,), (63,), (64,), (127,), (0, 5, 63, 64, 127), tuple(range(128))])
def test_every_function_sees_the_same_actions(actions: tuple[int, ...]) -> None:
    mask = mask_of(*actions)
    assert tuple(np.flatnonzero(mask_to_bools(mask, 128))) == actions
    assert is_empty(mask) == (not actions)
    assert count_actions(mask) == len(actions)
    assert tuple(action for action in range(128) if is_in(mask, action)) == actions
    assert tuple(nth_action(mask, n) for n in range(len(actions))) == actions
    assert nth_action(mask, len(actions)) == NO_ACTION


def test_only_action() -> None:
    for action in (0, 63, 64, 127):
        assert only_action(mask_of(action)) == action
    for actions in ((0, 1), (63, 64), (3, 127), (64, 65, 66)):
        assert only_action(mask_of(*actions)) == NO_ACTION
