"""Players over networks and random games: specs, models of every kind, and what a player of Go must not do."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.analysis import Analysis, MoveAnalysis, PlayerError
from agents.go_conduct import Conducted, Ending, conduct
from agents.go_sense import is_eye_filled, mover_lead
from agents.mcts.search import MOST_NODES, TreeLimits, most_nodes
from agents.network_evaluator import load_network_evaluator
from agents.player import ForesightedPlayer, SearchingPlayer, SelectivePlayer, make_player
from games import go
from games.checkers import CHECKERS
from games.connect_four import CONNECT_FOUR
from games.go_features import feature_set
from games.rules import Game, State, States, apply, is_over, observe_batch, returns, to_play
from games.symmetries import action_maps
from nets.blocks import Conv, Relu
from nets.heads import OwnershipHeadSpec, PointPolicySpec
from nets.models import PolicyValueSpec, load_model, save_model
from nets.presets import preset

GO_5 = go.game(5, komi=0.5)


def save(folder: Path, network: str, game: Game, header_game: str = "", **choices: Any) -> Path:
    """Write a model of random weights for a game's own planes and return its folder."""
    folder.mkdir()
    torch.manual_seed(7)
    if network == "two colours":  # as maddison12, but small
        policy = PointPolicySpec(size=3, num_outputs=2, position_bias=True)
        spec: PolicyValueSpec = PolicyValueSpec(game.planes_shape, (Conv(8, 3, padding=1), Relu()), policy=policy)
    else:
        spec = preset(network, game.planes_shape, choices.get("num_actions"))
        assert isinstance(spec, PolicyValueSpec)
        spec = dataclasses.replace(spec, ownership=choices.get("ownership"))
    save_model(
        folder / "model.safetensors",
        spec.build(),
        spec,
        game=header_game or game.family,
        rules_version=game.version,
        training={},
        extras=choices.get("extras"),
    )
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {
        "go": save(base / "go", "resnet-1x6", GO_5),
        "two colours": save(base / "two", "two colours", GO_5),
        "checkers": save(base / "checkers", "resnet-1x6", CHECKERS, num_actions=CHECKERS.num_actions),
    }


def play(game: Game, spec: str, seed: int = 0, plies: int = 12) -> list[Analysis]:
    """Return what a player says in a game against itself."""
    player = make_player(spec, game, seed)
    states, said = game.new(1), []
    while len(said) < plies and not is_over(states[0]):
        said.append(player.act(states)[0])
        assert said[-1].action in game.legal_actions(states[0])
        apply(states[0], said[-1].action)
    player.close()
    return said


def told(said: list[Analysis]) -> list[tuple[Any, ...]]:
    """Return what must be the same again."""
    return [(one.action, one.value, one.nodes, one.principal_variation, one.moves) for one in said]


# --- specs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["go", "two colours"])
@pytest.mark.parametrize(
    "kind", ["policy:model={}", "mcts:model={},visits=20", "mcts:model={},visits=16,gumbel=1", "{}"]
)
def test_networks_of_every_kind_play(models: dict[str, Path], name: str, kind: str) -> None:
    said = play(GO_5, kind.format(models[name]), plies=4)
    for analysis in said:
        if analysis.value is None:
            assert "policy" in kind and name == "two colours", "only this one has neither a value head nor a search"
        else:
            assert -1.0 <= analysis.value <= 1.0
        assert math.isclose(sum(move.prior for move in analysis.moves), 1.0, rel_tol=1e-5)
        assert analysis.principal_variation[0] == analysis.action
        assert sum(move.visits for move in analysis.moves) == (
            1 - analysis.depth if "policy" in kind else analysis.nodes
        )


def test_a_bare_model_of_go_means_the_search(models: dict[str, Path]) -> None:
    assert told(play(GO_5, str(models["go"]), plies=2)) == told(play(GO_5, f"mcts:model={models['go']}", plies=2))
    assert play(GO_5, str(models["go"]), plies=1)[0].nodes == 400


def test_a_network_may_say_whose_the_points_will_be(models: dict[str, Path], tmp_path: Path) -> None:
    file = save(tmp_path / "owners", "resnet-1x6", GO_5, ownership=OwnershipHeadSpec()) / "model.safetensors"
    states = GO_5.new(2)
    apply(states[1], 7)  # from here on White is to move
    model, _ = load_model(file)
    planes = np.zeros((2, *GO_5.planes_shape), np.float32)
    observe_batch(states, planes)
    with torch.no_grad():
        of_mover = model(torch.from_numpy(planes)).ownership.flatten(1).numpy()
    for kind in ("policy:model={}", "policy:model={},symmetries=1", "mcts:model={},visits=5"):
        player = make_player(kind.format(file), GO_5)
        assert isinstance(player, ForesightedPlayer)
        owners = player.owners(states)
        assert owners is not None and np.allclose(owners, [[1], [-1]] * of_mover, atol=1e-5)
    silent = make_player(f"mcts:model={models['go']}", GO_5)
    assert isinstance(silent, ForesightedPlayer) and silent.owners(states) is None


def test_one_network_plays_on_many_sizes(models: dict[str, Path]) -> None:
    assert play(go.game(7, 6), f"mcts:model={models['go']},visits=10", plies=2)
    with pytest.raises(PlayerError, match="plays on 5x5 only, and this is go-7x7"):
        make_player(f"policy:model={models['two colours']}", go.game(7))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("mcts", "which model? As in mcts:model=FILE"),
        ("policy:visits=3", "no option 'visits=3'; policy takes model=, temperature="),
        ("mcts:model={checkers}", "was made for checkers, not for go-5x5"),
        ("mcts:model={go},gumbel=1,seconds=1", "give visits="),
        ("mcts:model={go},gumbel=1,visits=9,noise=0.25", "leave noise= out"),
        ("rollouts:gumbel=1,visits=9,temperature=1", "leave temperature= out"),
        ("mcts:model={two colours},lambda=0.5", "lambda= must be 1"),
        ("mcts:model={go},lambda=2", "lambda=2 is not a number from 0 to 1"),
        ("alphabeta:model={go}", "alpha-beta needs the network 'anaconda'"),
        ("mcts:model={anaconda}", "holds no policy-value network but a board_evaluator"),
        ("mcts:model={odd}", "features have 16"),
        ("mcts:model={unknown}", "no features 'tarot'; there are: observe, clark-storkey"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    models: dict[str, Path], tmp_path: Path, spec: str, expected: str
) -> None:
    names = {name: str(folder) for name, folder in models.items()}
    names["odd"] = str(save(tmp_path / "odd", "resnet-1x6", CHECKERS, "go", num_actions=26))
    names["unknown"] = str(save(tmp_path / "unknown", "resnet-1x6", GO_5, extras={"features": "tarot"}))
    anaconda = preset("anaconda")
    names["anaconda"] = str(tmp_path / "anaconda.safetensors")
    save_model(names["anaconda"], anaconda.build(), anaconda, game="go", rules_version=GO_5.version, training={})
    with pytest.raises(PlayerError) as caught:
        make_player(spec.format(**names), GO_5)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_a_network_with_the_wrong_actions_is_refused(tmp_path: Path) -> None:
    model = save(tmp_path / "model", "resnet-1x6", CHECKERS, num_actions=100)
    with pytest.raises(PlayerError, match="100 actions, checkers 128"):
        make_player(f"policy:model={model}", CHECKERS)


# --- the same again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        "policy:model={},temperature=1",
        "mcts:model={},visits=24,temperature=1,noise=0.25",
        "mcts:model={},visits=16,gumbel=1",
        "mcts:model={},visits=24,rollouts=2,temperature=1",
        "rollouts:visits=40,temperature=1",
    ],
)
def test_equal_seeds_play_equal_games(models: dict[str, Path], spec: str) -> None:
    spec = spec.format(models["go"])
    assert told(play(GO_5, spec, seed=3)) == told(play(GO_5, spec, seed=3))
    assert told(play(GO_5, spec, seed=3)) != told(play(GO_5, spec, seed=4))


def test_without_temperature_the_seed_matters_not(models: dict[str, Path]) -> None:
    for spec in (f"policy:model={models['checkers']}", f"mcts:model={models['checkers']},visits=20"):
        assert told(play(CHECKERS, spec, seed=1)) == told(play(CHECKERS, spec, seed=2))


def test_many_games_are_played_at_once(models: dict[str, Path]) -> None:
    player = make_player(f"mcts:model={models['checkers']},visits=30", CHECKERS)
    states = CHECKERS.new(5)
    for t in range(1, 5):
        apply(states[t], CHECKERS.legal_actions(states[t])[t])
    said = player.act(states)
    alone = [
        make_player(f"mcts:model={models['checkers']},visits=30,batch=2", CHECKERS).act(states[t : t + 1])[0]
        for t in range(5)
    ]
    for one, other in zip(said, alone, strict=True):
        assert one.nodes >= 30 or abs(one.value or 0.0) == 1.0
        assert (one.action, one.nodes) == (other.action, other.nodes)
        assert one.value == pytest.approx(other.value, abs=1e-5)


# --- searching on demand ----------------------------------------------------------------------------------------------


def test_a_search_reports_and_can_be_stopped() -> None:
    player = make_player("rollouts:visits=100", CONNECT_FOUR)
    assert isinstance(player, SearchingPlayer)
    reports: list[Analysis] = []

    def hear(analysis: Analysis) -> None:
        reports.append(analysis)
        if len(reports) == 2:
            player.stop()

    last = player.search(CONNECT_FOUR.new(1)[0], math.inf, hear)
    assert len(reports) == 2 and 0 < reports[0].nodes < reports[1].nodes <= last.nodes
    again = player.search(CONNECT_FOUR.new(1)[0])
    assert again.nodes == last.nodes, "the tree is kept, and has more visits than the player's limit"
    player.new_game()
    assert player.search(CONNECT_FOUR.new(1)[0]).nodes == 100


def test_a_search_keeps_to_the_moves_that_it_may_look_at() -> None:
    player = make_player("rollouts:visits=50", CONNECT_FOUR)
    assert isinstance(player, SelectivePlayer)
    start = CONNECT_FOUR.new(1)[0]
    assert len(player.search(start).moves) == 7
    some = player.search_among(start, {1, 5}.__contains__)
    assert {move.action for move in some.moves} == {1, 5} and some.action in (1, 5)
    assert sum(move.visits for move in some.moves) == 50, "what all moves were found to be worth is of no use"
    assert sum(move.prior for move in some.moves) == pytest.approx(1)
    assert len(player.search_among(start, lambda action: False).moves) == 7, "none is allowed: all are looked at"


def test_a_tree_that_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.tree_players.free_memory", lambda: 1_000_000)
    make_player("rollouts:visits=1000", CONNECT_FOUR)
    with pytest.raises(PlayerError, match=r"visits=10000: such a tree may take 0\.0 GB of memory"):
        make_player("rollouts:visits=10000", CONNECT_FOUR)


def test_a_tree_has_as_many_nodes_as_its_limits_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert most_nodes(TreeLimits(visits=5_000_000)) == 5_000_002
    assert most_nodes(TreeLimits(visits=5_000_000, nodes=1000)) == 1000
    assert most_nodes(TreeLimits(seconds=1.0)) == MOST_NODES
    monkeypatch.setattr("agents.tree_players.free_memory", lambda: None)
    with pytest.raises(PlayerError, match=r"visits=10000000: a tree of go-19x19 has at most 5,932,275 nodes"):
        make_player("rollouts:visits=10000000,nodes=20000000", go.GO)


def test_a_player_that_halves_its_visits_can_search_by_the_clock() -> None:
    player = make_player("rollouts:visits=16,gumbel=1", CONNECT_FOUR)
    assert isinstance(player, SearchingPlayer)
    found = player.search(CONNECT_FOUR.new(1)[0], 0.01)
    assert found.nodes > 0 and found.action in range(7)


def test_random_games_find_a_win_and_a_block() -> None:
    states = CONNECT_FOUR.new(2)
    for action in (3, 2, 3, 2, 3):
        apply(states[0], action)
    for action in (3, 2, 3, 2, 3, 1):
        apply(states[1], action)
    block, win = make_player("rollouts:visits=400", CONNECT_FOUR).act(states)
    assert block.action == 3
    assert (win.action, win.value) == (3, 1.0)


# --- the end of a game of Go ------------------------------------------------------------------------------------------


def diagram(text: str, to_move: int, passes: int = 0, komi: float = 0.5) -> State:
    """Return a position of Go: X black, O white, row by row."""
    rows = text.split()
    states = go.game(len(rows), len(rows[0]), komi).new(1)
    stones = "".join(rows)
    points = {colour: [i for i, stone in enumerate(stones) if stone == colour] for colour in "XO"}
    go.setup(states[0], points["X"], points["O"], to_move)
    if passes:
        states[0].to_move = 1 - to_move
        apply(states[0], len(stones))
    return states


SPLIT = ".X.O. XXXOO .XOO. XXXO. .X.OO"  # both alive; one neutral point at the top, one at the bottom


@pytest.mark.parametrize("spec", ["rollouts:visits=60", "mcts:model={},visits=20", "policy:model={}"])
def test_a_pass_is_answered_where_that_wins(models: dict[str, Path], spec: str) -> None:
    for mover, komi, wins in ((0, 0.5, True), (0, 9.5, False), (1, 9.5, True), (1, 0.5, False)):
        states = diagram(SPLIT, mover, passes=1, komi=komi)
        player = make_player(spec.format(models["go"]), go.game(5, komi=komi))
        analysis = player.act(states)[0]
        assert {move.action for move in analysis.moves} == set(GO_5.legal_actions(states[0]))
        assert (mover_lead(states[0]) > 0) == wins
        if wins:
            assert conduct(states[0], analysis, Ending.ALL_ALIVE).action == 25
            assert Conducted(player).act(states)[0].action == 25


# White's stones wall off the larger side. Black's lone stone there is dead, but as long as it stands nobody owns that.
DEAD_STONE = "..XO... ..XO... ..XO... ..XO.X. ..XO... ..XO... ..XO..."


def test_no_search_is_sure_of_a_win_by_stones_that_are_dead() -> None:
    states = diagram(DEAD_STONE, 0, passes=1)
    assert mover_lead(states[0]) > 0
    player = make_player("rollouts:visits=200", go.game(7, komi=0.5))
    analysis = player.act(states)[0]
    assert analysis.value is not None and analysis.value < 0.5
    assert len(analysis.moves) > 1
    assert conduct(states[0], analysis, Ending.DEAD_REMOVED).action != 49, "what loses is not passed"
    assert conduct(states[0], analysis, Ending.ALL_ALIVE).action == 49


@pytest.mark.parametrize(
    ("komi", "value", "passes"),
    [
        (4.5, 0.9, True),  # won as the board stands
        (20.0, 0.9, False),  # won perhaps, but not as the board stands
        (20.0, -0.95, True),  # lost anyway
        (20.0, None, False),  # who knows
    ],
)
def test_no_won_game_is_passed_away_and_no_eye_filled(komi: float, value: float | None, passes: bool) -> None:
    states = diagram(".X.XO XXXXO .XX.O XXXOO .XOO.", 0, komi=komi)
    game = go.game(5, komi=komi)
    eyes = [action for action in game.legal_actions(states[0]) if is_eye_filled(states[0], action)]
    others = [action for action in game.legal_actions(states[0]) if action not in eyes and action != 25]
    assert eyes and others and 25 not in eyes
    ranked = [25, *eyes, *others]
    moves = tuple(MoveAnalysis(action, len(ranked) - i, 0.1, value) for i, action in enumerate(ranked))
    chosen = conduct(states[0], Analysis(25, value, (25,), moves=moves), Ending.ALL_ALIVE).action
    assert chosen == 25 if passes else chosen in others
    unasked = conduct(states[0], Analysis(eyes[0], value, (eyes[0],), moves=moves[1:]), Ending.ALL_ALIVE).action
    assert unasked in others


def test_networks_without_a_pass_end_their_games(models: dict[str, Path]) -> None:
    said = play(GO_5, f"policy:model={models['two colours']}", plies=200)
    assert said[-1].action == said[-2].action == 25 and len(said) < 75


@pytest.mark.parametrize("name", ["clark-storkey", "maddison12", "alphago13"])
def test_networks_see_the_planes_that_they_were_made_for(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nets.inference.has_matrix_units", lambda: False)  # in float32
    planes = feature_set(name)
    torch.manual_seed(7)
    spec = PolicyValueSpec((planes.num_planes, 5, 5), (Conv(6, 3, padding=1), Relu()), policy=PointPolicySpec(size=3))
    model = tmp_path / "model.safetensors"
    net = spec.build().eval()
    save_model(model, net, spec, game="go", rules_version=GO_5.version, training={}, extras={"features": name})
    states = GO_5.new(1)
    for action in (12, 7, 11, 6):
        apply(states[0], action)
    expected = np.zeros((1, planes.num_planes, 5, 5), np.float32)
    planes.encode(states, expected)
    if planes.rank_plane >= 0:
        expected[:, planes.rank_plane + 8] = 1.0  # a player asks for the moves of a 9 dan
    with torch.inference_mode():
        logits = net(torch.from_numpy(expected)).policy[0]
    analysis = make_player(f"policy:model={model}", GO_5).act(states)[0]
    legal = [move.action for move in analysis.moves if move.action != 25]
    found = np.log([move.prior for move in analysis.moves if move.action != 25])
    assert np.allclose(found - found[0], logits[legal].numpy() - float(logits[legal[0]]), atol=1e-4)


def test_a_symmetrised_policy_sees_no_direction(models: dict[str, Path]) -> None:
    for name, size in (("go", (5, 5)), ("two colours", (5, 5)), ("go", (4, 6))):
        game = go.game(*size, komi=0.5)
        evaluate = load_network_evaluator(models[name] / "model.safetensors", game, symmetrised=True)
        for image in action_maps(*size):
            states = game.new(2)
            for action in (1, 7, 13):
                apply(states[0], action)
                apply(states[1], int(image[action]))
            logits, values = evaluate(states)
            assert np.allclose(logits[0], logits[1][image], atol=1e-4) and np.isclose(*values, atol=1e-4)
    player = make_player(f"policy:model={models['go']},symmetries=1", GO_5)
    assert GO_5.new(1).size == len(player.act(GO_5.new(1)))
    with pytest.raises(PlayerError, match="symmetries=1 is for Go"):
        make_player(f"policy:model={models['checkers']},symmetries=1", CHECKERS)


def test_colours_have_their_own_output(models: dict[str, Path]) -> None:
    states = GO_5.new(2)
    states["to_move"] = (0, 1)
    states["komi2"] = 0
    black, white = make_player(f"policy:model={models['two colours']}", GO_5).act(states)
    assert [move.prior for move in sorted(black.moves, key=lambda move: move.action)] != [
        move.prior for move in sorted(white.moves, key=lambda move: move.action)
    ]


def test_rollouts_beat_random_moves_on_a_small_board() -> None:
    won = 0.0
    for k in range(4):
        players = [make_player("rollouts:visits=30", GO_5, k), make_player("random", GO_5, k)]
        states: States = GO_5.new(1)
        while not is_over(states[0]):
            apply(states[0], players[(to_play(states[0]) + k) % 2].act(states)[0].action)
        won += returns(states[0]) * (1 - 2 * (k % 2))
    assert won >= 2


def test_lambda_mixes_the_values(models: dict[str, Path]) -> None:
    """All weight on rollouts is a search whose first value is theirs; none is the network's alone."""
    states = GO_5.new(1)
    values = {}
    for weight in ("0", "0.5", "1"):
        player = make_player(f"mcts:model={models['go']},visits=1,batch=1,rollouts=4,lambda={weight}", GO_5)
        values[weight] = player.act(states)[0].value
    plain = make_player(f"mcts:model={models['go']},visits=1,batch=1", GO_5).act(states)[0].value
    assert values["0"] == pytest.approx(plain)
    assert values["0.5"] == pytest.approx(np.mean([values["0"], values["1"]]), abs=1e-6)
