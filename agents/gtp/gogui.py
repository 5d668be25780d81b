"""Maps for GoGui's board (gogui-analyze_commands), which other clients show too: policy, visits, values, ownership."""

from __future__ import annotations

from collections.abc import Mapping

from agents.analysis import Analysis
from agents.gtp.arguments import Arguments, colour_to_play, vertex
from agents.gtp.protocol import GtpError, Task
from agents.gtp.session import Session, winrate_for
from agents.gtp.setup import play_sequence, set_position, setup_player
from games.go_status import score_name

LABELS = 10  # moves that are labelled on a map
HOT, COLD = (255, 64, 0), (250, 240, 200)  # colours of the most and of the least
MAPS = (  # kind, name in the menu, command: as GoGui's documentation of analyze commands has them
    ("gfx", "Policy", "playfield-policy"),
    ("gfx", "Visits", "playfield-visits"),
    ("gfx", "Values", "playfield-values"),
    ("dboard", "Ownership", "playfield-ownership"),
    ("plist", "Dead Stones", "final_status_list dead"),
    ("string", "Score", "playfield-score"),
    ("sboard", "Legal Moves", "playfield-legal"),
)


def analyze_commands(session: Session, arguments: Arguments) -> str:
    return "\n".join("/".join(entry) for entry in MAPS)


def policy(session: Session, arguments: Arguments) -> str:
    """Colour the moves by what the player thinks of them before it searches."""
    analysis = analyse(session)
    return heat(session, {move.action: move.prior for move in analysis.moves if move.prior > 0}, "prior")


def visits(session: Session, arguments: Arguments) -> str:
    """Colour the moves by how much was spent on them."""
    analysis = analyse(session)
    total = max(1, sum(move.visits for move in analysis.moves))
    return heat(session, {move.action: move.visits / total for move in analysis.moves if move.visits}, "visits")


def values(session: Session, arguments: Arguments) -> str:
    """Colour the moves that were tried by the mover's chance to win after them."""
    colour = int(session.state.to_move)
    tried = {move.action: move.value for move in analyse(session).moves if move.visits}
    rates = {action: winrate_for(colour, value) for action, value in tried.items() if value is not None}
    return heat(session, rates, "winrate")


def analyse(session: Session) -> Analysis:
    """Let the player think about the position."""
    return session.analyse(int(session.state.to_move))


def heat(session: Session, shares: Mapping[int, float], what: str) -> str:
    """Return a map in GoGui's graphics language: colours for all moves, labels in per cent for the best."""
    if not shares:
        raise GtpError(f"this player tells no {what} of single moves")
    ranked = sorted((action for action in shares if action != session.pass_action), key=lambda a: -shares[a])
    most = max((shares[action] for action in ranked), default=0.0)
    least = min((shares[action] for action in ranked), default=0.0)
    scale = (most - least) or 1.0
    lines = [f"COLOR {blend((shares[action] - least) / scale)} {vertex(session, action)}" for action in ranked]
    if ranked:
        labels = (f"{vertex(session, action)} {100 * shares[action]:.0f}" for action in ranked[:LABELS])
        lines.append(f"LABEL {' '.join(labels)}")
    if session.pass_action in shares:
        ranked.append(session.pass_action)
    told = ", ".join(
        f"{vertex(session, action)} {100 * shares[action]:.1f}"
        for action in sorted(ranked, key=lambda a: -shares[a])[:5]
    )
    return "\n".join([*lines, f"TEXT {what} in per cent: {told}"])


def blend(share: float) -> str:
    """Return the colour of a share, 0 to 1, as #rrggbb."""
    return "#" + "".join(f"{round(cold + share * (hot - cold)):02x}" for hot, cold in zip(HOT, COLD, strict=True))


def ownership(session: Session, arguments: Arguments) -> str:
    """Return who probably owns each point at the end, 1 Black to -1 White, row by row from the top."""
    owners = session.owners(session.state).reshape(session.rows, session.columns)
    return "\n".join(" ".join(f"{owner:.2f}" for owner in row) for row in owners)


def score(session: Session, arguments: Arguments) -> str:
    """Return the score with the stones that look dead taken off."""
    status = session.status()
    return f"{score_name(status.score)}, {len(status.dead)} dead stones"


def legal(session: Session, arguments: Arguments) -> str:
    """Return a board of marks where the mover may play."""
    actions = set(session.legal_actions(colour_to_play(session, arguments)))
    rows = range(0, session.pass_action, session.columns)
    return "\n".join(" ".join("x" if start + c in actions else "-" for c in range(session.columns)) for start in rows)


HANDLERS = {
    "gogui-analyze_commands": Task(analyze_commands),
    "gogui-play_sequence": Task(play_sequence, "COLOR VERTEX COLOR VERTEX ..."),
    "gogui-setup": Task(set_position, "COLOR VERTEX COLOR VERTEX ..."),
    "gogui-setup_player": Task(setup_player, "COLOR"),
    "playfield-policy": Task(policy),
    "playfield-visits": Task(visits),
    "playfield-values": Task(values),
    "playfield-ownership": Task(ownership),
    "playfield-score": Task(score),
    "playfield-legal": Task(legal, "[COLOR]"),
}
