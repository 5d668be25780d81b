"""`play.py atari`: what is shown, what keys do, and the files that are written."""

from __future__ import annotations

import io
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rich.console import Console

import play
from agents.atari import pixels
from agents.atari.keyboard import ESCAPE_SECONDS, HOLD_SECONDS, Keyboard
from agents.atari.play import LeaveError, Session, Setting, action_of, choose_player, obey
from agents.atari.view import Moment, TerminalView, bars, draw, picture_size, shrink
from games.atari import FULL_ACTION_SET, PROTOCOLS, VERSION, action_names
from nets.models import save_model
from nets.presets import preset

ROOT = Path(__file__).resolve().parent.parent
SCREEN = np.arange(210 * 160 * 3, dtype=np.uint32).astype(np.uint8).reshape(210, 160, 3)
MOMENT = Moment("pong", "somebody", SCREEN, SCREEN[:84, :84, 0], ("NOOP", "UP"), 1, None, 3, 2, 600)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    spec = preset("dqn-2013", num_actions=4)
    path = tmp_path / "model.safetensors"
    save_model(path, spec.build(), spec, game="breakout", rules_version=VERSION, training={"protocol": "nature"})
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path | int) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["play.py", "atari", *map(str, arguments)])
        status = play.main()
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


# --- pictures -------------------------------------------------------------------------------------------------------


def read_png(data: bytes) -> pixels.Picture:
    """Decode what `png_bytes` writes, by the standard's own checks."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    position, chunks = 8, {}
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", data, position + 8 + length) == (zlib.crc32(kind + body),)
        chunks[kind] = body
        position += 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:].reshape(height, width, 3)


def test_a_png_holds_the_picture() -> None:
    np.testing.assert_array_equal(read_png(pixels.png_bytes(SCREEN)), SCREEN)


def test_letters_are_drawn_where_they_are_asked_for() -> None:
    picture = np.zeros((12, 30, 3), np.uint8)
    pixels.draw_text(picture, 1, 2, "l.", (9, 9, 9), scale=2)
    lit = picture[..., 0] == 9
    assert lit[1:11, 2:4].all(), "the stem of the L"
    assert lit[9:11, 2:8].all(), "its foot"
    assert lit.sum() == 7 * 4 + 4, "seven dots of the L and the full stop's one"
    pixels.draw_text(picture, 8, 27, "cut off", (9, 9, 9))


def test_a_map_is_stretched_as_torch_does_it() -> None:
    values = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(values)[None, None], (20, 17), mode="bilinear")[0, 0]
    np.testing.assert_allclose(pixels.stretch(values, 20, 17), expected.numpy(), atol=1e-6)


def test_heat_glows_where_it_is() -> None:
    grey = np.full((2, 1, 3), 100, np.uint8)
    warm = pixels.warm(grey, np.array([[0.0], [1.0]], np.float32))
    assert (warm[0] == 75).all(), "what is looked at less is darkened"
    assert warm[1, 0, 0] > 200


def test_a_picture_shows_the_game_and_the_bars() -> None:
    values = np.array([-1.0, 0.5], np.float32)
    assert bars(MOMENT) == []
    (low, *_, stub), (high, *_, full) = bars(replace(MOMENT, values=values))
    assert (low, high) == ("NOOP", "UP")
    assert (stub, full) == pytest.approx((0.05, 1))
    chance, choice = (replace(MOMENT, values=values, action=action) for action in (0, 1))
    assert chance.lines[1].endswith("random") and not choice.lines[1].endswith("random")
    plain, thinking = draw(MOMENT), draw(replace(MOMENT, values=values))
    assert plain.shape == (630, 800 + 272, 3)
    np.testing.assert_array_equal(plain[::3, :800:5], SCREEN)
    assert (plain[:, :800] == thinking[:, :800]).all()
    assert (plain[:, 800:] != thinking[:, 800:]).any()
    european = replace(MOMENT, screen=np.zeros((215, 160, 3), np.uint8))
    assert draw(european).shape == (646, 1072, 3), "videos need even numbers"
    tall = replace(MOMENT, screen=np.zeros((250, 160, 3), np.uint8))
    assert draw(tall).shape == (750, 6 * 160 + 272, 3), "250 lines fill a television, too"


def test_the_terminal_shows_two_pixels_a_character() -> None:
    screen = np.zeros((210, 160, 3), np.uint8)
    screen[:105] = (255, 0, 0)
    output = io.StringIO()
    console = Console(file=output, width=100, height=30, force_terminal=True, color_system="truecolor")
    view = TerminalView(replace(MOMENT, screen=screen, values=np.array([0.0, 1.25], np.float32)), "the note")
    console.print(view)
    text = output.getvalue()
    height, width = picture_size(screen, 100 - 34, 29)
    assert height % 2 == 0
    lines = text.splitlines()
    assert len(lines) == max(height // 2, 0) + 1 <= 30
    upper, lower = "\x1b[38;2;255;0;0;48;2;255;0;0m", "\x1b[38;2;0;0;0;48;2;0;0;0m"
    assert lines[0].startswith(upper + "▀" * width)
    assert lines[height // 2 - 1].startswith(lower + "▀" * width)
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert re.search(r"UP +━━━━━━━━━━━━ +1\.25", plain)
    assert "score 3   lives 2" in plain
    assert "the note" in plain


def test_all_actions_the_method_and_the_note_fit_into_24_lines() -> None:
    output = io.StringIO()
    moment = replace(MOMENT, action_names=FULL_ACTION_SET, values=np.zeros(18, np.float32), method="gradcam")
    Console(file=output, width=80, height=24, force_terminal=True).print(TerminalView(moment, "the note"))
    lines = output.getvalue().splitlines()
    assert len(lines) == 24 and "gradcam" in lines[-2] and "the note" in lines[-1]


def test_a_low_terminal_shows_the_chosen_action() -> None:
    values = np.arange(18, dtype=np.float32)
    moment = replace(MOMENT, action_names=FULL_ACTION_SET, values=values, action=17, method="gradcam")
    for height in (10, 22, 24):
        output = io.StringIO()
        Console(file=output, width=80, height=height, force_terminal=True).print(TerminalView(moment, "the note"))
        lines = output.getvalue().splitlines()
        assert len(lines) == height and "DOWNLEFTFIRE" in output.getvalue(), height
    assert "gradcam" in lines[-2], "where there is room for it, the method is below"


@pytest.mark.parametrize("size", [(100, 30), (40, 12), (300, 100), (36, 5)])
def test_any_terminal_will_do(size: tuple[int, int]) -> None:
    console = Console(file=io.StringIO(), width=size[0], height=size[1], force_terminal=True)
    console.print(TerminalView(MOMENT, "the note"))


@pytest.mark.parametrize(("columns", "has_panel"), [(30, False), (57, False), (58, True), (120, True)])
def test_a_narrow_terminal_shows_the_game_alone(columns: int, has_panel: bool) -> None:
    console = Console(file=io.StringIO(), width=columns, height=50, force_terminal=True)
    lines = console.render_lines(TerminalView(MOMENT, ""), pad=False)
    assert ("score" in "".join(segment.text for segment in lines[2])) == has_panel
    assert ("score 3" in "".join(segment.text for segment in lines[-1])) != has_panel
    assert sum(segment.text.count("▀") for segment in lines[0]) >= 24


def test_shrinking_takes_means() -> None:
    picture = np.array([[0, 10], [20, 30], [40, 50], [60, 70]], np.uint8)[..., None].repeat(3, 2)
    np.testing.assert_array_equal(shrink(picture, 2, 1)[..., 0], [[15], [55]])


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_key_is_held_for_a_moment_after_each_press() -> None:
    keyboard = Keyboard()
    assert keyboard.take("\x1b[A w", now=10.0) == ["up", "space", "w"]
    assert keyboard.held(10.0 + HOLD_SECONDS - 0.01) == {"up", "space", "w"}
    assert keyboard.take("\x1b[A", now=10.1) == ["up"]
    assert keyboard.held(10.0 + HOLD_SECONDS + 0.01) == {"up"}
    assert keyboard.take("\x1bOD", now=11.0) == ["left"]


def test_a_sequence_may_come_in_parts_and_an_escape_alone_is_the_key() -> None:
    keyboard = Keyboard()
    assert keyboard.take("w\x1b", now=0.0) == ["w"]
    assert keyboard.take("[", now=0.01) == []
    assert keyboard.take("Ca", now=0.2) == ["right", "a"], "the rest came, however late"
    assert keyboard.take("\x1b", now=1.0) == []
    assert keyboard.take("", now=1.02) == []
    assert keyboard.take("", now=1.0 + ESCAPE_SECONDS) == ["escape"]
    assert keyboard.take("", now=2.0) == []


def test_a_terminal_that_tells_of_releases_is_believed() -> None:
    keyboard = Keyboard()
    assert keyboard.take("\x1b[1;1:1C\x1b[32;1:1u", now=0.0) == ["right", "space"]
    assert keyboard.take("\x1b[1;1:2C", now=5.0) == [], "a repetition is no press"
    assert keyboard.held(60.0) == {"right", "space"}
    assert keyboard.take("\x1b[1;1:3C", now=61.0) == []
    assert keyboard.held(61.0) == {"space"}
    assert keyboard.take("\x1b[99;5:1u\x1b[57441;2:1u", now=62.0) == ["ctrl-c"], "and Shift alone is no key"


@pytest.mark.parametrize(
    ("held", "action"),
    [
        (set(), "NOOP"),
        ({"space"}, "FIRE"),
        ({"up", "d", "space"}, "UPRIGHTFIRE"),
        ({"left", "right", "s"}, "DOWN"),
        ({"x"}, "NOOP"),
    ],
)
def test_keys_move_the_joystick(held: set[str], action: str) -> None:
    assert FULL_ACTION_SET[action_of(held, FULL_ACTION_SET)] == action


def test_up_and_down_move_where_a_game_knows_right_and_left_alone() -> None:
    known = action_names("pong", PROTOCOLS["nature"])
    for held, action in (({"up"}, "RIGHT"), ({"s", "space"}, "LEFTFIRE"), ({"up", "left"}, "NOOP"), ({"d"}, "RIGHT")):
        assert FULL_ACTION_SET[action_of(held, known)] == action
    for game in ("freeway", "skiing"):
        known = action_names(game, PROTOCOLS["nature"])
        assert FULL_ACTION_SET[action_of({"up"}, known)] == ("UP" if game == "freeway" else "RIGHT")


def test_up_is_up_in_pong() -> None:
    """The paddle, the only thing of its green, above where `down` takes it."""
    rows = []
    for key in ("up", "down"):
        alone = Setting("pong", None, True, None, None, 0, 0.0, 25, None, None, None)
        session = Session(*choose_player(alone), alone)
        known = action_names("pong", PROTOCOLS["nature"])
        session.choose = lambda values, held={key}, known=known: action_of(held, known)
        session.run(lambda moment: None)
        green = (session.game.screen()[34:194, 136:148] == (92, 186, 92)).all(2)
        rows.append(np.flatnonzero(green.any(1)).mean())
    assert rows[0] < rows[1] - 40


def test_q_leaves_and_p_pauses_until_it_is_pressed_again() -> None:
    class Script(Keyboard):
        def __init__(self, *pressed: list[str]) -> None:
            super().__init__()
            self.script = list(pressed)

        def pressed(self) -> list[str]:
            return self.script.pop(0) if self.script else []

    class Stopped:
        restarts = 0

        def restart(self) -> None:
            self.restarts += 1

    clock = Stopped()
    keyboard = Script(["p"], [], ["p"], ["left over"])
    obey(keyboard, clock)  # type: ignore[arg-type]
    assert keyboard.script == [["left over"]]
    assert clock.restarts >= 3, "a pause is no time to catch up with"
    for key in ("q", "escape", "ctrl-c"):
        with pytest.raises(LeaveError):
            obey(Script([key]), clock)  # type: ignore[arg-type]


# --- the command ----------------------------------------------------------------------------------------------------


def test_a_game_is_played_and_its_result_told(run: Run, model: Path) -> None:
    status, out, _ = run("--bot", model, "--steps", 20, "--epsilon", 0, "--seed", 4)
    assert status == 0
    assert re.fullmatch(
        r".*model\.safetensors in breakout \(nature\): \d+ points; not over after 20 steps, \d+ frames\n", out
    )
    assert run("--bot", model, "--steps", 20, "--epsilon", 0, "--seed", 4)[1] == out
    assert "over after" in run("--game", "breakout", "--bot", "random")[1]


def test_a_model_of_a_folder_of_several_has_its_own_name(run: Run, model: Path) -> None:
    alone = model.parent / "nets"
    (alone / "brick").mkdir(parents=True)
    model = model.rename(alone / "brick" / model.name)
    assert run("--bot", alone, "--steps", 1)[1].startswith("brick in breakout")
    model.rename(alone / "wall.safetensors")
    assert run("--bot", alone, "--steps", 1)[1].startswith("wall.safetensors in breakout")


def test_of_two_models_of_a_game_the_one_of_the_protocol_plays(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.model_files.SHIPPED_MODELS", tmp_path / "models")
    for name, protocol, num_actions in (
        ("atari-breakout", "nature", 4),
        ("atari-breakout-machado2018", "machado2018", 18),
    ):
        (tmp_path / "models" / name).mkdir(parents=True)
        spec, file = preset("dqn-2013", num_actions=num_actions), tmp_path / "models" / name / "model.safetensors"
        save_model(file, spec.build(), spec, game="breakout", rules_version=VERSION, training={"protocol": protocol})
    sticky = ["--protocol", "machado2018"]
    for bot in ([], ["--bot", tmp_path / "models"]):
        assert run("--game", "breakout", *bot, "--steps", 1)[1].startswith("atari-breakout in breakout")
        assert run("--game", "breakout", *bot, *sticky, "--steps", 1)[1].startswith("atari-breakout-machado2018 in")


def test_a_network_plays_in_one_thread(run: Run, model: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert run("--bot", model, "--steps", 1)[0] == 0
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_pictures_show_what_the_network_looks_at(run: Run, model: Path, tmp_path: Path) -> None:
    one, all_ways = tmp_path / "one.png", tmp_path / "all.png"
    assert run("--bot", model, "--steps", 3, "--explain", "gradcam", "--picture", one)[0] == 0
    assert run("--bot", model, "--steps", 3, "--picture", all_ways)[0] == 0
    assert read_png(one.read_bytes()).shape == (630, 1072, 3)
    four = read_png(all_ways.read_bytes())
    assert four.shape == (1260, 2144, 3)
    np.testing.assert_array_equal(four[630:, :1072], read_png(one.read_bytes()))


def test_screen_and_values_are_of_the_same_moment(model: Path) -> None:
    watched = Setting(None, str(model), False, None, 0.0, 0, 0.0, 6, None, None, None)
    session = Session(*choose_player(watched), watched)
    moments: list[Moment] = []
    thoughts: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []

    def show(moment: Moment) -> None:
        moments.append(moment)
        thoughts.append((session.game.screen(), session.game.stack.copy()))

    session.run(show)
    assert [moment.frames for moment in moments] == list(range(moments[0].frames, moments[0].frames + 25))
    for moment, (screen, stack) in list(zip(moments, thoughts, strict=True))[::4]:
        np.testing.assert_array_equal(moment.screen, screen)
        np.testing.assert_array_equal(moment.frame, stack[-1])
        np.testing.assert_array_equal(moment.values, session.player.q_values(stack[None])[0])


def test_a_persons_steps_are_as_long_as_a_networks() -> None:
    alone = Setting("pong", None, True, None, None, 0, 0.0, 5, None, None, None)
    session = Session(*choose_player(alone), alone)
    moments: list[Moment] = []
    session.run(moments.append)
    assert len(moments) == 21
    assert f"after 5 steps, {moments[-1].frames} frames" in session.result()


def test_a_video_has_every_frame(run: Run, model: Path, tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="videos need the extra [video]")
    path = tmp_path / "game.mp4"
    assert run("--bot", model, "--steps", 10, "--video", path)[0] == 0
    reader = ffmpeg.read_frames(str(path))
    about = next(reader)
    assert about["size"] == (1072, 630)
    assert about["fps"] == 60
    frames = [np.frombuffer(frame, np.uint8).reshape(630, 1072, 3) for frame in reader]
    assert len(frames) == 41, "the screen at the start, and 4 a step"
    wall = frames[0][100:500, 5:35].astype(float)
    assert np.abs(wall - 142).max() < 12, "breakout's grey wall"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_video_that_is_left_early_can_be_watched(number: signal.Signals, tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="videos need the extra [video]")
    path = tmp_path / "game.mp4"
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # for the program: in the background it is ignored
    process = subprocess.Popen(
        [sys.executable, "play.py", "atari", "--bot", "random", "--video", str(path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "stopped: random in pong" in out and "Traceback" not in err
    frames = list(ffmpeg.read_frames(str(path)))[1:]
    assert len(frames) > 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--game", "pnog"], "did you mean pong"),
        (["--bot", "nowhere"], "player 'nowhere': neither random nor a model file"),
        (["--game", "pong", "--bot", "MODEL"], "plays breakout, not pong"),
        (["--steps", "0"], "--steps 0 is less than 1"),
        (["--speed", "-1"], "--speed -1: a finite number, at least 0"),
        (["--speed", "nan"], "--speed nan: a finite number, at least 0"),
        (["--speed", "4", "--video", "x.mp4"], "--speed is that of a game in the terminal: without --video"),
        (["--bot", "random", "--epsilon", "0.3"], "--epsilon goes with a network: --bot random draws every action"),
        (["--epsilon", "1.5"], "epsilon 1.5 is not from 0 to 1"),
        (["--protocol", "dqn"], "no protocol 'dqn'"),
        (["--human", "--bot", "random"], "--human plays alone"),
        (["--human"], "--human needs a terminal"),
        (["--bot", "random", "--explain", "gradcam", "--picture", "game.png"], "--explain looks into a network"),
        (["--explain", "gradcam"], "--explain needs a terminal with colours, --video or --picture"),
        (["--video", "game.avi"], "its name must end in .mp4"),
        (["--picture", "nowhere/game.png"], "there is no folder nowhere"),
        (["--bot", "models/checkers-anaconda"], "its header says checkers"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(
    run: Run, model: Path, arguments: Sequence[str], message: str
) -> None:
    status, out, err = run(*(str(model) if word == "MODEL" else word for word in arguments))
    assert status == 2
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal to play in is made with pty")
def test_a_person_plays_at_a_terminal() -> None:
    import os
    import pty
    import select
    import time

    ours, theirs = pty.openpty()
    command = [sys.executable, "play.py", "atari", "--game", "breakout", "--human", "--speed", "4"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown, deadline, has_left = b"", time.monotonic() + 120, False
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                shown += os.read(ours, 1 << 16)
            except OSError:  # the other end is closed: Linux says so
                break
        if "▀".encode() in shown and not has_left:
            os.write(ours, b" \x1b[Cq")
            has_left = True
        if process.poll() is not None and not select.select([ours], [], [], 0.1)[0]:
            break
    os.close(ours)
    assert process.wait(10) == 0
    assert b"stopped: you in breakout (nature): 0 points" in shown
    codes = (b"\x1b[?1049h", b"\x1b[>11u", b"\x1b[<u", b"\x1b[?1049l")
    places = [shown.index(code) for code in codes]
    assert places == sorted(places), "the keyboard's mode is that of the alternate screen, and all is left as it was"
