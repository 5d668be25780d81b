"""What the command lines share: those that do not parse are refused in one line, as everything else is; the end."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import docstring_parser
from docstring_parser import DocstringStyle

ResultT = TypeVar("ResultT")

# What tyro draws: sections in a box, the rules between them, and in each lines of which an option's is indented by 4.
RULE = re.compile(r"^[│|] [─-]{3,} *[│|]$")
LINE = re.compile(r"^[│|] (.*?) *[│|]$")
OPTION = re.compile(r"^ {4}(--[\w-]+)")
HELP = ("For full helptext", "Argument helptext")
MISPLACED = re.compile(r"misplaced options: +(\S+) \(applied to ([^)]*)\)")
PARSING = re.compile(r"^Error parsing (--[\w-]+): (.*)$")
NUMBERS = {"INT": "a whole number", "FLOAT": "a number"}
NO_NUMBER = re.compile(r"(?:invalid literal for (int)|could not convert string to float).*: '(.*)'$")
NOT_EITHER = re.compile(r"no type matching \{None\}\|(.*) could be instantiated from \['(.*?)'\]")
CLOSED_PIPE = 141  # the exit status of a program whose reader has gone, as shells have it
NO_CHOICE = re.compile(r"^invalid choice '(.*)' for argument '(--[\w-]+)'\. Expected one of \((.*)\)\.$")


def end(main: Callable[[], int]) -> NoReturn:
    """Run a program and exit with its status, silently where nobody reads on, as after `| head`."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or python complains when it flushes
        status = CLOSED_PIPE
    sys.exit(status)


def parsed(program: str, parse: Callable[[], ResultT]) -> ResultT:
    """Return what `parse`, a call of tyro, reads; where it ends the program, say why in one line."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), _whole_paragraphs():
            read = parse()
    except SystemExit:
        if said.getvalue():
            print(f"{program}: {in_one_line(_said_widely(parse))}", file=sys.stderr)
        raise
    sys.stderr.write(said.getvalue())
    return read


@contextlib.contextmanager
def _whole_paragraphs() -> Iterator[None]:
    """Inside the block tyro wraps the help of an option as one paragraph.

    It takes a line that begins with anything but a letter for one of a list, and the lines of an attribute's docstring,
    but for the first, begin with the indentation of the source.
    """
    parse_from_object = docstring_parser.parse_from_object

    def parse_as_paragraphs(obj: Any, style: DocstringStyle = DocstringStyle.AUTO) -> docstring_parser.Docstring:
        docstring = parse_from_object(obj, style)
        for parameter in docstring.params:
            parameter.description = " ".join((parameter.description or "").split()) or None
        return docstring

    docstring_parser.parse_from_object = parse_as_paragraphs
    try:
        yield
    finally:
        docstring_parser.parse_from_object = parse_from_object


def _said_widely(parse: Callable[[], object]) -> str:
    """Return what a call that ends the program says where lines are long: a narrow box would break what it quotes."""
    said, columns = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"
    try:
        with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
            parse()
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return said.getvalue()


def in_one_line(box: str) -> str:
    """Return what tyro's box says, but for the help that it repeats; a text that is no such box as it is."""
    sections: list[list[str]] = [[]]
    for line in box.splitlines():
        if RULE.match(line):
            sections.append([])
        elif found := LINE.match(line):
            sections[-1].append(found[1])
    told = [_told(section) for section in sections if section and not section[0].startswith(HELP)]
    if not told:
        return box.strip()
    if misplaced := MISPLACED.search(told[0]):  # of another game, say, to which tyro points
        return f"no option {misplaced[1]} in {misplaced[2]}; its --help lists them"
    if parsing := PARSING.match(told[0]):
        return _refused_value(*parsing.groups())
    if choice := NO_CHOICE.match(told[0]):
        value, option, allowed = choice.groups()
        names = re.findall("'([^']*)'", allowed)  # in no order where None is allowed, too, which is the default then
        return f"{option} {value}: {', '.join(name for name in sorted(names) if name != 'None')}"
    return "; ".join(told)


def _told(section: list[str]) -> str:
    """Return a section's words; of options that it suggests, the names."""
    names = [found[1] for line in section if (found := OPTION.match(line))]
    if names:
        return f"{section[0].lower().rstrip(':')} {', '.join(names)}"
    return " ".join(line.strip() for line in section)


def _refused_value(option: str, reason: str) -> str:
    """Return an option, the value that was given, and what is allowed."""
    if found := NO_NUMBER.match(reason):
        return f"{option} {found[2]}: {NUMBERS['INT' if found[1] else 'FLOAT']}"
    if found := NOT_EITHER.match(reason):
        return f"{option} {found[2]}: {NUMBERS.get(found[1], found[1])}"
    return f"{option}: {reason}"
