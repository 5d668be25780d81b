"""Train a player from the command line: `python train.py --help`."""

from __future__ import annotations

import importlib
import os
import sys

from agents.command_line import end

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # learners use the processors by threads of their own

LEARNERS = {  # what each trains, and the module of its command line
    "evolve": ("a checkers evaluator, by co-evolution from random weights (Blondie24)", "evolution.command"),
    "imitate": (
        "a network that predicts the moves and the winner of recorded games (Go, checkers)",
        "imitation.command",
    ),
    "reinforce": ("a policy network improved by its own games (AlphaGo's second stage)", "alphago.reinforce_command"),
    "value": (
        "a network that judges Go positions, from a policy's games (AlphaGo's third stage)",
        "alphago.value_command",
    ),
    "selfplay": ("a policy-value network, by games of tree search against itself (AlphaZero)", "selfplay.command"),
    "dqn": ("an Atari player, by Q-learning from pixels (DQN, Rainbow, PQN)", "dqn.command"),
}
USAGE = "usage: train.py {" + ",".join(LEARNERS) + "} [options]"
HELP = f"""{USAGE}

Learners:
{chr(10).join(f"  {name:<10}{text}" for name, (text, _) in LEARNERS.items())}

`train.py LEARNER --help` lists a learner's options. The shortest way to a player:

  python train.py evolve --preset quick
"""


def main(arguments: list[str]) -> int:
    """Run one learner; return the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0 if arguments else 2
    learner, *rest = arguments
    if learner not in LEARNERS:
        print(f"train.py: there is no learner {learner!r}; there are: {', '.join(LEARNERS)}", file=sys.stderr)
        return 2
    # Imported here: `--help` and a misspelt learner answer at once.
    command = importlib.import_module(f"agents.{LEARNERS[learner][1]}")
    status: int = command.main(rest)
    return status


if __name__ == "__main__":
    end(lambda: main(sys.argv[1:]))
