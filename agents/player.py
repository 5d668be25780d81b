"""Players: what turns positions into actions, and the spec strings that name them on every command line.

random                               a random legal move
material:depth=4                     alpha-beta that counts pieces
lines:depth=8                        the same for Connect Four, counting lines that can still be completed
alphabeta:model=FILE,depth=8         alpha-beta with an evolved evaluator; or seconds=1, or nodes=100000
policy:model=FILE,temperature=0      a policy network alone
mcts:model=FILE,visits=400           Monte Carlo tree search with a policy-value network; or seconds=1, or nodes=100000
rollouts:visits=1000                 the same search with random games in the place of a network
models/checkers-anaconda             a bare model file or folder: alpha-beta with it, 8 turns deep, or mcts
hub:COMMAND LINE                     an outside engine that speaks the Hub protocol (checkers)
gtp:COMMAND LINE                     an outside engine that speaks the Go Text Protocol
human                                a person; only play.py has a terminal to give
"""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from agents.analysis import Analysis, PlayerError, Progress
from agents.model_files import check_made_for, find_model, is_run, no_model
from games.compiled import NDArray
from games.refusal import RefusedError
from games.rules import Game, State, States

if TYPE_CHECKING:
    from agents.alphabeta import Searcher, SearchLimits
    from games.endgame import Entries

DEFAULT_DEPTH = 8  # whole turns, where a spec sets no limit
DEFAULT_ENDGAME = 4  # pieces that endgame tables are asked for; tables up to here are made on first use, in seconds
FORCED_DEPTH = 2  # whole turns, where there is nothing to choose


class Player(Protocol):
    """Anyone who plays: a bot, a person, an outside engine."""

    name: str  # the spec it was made from

    def act(self, states: States) -> list[Analysis]:
        """Choose one action in each position of [B]; preconditions: none is over. A multi-jump asks again."""

    def new_game(self) -> None:
        """Forget what was learnt from earlier positions: what follows is another game."""

    def close(self) -> None:
        """Give back processes and memory; the player is not used again."""


@runtime_checkable
class SearchingPlayer(Player, Protocol):
    """A player that thinks for as long as it is told, and says on the way what it has found."""

    def search(self, state: State, seconds: float | None = None, on_progress: Progress | None = None) -> Analysis:
        """Think about one position under the player's own limits, or in their stead so long by the wall clock.

        `math.inf` seconds last until `stop`. `on_progress` is called in this thread, some ten times a second.
        """

    def stop(self) -> None:
        """Let a search under way end with what it has found; may be called from another thread, and at any time."""


@runtime_checkable
class SelectivePlayer(SearchingPlayer, Protocol):
    """A player that can be told which moves to think about."""

    def search_among(
        self,
        state: State,
        permits: Callable[[int], bool] | None,
        seconds: float | None = None,
        on_progress: Progress | None = None,
    ) -> Analysis:
        """Search as `search` does, of the moves that are legal only those permitted; all where none is."""


@runtime_checkable
class ForesightedPlayer(Player, Protocol):
    """A player of Go that may know whose the points of a board will be."""

    def owners(self, states: States) -> NDArray | None:
        """Return whose each point becomes, float32 [B, points], 1 Black's to -1 White's; None where it cannot say."""


@runtime_checkable
class OutsidePlayer(Player, Protocol):
    """A player in another program, which may play by other rules."""

    def agree(self, state: State) -> list[str]:
        """Set it up for a game that starts here, and return what it cannot be told of the rules, a line each."""


# --- spec strings ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Option:
    """What an option of a spec takes: a number in [least, most], or text."""

    value_type: type[int] | type[float] | type[str]
    least: float = 0
    most: float = 0
    choices: tuple[str, ...] = ()  # where not any text will do

    def parse(self, name: str, text: str) -> int | float | str:
        """Return the value that the text stands for; PlayerError where it is none."""
        if self.value_type is str:
            if not text:
                raise PlayerError(f"{name}= is empty")
            if self.choices and text not in self.choices:
                raise PlayerError(f"{name}={text} is not {' or '.join(self.choices)}")
            return text
        pattern = r"\d+" if self.value_type is int else r"\d+(\.\d*)?|\.\d+"
        if not re.fullmatch(pattern, text, re.ASCII) or not self.least <= float(text) <= self.most:
            kind = "a whole number" if self.value_type is int else "a number"
            raise PlayerError(f"{name}={text} is not {kind} from {self.least:g} to {self.most:g}")
        return self.value_type(text)


LIMITS: Mapping[str, Option] = {
    "depth": Option(int, 1, 64),  # whole turns
    "nodes": Option(int, 1, 10**12),
    "seconds": Option(float, 0.001, 86_400),  # of wall-clock time a move
}
SEARCH_OPTIONS: Mapping[str, Option] = {
    **LIMITS,
    "table": Option(int, 10, 28),  # log2 of the entries of the transposition table
    "extension": Option(int, 0, 8),  # turns added where a line ends on a capture or a forced move; 2 as published
}
CHECKERS_OPTIONS: Mapping[str, Option] = {
    **SEARCH_OPTIONS,
    "endgame": Option(int, 0, 6),  # pieces up to which endgame tables are asked, 0 for none
}
TREE_OPTIONS: Mapping[str, Option] = {
    "visits": Option(int, 1, 10**7),  # simulations, those kept from the last move included
    "nodes": LIMITS["nodes"],
    "seconds": LIMITS["seconds"],
    "temperature": Option(float, 0, 100),  # of drawing a move by its visits; 0: the most visited
    "c_puct": Option(float, 0, 100),
    "batch": Option(int, 1, 4096),  # leaves of one game's search that are evaluated together
    "noise": Option(float, 0, 1),  # share of Dirichlet noise in the root's priors
    "gumbel": Option(int, 0, 1),  # sequential halving at the root
    "rollouts": Option(int, 1, 10**6),  # random games from each leaf
}


@dataclass(frozen=True)
class Kind:
    """What the command lines know of a kind of player."""

    options: Mapping[str, Option]
    game: str = ""  # the family that it plays, "" for every one
    needs_model: bool = False
    searches_tree: bool = False  # see agents/tree_players.py
    is_random: bool = False  # its seed matters
    advises: bool = True  # it can say what it thinks of a position
    is_outside: bool = False  # its spec ends with an engine's command line


BARE_MODEL = "model"  # the kind of a spec that is a model file or folder alone
PLAYERS: Mapping[str, Kind] = {
    "human": Kind({}, advises=False),
    "random": Kind({}, is_random=True, advises=False),
    "material": Kind(CHECKERS_OPTIONS, game="checkers"),
    "lines": Kind(SEARCH_OPTIONS, game="connect_four"),
    "alphabeta": Kind({"model": Option(str), **CHECKERS_OPTIONS}, needs_model=True),
    "policy": Kind(
        {
            "model": Option(str),
            "temperature": TREE_OPTIONS["temperature"],
            "symmetries": Option(int, 0, 1),  # the mean of its answers under every symmetry of the board
        },
        needs_model=True,
        searches_tree=True,
        is_random=True,
    ),
    "mcts": Kind(
        {
            "model": Option(str),
            "value": Option(str),  # a second network, for the value
            **TREE_OPTIONS,
            "lambda": Option(float, 0, 1),  # weight of rollouts in the value
        },
        needs_model=True,
        searches_tree=True,
        is_random=True,
    ),
    "rollouts": Kind(TREE_OPTIONS, searches_tree=True, is_random=True),
    "hub": Kind(  # see agents/hub/protocol.py
        {**LIMITS, "frame": Option(str, choices=("rotated", "plain"))}, game="checkers", advises=False, is_outside=True
    ),
    "gtp": Kind({"seconds": LIMITS["seconds"]}, game="go", advises=False, is_outside=True),
}
# A bare model may be searched as a tree, with random games in its leaves.
MODEL_KIND = Kind({}, needs_model=True, is_random=True)
EXAMPLES = (
    "human, random, material:depth=4 (checkers), lines:depth=8 (connect_four), alphabeta:model=FILE,depth=8, "
    "policy:model=FILE, mcts:model=FILE,visits=400, rollouts:visits=1000, hub:COMMAND (checkers), gtp:COMMAND (go), "
    "or a model file or folder"
)


@dataclass(frozen=True)
class PlayerSpec:
    """A spec string, taken apart."""

    name: str  # a key of PLAYERS, or BARE_MODEL
    options: Mapping[str, int | float | str]

    @property
    def kind(self) -> Kind:
        """Return what is known of such players."""
        return PLAYERS.get(self.name, MODEL_KIND)

    @property
    def is_random(self) -> bool:
        """Whether its seed matters, so that each game wants a player of its own."""
        return self.kind.is_random and not (self.name == "policy" and not self.options.get("temperature"))


def parse_spec(text: str) -> PlayerSpec:
    """Take a spec string apart without looking at the disk; PlayerError says what exists."""
    name, colon, rest = text.strip().partition(":")
    if name not in PLAYERS:
        if not name or colon:
            raise PlayerError(f"player {text!r}: no such player{_near(name, PLAYERS)}; there are: {EXAMPLES}")
        return PlayerSpec(BARE_MODEL, {"model": text.strip()})

    if PLAYERS[name].is_outside:
        return _parse_outside_spec(text, name, rest)
    return PlayerSpec(name, _parse_options(text, name, rest.split(",") if colon else []))


def _parse_outside_spec(text: str, player: str, rest: str) -> PlayerSpec:
    """Take the options before an engine's command line off, as a shell does with variables before a command."""
    items = []
    command = rest.strip()
    while match := re.match(r"(\w+=\S*)(\s+|$)", command):
        items.append(match[1])
        command = command[match.end() :]
    if not command:
        raise PlayerError(f"player {text!r}: the engine's command line is missing, as in {player}:./engine --{player}")
    return PlayerSpec(player, {**_parse_options(text, player, items), "command": command})


def _parse_options(text: str, player: str, items: list[str]) -> dict[str, int | float | str]:
    options: dict[str, int | float | str] = {}
    allowed = PLAYERS[player].options
    for item in items:
        name, equals, value = (part.strip() for part in item.partition("="))
        if name not in allowed or not equals:
            takes = f"{player} takes {', '.join(f'{known}=' for known in allowed) if allowed else 'none'}"
            raise PlayerError(f"player {text!r}: no option {item.strip()!r}{_near(name, allowed)}; {takes}")
        if name in options:
            raise PlayerError(f"player {text!r}: {name}= is given twice")
        try:
            options[name] = allowed[name].parse(name, value)
        except PlayerError as error:
            raise PlayerError(f"player {text!r}: {error}") from None
    return options


def make_player(spec: str, game: Game, seed: int = 0, on_progress: Progress | None = None) -> Player:
    """Make the player that a spec string names; PlayerError says what exists.

    `seed` is for players that choose at random. `on_progress` hears from players that think for long, in
    the thread that acts.
    """
    parsed = parse_spec(spec)
    family = parsed.kind.game or game.family
    if family != game.family:
        raise PlayerError(f"player {spec!r}: {parsed.name} plays {family}, not {game.family}; there are: {EXAMPLES}")
    if parsed.name == "human":
        raise PlayerError(f"player {spec!r}: a person needs a terminal: only play.py without --gtp or --hub seats one")
    if parsed.name == "random":
        return RandomPlayer(spec, game, seed)
    if parsed.name == "hub":
        from agents.hub.client import HubPlayer

        return HubPlayer(spec, parsed.options, on_progress)
    if parsed.name == "gtp":
        from agents.gtp.client import GtpPlayer

        return GtpPlayer(spec, game, parsed.options)
    try:
        file = None
        if parsed.kind.needs_model:
            if "model" not in parsed.options:
                example = "models/checkers-anaconda" if parsed.name == "alphabeta" else "FILE"
                raise PlayerError(f"player {spec!r}: which model? As in {parsed.name}:model={example}")
            file = _model_for(game, spec, str(parsed.options["model"]))
        if parsed.kind.searches_tree or (parsed.name == BARE_MODEL and _is_policy(file)):
            from agents.tree_players import make_tree_player

            kind = "mcts" if parsed.name == BARE_MODEL else parsed.name
            value = parsed.options.get("value")
            files = (file, None if value is None else _model_for(game, spec, str(value)))
            return make_tree_player(spec, kind, parsed.options, files, game, seed, on_progress)
        return _make_alphabeta(spec, parsed, file, game, on_progress)
    except PlayerError as error:
        if str(error).startswith("player "):
            raise
        raise PlayerError(f"player {spec!r}: {error}") from error
    except RefusedError as error:  # a damaged model file, endgame tables that cannot be had
        raise PlayerError(f"player {spec!r}: {error}") from error


def _is_policy(file: Path | None) -> bool:
    """Say whether a model file holds a policy network."""
    from nets.model_file import read_header

    architecture = read_header(file).get("architecture") if file is not None else None
    return isinstance(architecture, dict) and architecture.get("kind") == "policy_value_net"


def _make_alphabeta(
    spec: str, parsed: PlayerSpec, file: Path | None, game: Game, on_progress: Progress | None
) -> AlphaBetaPlayer:
    options = {name: value for name, value in parsed.options.items() if name != "model"}

    from agents import evaluators
    from agents.alphabeta import Searcher, SearchLimits

    if file is not None:
        evaluator = evaluators.load_evaluator(file)
    else:
        evaluator = evaluators.material() if parsed.name == "material" else evaluators.lines()
    extras: dict[str, Any] = {"table_bits": int(options.pop("table"))} if "table" in options else {}
    if "extension" in options:
        extras["extension"] = int(options.pop("extension"))
    pieces = int(options.pop("endgame", DEFAULT_ENDGAME if game.name == "checkers" else 0))
    if pieces:
        extras["tables"] = _endgame_tables(pieces)
    limits = SearchLimits(**(options or {"depth": DEFAULT_DEPTH}))  # type: ignore[arg-type]  # Option saw to the types
    return AlphaBetaPlayer(spec, game, Searcher(game, evaluator, **extras), limits, on_progress)


def _model_for(game: Game, spec: str, path: str) -> Path:
    """Return the model file that a spec names; PlayerError where there is none or it is of another game."""
    file = find_model(path)
    if file is None and is_run(path):
        raise PlayerError(f"player {spec!r}: {no_model(path)}")
    if file is None:
        raise PlayerError(
            f"player {spec!r}: no player and no model file or folder{_near(path, PLAYERS)}; there are: {EXAMPLES}"
        )
    from nets.model_file import read_header

    check_made_for(game, file, read_header(file))
    return file


def _endgame_tables(pieces: int) -> Entries:
    """Return checkers' endgame tables; small ones are made where they are not stored."""
    from games.endgame import load_or_build, tables_path

    if not tables_path(pieces).exists():
        if pieces > DEFAULT_ENDGAME:
            raise PlayerError(f"endgame={pieces}: make these tables first: python -m games.endgame --pieces {pieces}")
        print(f"making the endgame tables for {pieces} pieces, once: some seconds ...", file=sys.stderr, flush=True)
    return load_or_build(pieces).entries


def _near(word: str, known: Mapping[str, object]) -> str:
    """Return a parenthesis with the known word that was probably meant, or nothing."""
    matches = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {matches[0]}?)" if matches else ""


# --- bots -----------------------------------------------------------------------------------------------------------


class RandomPlayer:
    """Plays every legal action with the same probability."""

    def __init__(self, name: str, game: Game, seed: int) -> None:
        self.name = name
        self._game = game
        self._generator = np.random.default_rng(seed)

    def act(self, states: States) -> list[Analysis]:
        """Draw an action for each position, in order."""
        choices = [self._game.legal_actions(state) for state in states]
        return [Analysis(actions[self._generator.integers(len(actions))]) for actions in choices]

    def new_game(self) -> None:
        """Go on drawing from the same generator: another game is another draw."""

    def close(self) -> None:
        """Hold nothing."""


class AlphaBetaPlayer:
    """Searches each position by alpha-beta; keeps its transposition table until `new_game`."""

    def __init__(
        self, name: str, game: Game, searcher: Searcher, limits: SearchLimits, on_progress: Progress | None = None
    ) -> None:
        self.name = name
        self.searcher = searcher
        self.limits = limits
        self._game = game
        self._on_progress = on_progress

    def act(self, states: States) -> list[Analysis]:
        """Search one position after the other; where an action is forced, only as deep as its value is worth."""
        return [self._act(state) for state in states]

    def _act(self, state: State) -> Analysis:
        limits = self.limits
        if len(self._game.legal_actions(state)) == 1:
            limits = replace(limits, depth=min(limits.depth, FORCED_DEPTH))
        return self.searcher.search(state, limits, on_iteration=self._on_progress)

    def search(self, state: State, seconds: float | None = None, on_progress: Progress | None = None) -> Analysis:
        """Search one position; see SearchingPlayer."""
        from agents.alphabeta import SearchLimits

        if seconds is None:
            limits = self.limits
        else:
            limits = SearchLimits() if math.isinf(seconds) else SearchLimits(seconds=seconds)
        return self.searcher.search(state, limits, on_iteration=on_progress)

    def stop(self) -> None:
        """End the search under way."""
        self.searcher.stop()

    def new_game(self) -> None:
        """Clear the transposition table, so that a game does not depend on the games before it."""
        self.searcher.clear()

    def close(self) -> None:
        """Hold nothing but memory."""
