"""What the command lines of all learners share: presets, the run's directory, the command that goes on with it."""

from __future__ import annotations

import dataclasses
import functools
import math
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import tyro

from agents.command_line import parsed
from games.machine import available_processors
from games.refusal import RefusedError

if TYPE_CHECKING:
    from rich.console import Console

RUNS = Path("runs")
MOST_SEED = 2**32 - 1
POSITIVE = math.ulp(0.0)  # the least number above 0
MOST = {"seed": MOST_SEED, "threads": 4 * available_processors()}  # of every learner
STOPPED = 130  # the exit status of a program that Ctrl-C has ended

Config = Any  # a frozen dataclass


class LearnerOptions(Protocol):
    """What every learner's options have."""

    @property
    def preset(self) -> str: ...
    @property
    def out(self) -> Path | None: ...
    @property
    def resume(self) -> bool: ...
    @property
    def config(self) -> Config: ...


OptionsT = TypeVar("OptionsT", bound=LearnerOptions)


def parse(
    options: type[OptionsT],
    arguments: Sequence[str],
    presets: Mapping[str, Config],
    program: str,
    usual: Sequence[str] = (),
    run_name: Callable[[str, Sequence[str]], str] | None = None,
) -> OptionsT:
    """Read a learner's options, those of `config` by default from the preset that is asked for.

    First come the `usual` ones; then, with --resume, those that the run was started with; what is said again counts.
    `run_name` gives the name of a run without --out, of its preset and the arguments: by default LEARNER-PRESET.
    """
    words = [*usual, *arguments]
    if "--resume" in arguments:
        learner, out = program.rpartition(" ")[2], value_given("--out", arguments)
        preset = value_given("--preset", words) or getattr(options, "preset", "")
        name = run_name(preset, arguments) if run_name else f"{learner}-{preset}"
        directory = Path(out) if out else newest_run(name)
        if directory is None and not value_given("--preset", arguments):
            directory = _newest_of_any_preset(learner, value_given("--game", arguments))
            usual = [*usual, "--out", str(directory)] if directory else usual
        begun_with = _words_of_run(learner, directory)
        for option in ("--preset", "--init") if begun_with else ():  # which only the start of a run heeds
            begun, said = value_given(option, begun_with), value_given(option, arguments)
            if said not in ("", begun):
                how = f"with {option} {begun}" if begun else f"without {option}"
                print(f"{program}: run {directory} was started {how}", file=sys.stderr)
                sys.exit(2)
        words = [*usual, *begun_with, *arguments]
    preset = value_given("--preset", words)
    given: dict[str, Any] = {"preset": preset, "config": presets[preset]} if preset in presets else {}
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            given.setdefault(field.name, tyro.MISSING)  # must be said on the command line
    default = options(**given)
    return parsed(program, lambda: tyro.cli(options, args=words, default=default, prog=program))


def _newest_of_any_preset(learner: str, game: str) -> Path | None:
    """Return the run among runs/LEARNER-... that was written to last, of a game where one is given, or None."""
    found = []
    for directory in RUNS.glob(f"{learner}-*"):
        words = _words_of_run(learner, directory)
        if words and game in ("", value_given("--game", words)):
            found.append(directory)
    return max(found, key=lambda directory: directory.stat().st_mtime, default=None)


def _words_of_run(learner: str, directory: Path | None) -> list[str]:
    """Return the options that a learner's run was started with, none where that is not known."""
    if directory is None:
        return []
    from agents.run import read_arguments  # here and not above: --help need not wait for it

    of, *words = read_arguments(directory) or [""]
    return words if of == learner else []


def value_given(option: str, arguments: Sequence[str]) -> str:
    """Return the value that an option is given last, or ""."""
    value = ""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if argument == option:
            value = following
        elif argument.startswith(f"{option}="):
            value = argument.partition("=")[2]
    return value


def run(program: str, train: Callable[[], None]) -> int:
    """Train, and return the exit status: 2 for what is refused, 130 after Ctrl-C, each with its one line."""
    try:
        from games.compiled import announce_compilation  # numba, which takes a second to load

        announce_compilation()
        train()
    except (RefusedError, OSError) as error:  # the second: a disk that takes no more, say
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the first round or after the last, or the second one: in between a run saves
        print(f"{program}: stopped at once; --resume goes on from what was saved, if anything was", file=sys.stderr)
        return STOPPED
    return 0


def notice_on(console: Console) -> Callable[[str], None]:
    """Return what prints a line on a console, in one piece however long it is, and as it is."""
    return functools.partial(console.print, highlight=False, markup=False, soft_wrap=True)


def check_ranges(
    values: Mapping[str, Any],
    least: Mapping[str, float],
    most: Mapping[str, float] | None = None,
    error: type[RefusedError] = RefusedError,
) -> None:
    """Raise an error for a number that is not finite or outside its range: 0 or more, unless `least` and `most` say."""
    most = {**MOST, **(most or {})}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        low, high = least.get(name, 0), most.get(name, math.inf)
        if not (low <= value <= high and math.isfinite(value)):
            words = {-math.inf: "a finite number", POSITIVE: "above 0"}
            allowed = words.get(low, f"at least {low:g}")
            if high < math.inf:
                allowed = f"{allowed}, at most {high:.10g}" if low in words else f"{low:g} to {high:.10g}"
            raise error(f"--{option_name(name)} {value}: {allowed}")


def run_directory(options: LearnerOptions, name: str) -> Path:
    """Return the directory asked for, or runs/NAME, numbered: after those in use, or with --resume the last of them."""
    if options.out is not None:
        return options.out
    newest, candidates = newest_run(name), _directories(name)
    if newest is None:
        return candidates[0]
    return newest if options.resume else candidates[candidates.index(newest) + 1]


def newest_run(name: str) -> Path | None:
    """Return the last of runs/NAME, runs/NAME-2, ... that is in use, None where none is."""
    return next((directory for directory in reversed(_directories(name)) if directory.exists()), None)


def _directories(name: str) -> list[Path]:
    return [RUNS / f"{name}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 1000)))]


def resume_command(learner: str, options: LearnerOptions, directory: Path, **changes: Any) -> str:
    """Return the command line that goes on with a run, some fields of its config changed; the rest it knows."""
    words = [word for name, value in changes.items() for word in words_of(name, value)]
    minutes = getattr(options, "stop_after", 0.0)
    words += words_of("stop_after", minutes) if minutes else []
    return shlex.join(["python", "train.py", learner, "--out", str(directory), "--resume", *words])


def run_arguments(learner: str, options: LearnerOptions, preset: Config) -> list[str]:
    """Return a learner and the options that say what its run does.

    Not among them are those of one call alone: --out, --resume, --stop-after.
    """
    words = [learner, "--preset", options.preset]
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        if field.name not in ("preset", "out", "resume", "stop_after", "config") and value != field.default:
            words += words_of(field.name, value)
    return [*words, *option_words(options.config, preset)]


def option_words(config: Config, default: Config) -> list[str]:
    """Return the options that turn one config into another, those of dataclasses inside it included."""
    words: list[str] = []
    for field in dataclasses.fields(config):
        value, known = getattr(config, field.name), getattr(default, field.name)
        if value == known:
            continue
        words += option_words(value, known) if dataclasses.is_dataclass(value) else words_of(field.name, value)
    return words


def words_of(name: str, value: Any) -> list[str]:
    """Return an option with its value as words of a command line."""
    option = option_name(name)
    if isinstance(value, bool):
        return [f"--{'' if value else 'no-'}{option}"]
    return [f"--{option}", *map(str, value if isinstance(value, tuple) else (value,))]


def option_name(field_name: str) -> str:
    """Return a config field's name as the command line writes it: lambda_ is lambda."""
    return field_name.rstrip("_").replace("_", "-")
