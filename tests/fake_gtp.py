"""A GTP engine that does what its command line says: a program of its own, for tests of whoever drives one.

fake_gtp.py MOVES [OPTION=VALUE ...]: in each game it answers genmove by the next of MOVES (D4,E5,pass,...; the last one
again and again) and knows nothing of the rules. A move of its list may also be: crash, hang, garbage, flood, stderr.
Options: lacks=COMMAND,... (that it does not know), refuses=COMMAND,... (by a question mark), dead=VERTEX,..., log=FILE
(of every command), name=TEXT, komi=TEXT (what get_komi says), fractions=no (are no times), ids=no (are not repeated),
starts=FILE (where its starts are counted: it starts no more than twice).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

COMMANDS = ["name", "list_commands", "boardsize", "clear_board", "komi", "get_komi", "play", "genmove", "undo", "quit"]
COMMANDS += ["final_status_list", "time_settings", "time_left", "kgs-genmove_cleanup"]


def main() -> None:
    moves = sys.argv[1].split(",")
    options = dict(argument.split("=", 1) for argument in sys.argv[2:])
    lacks, refuses = (options.get(name, "").split(",") for name in ("lacks", "refuses"))
    if "starts" in options:
        with Path(options["starts"]).open("a+") as count:
            print(file=count)
            count.seek(0)
            if len(count.readlines()) > 2:
                sys.exit(3)
    komi = ""
    for line in sys.stdin:
        if "log" in options:
            with Path(options["log"]).open("a") as log:
                log.write(line.split(" ", 1)[-1])
        number, command, *arguments = line.split() if line[0].isdigit() else ["", *line.split()]
        number = "" if options.get("ids") == "no" else number
        if command in lacks or command not in COMMANDS:
            answer = f"?{number} unknown command"
        elif command in refuses or (options.get("fractions") == "no" and command[:4] == "time" and "." in line):
            answer = f"?{number} I will not"
        else:
            text = ""
            if command == "name":
                text = options.get("name", "Fake")
            elif command == "list_commands":
                text = "\n".join(name for name in COMMANDS if name not in lacks)
            elif command == "clear_board":
                moves = sys.argv[1].split(",")
            elif command == "komi":
                komi = arguments[0]
            elif command == "get_komi":
                text = options.get("komi", komi)
            elif command == "final_status_list":
                text = options.get("dead", "").replace(",", "\n")
            elif command in ("genmove", "kgs-genmove_cleanup"):
                text = special(moves.pop(0) if len(moves) > 1 else moves[0])
            answer = f"={number} {text}".rstrip()
        print(answer, end="\n\n", flush=True)
        if command == "quit":
            break


def special(move: str) -> str:
    """Do what a move of the list stands for, and return what to answer."""
    if move == "crash":
        print("out of memory", file=sys.stderr)
        sys.exit(3)
    if move == "hang":
        time.sleep(100)
    if move == "garbage":
        print("thinking...\n\n0.5 0.25\n=99 late\n\n\xff\n", flush=True)
        return "C3"
    if move == "flood":
        while True:
            print("x" * 1000)
    if move == "stderr":
        print("a warning\n" * 3, file=sys.stderr, flush=True)
        return "C3"
    return move


if __name__ == "__main__":
    main()
