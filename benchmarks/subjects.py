"""The subjects of the benchmarks: the options of each, as --help tells them, and the call that measures it.

Nothing slow is imported before it is measured, so that --help waits for neither numba nor torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from rich.table import Table

    from games.rules import Game

# Options that several subjects have. A help text here is that of each use; where there is none, each says its own.
Number = Annotated[int, arg(metavar="N")]
Numbers = Annotated[tuple[int, ...], arg(metavar="N ...")]
Name = Annotated[str, arg(metavar="NAME")]
GameName = Annotated[str, arg(metavar="GAME", help_behavior_hint=""), Positional]
Runs = Annotated[tuple[Path, ...], arg(metavar="RUN ...", help_behavior_hint=""), Positional]
Paths = Annotated[
    tuple[Path, ...],
    arg(metavar="PATH ...", help_behavior_hint="", help="records: files, archives, folders"),
    Positional,
]
Size = Annotated[
    str | None,
    arg(
        metavar="N",
        help_behavior_hint="",
        help="lines of the Go board, or rows and columns, as in 9x13 (default: 19)",
    ),
]
GO_RULES = (
    "chinese, also called positional (the default), tromp-taylor, situational, new-zealand, "
    "or simple-ko, also called simple"
)
GoRules = Annotated[str | None, arg(metavar="NAME", help_behavior_hint="", help=f"rule set: {GO_RULES}")]
Rules = Annotated[
    GoRules, arg(help=f"rule set: of checkers endless (the default), wcdf, anaconda or open_spiel; of go {GO_RULES}")
]
Seed = Annotated[Number, arg(help="of the positions and of the random weights")]  # others say what they draw
Repeats = Annotated[Number, arg(help="repetitions")]
Picture = Annotated[
    Path | None,
    arg(metavar="FILE", help_behavior_hint="", help="also draw the curves (needs the extra [plots])"),
]
Json = Annotated[bool, arg(help_behavior_hint="", help="print one JSON document instead of the tables")]


class Report(NamedTuple):
    """What one subject found."""

    document: dict[str, Any]  # for --json
    tables: list[Table]  # the same for the terminal


class Subject(Protocol):
    """The options of one subject."""

    @property
    def json(self) -> bool:
        """Whether one JSON document is asked for instead of the tables."""

    def run(self) -> Report:
        """Measure it."""


@dataclass(frozen=True)
class Perft:
    """Count the sequences of whole turns from a position, depth by depth, and time the deepest count.

    A multi-jump is one turn. Routes of a capture count apart. Draws by rule would cut the count: checkers is counted
    under the rule set `endless`, unless --rules names another. Beside it: open_spiel and pydraughts, as deep as is
    quick.
    """

    game: GameName
    """checkers, connect_four or go"""
    depth: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """turns (default: 9, of go 3)"""
    size: Size = None
    fen: Annotated[str | None, arg(metavar="FEN", help_behavior_hint="")] = None
    """a checkers position such as B:W21,22,K30:B1-4,K5 (who moves: each side's squares) instead of the start"""
    rules: Rules = None
    repeats: Number = 5
    """repetitions of the deepest count"""
    json: Json = False

    def run(self) -> Report:
        from benchmarks import perft

        game = game_of_size(self.game, self.size)
        depth = perft.DEFAULT_DEPTHS[game.family] if self.depth is None else self.depth
        document = perft.measure(game, depth, self.fen, self.rules, self.repeats)
        return Report(document, perft.tables(document))


@dataclass(frozen=True)
class Playouts:
    """Play random games of Go from the empty board on one core: games a second.

    A move is drawn from those that fill no own eye; a player passes where there are none; two passes end a game. Beside
    it: open_spiel's random games in C++, which draw from all legal moves.
    """

    game: GameName
    """go"""
    size: Size = None
    rules: GoRules = None
    seed: Number = 0
    """of the games"""
    repeats: Repeats = 5
    json: Json = False

    def run(self) -> Report:
        from benchmarks import playouts

        document = playouts.measure(game_of_size(self.game, self.size), self.rules, self.seed, self.repeats)
        return Report(document, playouts.tables(document))


@dataclass(frozen=True)
class AlphaBeta:
    """Search a fixed set of positions by alpha-beta on one core: nodes a second, and milliseconds a move.

    As in play, a search deepens turn by turn. The transposition table is emptied before each. Checkers is searched with
    a count of pieces and with the Anaconda network, Connect Four with a count of open lines. Beside it: open_spiel's
    alpha-beta (in Python, depth in single jumps, neither table nor quiescence), counting pieces.
    """

    game: GameName
    """checkers or connect_four"""
    depths: Numbers = (4, 6, 8)
    """turns"""
    positions: Number = 50
    """how many; each is reached by random turns from the start"""
    model: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """the network: a model file or its folder (default: random weights)"""
    seed: Seed = 0
    repeats: Number = 5
    """repetitions of the whole set"""
    json: Json = False

    def run(self) -> Report:
        from benchmarks import alphabeta
        from games.catalogue import find_game

        game = find_game(self.game)
        document = alphabeta.measure(game, self.depths, self.positions, self.model, self.seed, self.repeats)
        return Report(document, alphabeta.tables(document))


@dataclass(frozen=True)
class Search:
    """Search positions by Monte Carlo tree search on one core: simulations a second, and the network's share of it.

    Many games in step with one leaf each, and one game with many leaves at a time, both with answers that cost
    nothing (the tree, the rules and the planes remain) and with a network; and how much of the network's own speed on
    full batches is reached. What one game's search needs next is looked ahead for: that guesses well with a trained
    network and badly with random answers. Beside it: open_spiel's search in Python, with answers that cost nothing.
    """

    game: GameName
    """checkers, connect_four or go"""
    size: Size = None
    network: Name = "resnet-6x96"
    """as of train.py imitate, of random weights; or a model file or its folder"""
    trees: Number = 64
    """games in step"""
    leaves: Number = 8
    """of one game, evaluated together"""
    visits: Number = 400
    """simulations of each game; a sixteenth where many games ask the network"""
    seed: Seed = 0
    repeats: Repeats = 5
    json: Json = False

    def run(self) -> Report:
        from benchmarks import search

        game = game_of_size(self.game, self.size)
        document = search.measure(game, self.network, self.trees, self.leaves, self.visits, self.seed, self.repeats)
        return Report(document, search.tables(document))


@dataclass(frozen=True)
class Evaluate:
    """Evaluate checkers positions with the Anaconda network: evaluations a second on one core.

    The kernel that searches use, from a position to its score, beside the torch module and beside three products of
    matrices in numpy, which both get the squares as an array, one position or 256 at a time.
    """

    seed: Seed = 0
    repeats: Repeats = 5
    json: Json = False

    def run(self) -> Report:
        from benchmarks import evaluate

        document = evaluate.measure(self.seed, self.repeats)
        return Report(document, evaluate.tables(document))


@dataclass(frozen=True)
class Inference:
    """Evaluate Go positions with a policy-value network of random weights on one core: positions a second.

    By each runtime of nets.inference that is installed, and by the plain torch module, one after another in turns. The
    share of the peak counts a network's operations as those of direct convolutions, beside the fastest product of
    matrices in the same run: Winograd's method does with fewer, and passes 100 %.
    """

    network: Name = "resnet-6x96"
    """resnet-BxC, clark-storkey, maddison12 or alphago13"""
    sizes: Numbers = (9, 19)
    """lines of the boards"""
    batches: Numbers = (1, 4, 8, 32, 64, 256)
    """positions at a time"""
    seed: Number = 0
    """of the weights and the planes"""
    repeats: Repeats = 3
    json: Json = False

    def run(self) -> Report:
        from benchmarks import inference

        document = inference.measure(self.network, self.sizes, self.batches, self.seed, self.repeats)
        return Report(document, inference.tables(document))


@dataclass(frozen=True)
class Training:
    """Train a Go network of random weights on random planes: positions a second by the clock, on all processors.

    Whole steps of train.py imitate, without the reading of records, which `records` measures: measure on an idle
    machine.
    """

    network: Name = "resnet-6x96"
    """as of train.py imitate"""
    size: Annotated[int, arg(metavar="N")] = 19
    """lines of the board"""
    batches: Numbers = (64, 256)
    """positions a step"""
    optimiser: Literal["adamw", "muon", "sgd"] = "muon"
    """as of train.py imitate"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """as of train.py imitate"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the network learns; auto takes a GPU where there is one"""
    seed: Number = 0
    """of the weights and the planes"""
    repeats: Repeats = 3
    json: Json = False

    def run(self) -> Report:
        from benchmarks import training

        learnt = {"optimiser": self.optimiser, "precision": self.precision}
        document = training.measure(self.network, self.size, self.batches, learnt, self.device, self.seed, self.repeats)
        return Report(document, training.tables(document))


@dataclass(frozen=True)
class Evolve:
    """Play the first generation of an evolution of checkers networks on one thread: its CPU seconds.

    Later generations differ, since better networks play games of another length.
    """

    preset: Name = "paper"
    """as of train.py evolve: paper, modern or quick"""
    seed: Number = 0
    """of the networks and the games"""
    repeats: Number = 3
    """repetitions of the generation"""
    json: Json = False

    def run(self) -> Report:
        from benchmarks import evolve

        document = evolve.measure(self.preset, self.seed, self.repeats)
        return Report(document, evolve.tables(document))


@dataclass(frozen=True)
class Endgame:
    """Make the endgame tables of checkers in memory: the CPU seconds of all threads together.

    Each piece more makes them some twenty to thirty times larger. Stored tables are neither read nor touched.
    """

    pieces: Number = 4
    """the most pieces on the board, 2 to 6"""
    repeats: Repeats = 3
    json: Json = False

    def run(self) -> Report:
        from benchmarks import endgame

        document = endgame.measure(self.pieces, self.repeats)
        return Report(document, endgame.tables(document))


@dataclass(frozen=True)
class Curve:
    """Play the networks that evolution runs kept on the way: the strength they had after so much training.

    Each plays random moves and the piece count at equal depth over openings of the three-move deck, with both colours;
    generations 0, 10, 100 and the last also play each other.
    """

    runs: Runs
    """directories of train.py evolve"""
    depths: Numbers = (4, 6)
    """turns that both sides look ahead; the first also against random moves and among generations"""
    openings: Number = 50
    """openings of a match; each is two games"""
    png: Picture = None
    json: Json = False

    def run(self) -> Report:
        from benchmarks import curve

        document = curve.measure(list(self.runs), list(self.depths), self.openings)
        if self.png is not None:
            curve.draw(document, self.png)
        return Report(document, curve.tables(document))


@dataclass(frozen=True)
class Accuracy:
    """Predict the moves of recorded games with a network: how often its first choice, or one of five, is the expert's.

    Looks at games that training kept apart, unless all are asked for: even ones on the board the network was trained
    on. Positions where the expert passed are left out. By phase (opening to ply 60, middle to ply 180 on 19x19) and by
    source, which is what the archives' names have before the first dash.
    """

    model: Annotated[str, arg(metavar="MODEL", help_behavior_hint=""), Positional]
    """a model file or its folder"""
    paths: Paths
    positions: Number = 20_000
    """how many, drawn at random"""
    every_game: Annotated[bool, arg(help_behavior_hint="")] = False
    """of every game, those that the network was trained on included"""
    game: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """of another board size than the network was trained on, such as go-9x9"""
    symmetries: Annotated[bool, arg(help_behavior_hint="")] = False
    """measure the mean of its answers under every symmetry of the board, as policy:symmetries=1 plays"""
    seed: Number = 0
    """of the choice of positions"""
    json: Json = False

    def run(self) -> Report:
        from benchmarks import accuracy

        document = accuracy.measure(
            self.model, list(self.paths), self.positions, self.every_game, self.seed, self.game, self.symmetries
        )
        return Report(document, accuracy.tables(document))


@dataclass(frozen=True)
class Records:
    """Read recorded games, replay them and encode their positions for each set of planes: positions a second on a core.

    Archives that were read before come from a cache.
    """

    paths: Paths
    game: Name = "go"
    """as of train.py imitate"""
    seed: Number = 0
    """of the choice of positions and their symmetries"""
    repeats: Repeats = 5
    json: Json = False

    def run(self) -> Report:
        from benchmarks import records

        document = records.measure(list(self.paths), self.game, self.seed, self.repeats)
        return Report(document, records.tables(document))


@dataclass(frozen=True)
class Frames:
    """Play and learn Atari games: the emulator's steps a second, the learner's updates a second, and both together.

    Times are by the clock, since a training overlaps the two on all processors: measure on an idle machine. A step is
    the agent's, four frames. Beside it: the emulators of ale-py's vector environment and of envpool, and the DQN of
    Stable-Baselines3.
    """

    game: Annotated[str, arg(metavar="GAME")] = "pong"
    """Atari game"""
    presets: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = ("fast", "dqn-2015", "rainbow")
    """as of train.py dqn"""
    seconds: Annotated[float, arg(metavar="S")] = 20.0
    """of each measurement"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the networks learn; auto takes a GPU where there is one"""
    json: Json = False

    def run(self) -> Report:
        from benchmarks import frames
        from games.atari import find_game

        document = frames.measure(find_game(self.game), self.presets, self.seconds, self.device)
        return Report(document, frames.tables(document))


@dataclass(frozen=True)
class Scores:
    """Tell how soon Atari trainings reached which scores: of runs that were trained, and of a peer trained now.

    The scores asked for are those of the 2015 paper: a tenth and half of the way from random play to a human, the
    human's, and DQN's. Minutes are by the clock, those of evaluations among them: compare runs of one machine that did
    nothing else.
    """

    runs: Runs
    """directories of train.py dqn, all of one game"""
    peer_seconds: Annotated[float, arg(metavar="S")] = 0.0
    """also train the DQN of Stable-Baselines3 for so long"""
    png: Picture = None
    json: Json = False

    def run(self) -> Report:
        from benchmarks import scores

        document = scores.measure(list(self.runs), self.peer_seconds)
        if self.png is not None:
            scores.draw(document, self.png)
        return Report(document, scores.tables(document))


@dataclass(frozen=True)
class Regret:
    """Tell what players' moves cost, as a deeper search sees it, and how much more than the first player's.

    Positions come from games that one player plays against itself. Each player thinks about the position of its turn
    before, then about the one that is judged. Settings of one search can be told apart so with far fewer positions
    than games.
    """

    players: Annotated[tuple[str, ...], arg(metavar="PLAYER ...", help_behavior_hint=""), Positional]
    """as everywhere, such as mcts:model=FILE,visits=100"""
    reference: Annotated[str, arg(metavar="PLAYER", help_behavior_hint="(required)")]
    """the deeper search, such as mcts:model=FILE,visits=1000"""
    game: Name = "go-9x9"
    """what is played"""
    walk: Annotated[str, arg(metavar="PLAYER")] = "random"
    """plays the games; a policy with temperature=1 plays such as occur"""
    positions: Number = 200
    """one a game"""
    seed: Number = 0
    """of the positions and of players that draw lots"""
    json: Json = False

    def run(self) -> Report:
        from rich.console import Console

        from benchmarks import regret
        from games.catalogue import find_game

        console = Console(stderr=True)
        document = regret.measure(
            find_game(self.game), self.players, self.reference, self.walk, self.positions, self.seed, console
        )
        return Report(document, regret.tables(document))


SUBJECTS: dict[str, type[Subject]] = {
    "perft": Perft,
    "playouts": Playouts,
    "alphabeta": AlphaBeta,
    "search": Search,
    "evaluate": Evaluate,
    "inference": Inference,
    "training": Training,
    "evolve": Evolve,
    "endgame": Endgame,
    "curve": Curve,
    "accuracy": Accuracy,
    "records": Records,
    "frames": Frames,
    "scores": Scores,
    "regret": Regret,
}


def game_of_size(name: str, size: str | None) -> Game:
    """Return the game of a name, Go on a board of a size; BenchError where a game has no sizes."""
    from benchmarks.timing import BenchError
    from games import go
    from games.catalogue import find_game

    if size is None:
        return find_game(name)
    if find_game(name).family != "go":
        raise BenchError(f"--size {size}: only go has sizes, and this is {name}")
    return go.game(*go.parse_size(size))
