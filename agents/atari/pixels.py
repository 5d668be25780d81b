"""Pictures in plain numpy: letters, bars, colours of warmth over a picture, and PNG files.

A picture is uint8 [height, width, 3], red, green and blue; positions are (row, column) of the upper left corner.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

GLYPH_HEIGHT, GLYPH_WIDTH = 5, 3  # dots
# Five rows of three dots a letter, each row an octal digit.
_GLYPHS = {
    letter: np.array([[int(row) >> shift & 1 for shift in (2, 1, 0)] for row in rows], bool)
    for letter, rows in {
        "A": "25755", "B": "65656", "C": "34443", "D": "65556", "E": "74647", "F": "74644", "G": "34553", "H": "55755",
        "I": "72227", "J": "11152", "K": "55655", "L": "44447", "M": "57755", "N": "65555", "O": "25552", "P": "65644",
        "Q": "25563", "R": "65655", "S": "34216", "T": "72222", "U": "55557", "V": "55552", "W": "55775", "X": "55255",
        "Y": "55222", "Z": "71247", "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711", "5": "74717",
        "6": "74757", "7": "71222", "8": "75757", "9": "75717", ".": "00002", ",": "00024", "-": "00700", "+": "02720",
        ":": "02020", "/": "11244", "%": "51245", "=": "07070", "_": "00007", "(": "12221", ")": "42224", " ": "00000",
    }.items()
}  # fmt: skip
_UNKNOWN = np.ones((GLYPH_HEIGHT, GLYPH_WIDTH), bool)

# From nothing to much; between them colours are mixed.
_WARMTH = np.array([(0, 0, 0), (110, 0, 120), (220, 40, 40), (255, 160, 0), (255, 255, 190)], float)


def text_width(text: str, scale: int) -> int:
    """Return how many pixels wide a text is."""
    return max(len(text) * (GLYPH_WIDTH + 1) - 1, 0) * scale


def draw_text(picture: Picture, row: int, column: int, text: str, colour: Colour, scale: int = 2) -> None:
    """Write a line of capitals, `scale` pixels a dot; what does not fit is cut off."""
    for index, letter in enumerate(text.upper()):
        dots = np.kron(_GLYPHS.get(letter, _UNKNOWN), np.ones((scale, scale), bool))
        left = column + index * (GLYPH_WIDTH + 1) * scale
        area = picture[row : row + len(dots), left : left + dots.shape[1]]
        area[dots[: area.shape[0], : area.shape[1]]] = colour


def draw_box(picture: Picture, row: int, column: int, height: int, width: int, colour: Colour) -> None:
    """Fill a rectangle."""
    picture[row : row + height, column : column + width] = colour


def enlarge(picture: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """Return a picture, grey or coloured, with every pixel repeated."""
    return picture.repeat(rows, axis=0).repeat(columns, axis=1)


def stretch(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return a map [H, W] in another size, by linear interpolation."""
    rows = _between(values.shape[0], height)
    columns = _between(values.shape[1], width)
    lines = values[rows[0]] * (1 - rows[2])[:, None] + values[rows[1]] * rows[2][:, None]
    stretched = lines[:, columns[0]] * (1 - columns[2]) + lines[:, columns[1]] * columns[2]
    return stretched.astype(np.float32)


def _between(size: int, new_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return for each new cell the two old ones whose centres it lies between, and the share of the second."""
    centres = ((np.arange(new_size) + 0.5) * size / new_size - 0.5).clip(0, size - 1)
    first = centres.astype(np.int64)
    return first, np.minimum(first + 1, size - 1), (centres - first).astype(np.float32)


def warm(picture: Picture, heat: NDArray[np.float32]) -> Picture:
    """Return a picture, darkened, with heat [height, width] in [0, 1] glowing over it."""
    place = heat.clip(0, 1)[..., None] * (len(_WARMTH) - 1)
    index = np.minimum(place[..., 0].astype(np.int64), len(_WARMTH) - 2)
    colours = _WARMTH[index] + (place - index[..., None]) * (_WARMTH[index + 1] - _WARMTH[index])
    glow = 0.25 + 0.6 * heat.clip(0, 1)[..., None]  # how much of the heat's colour is mixed in
    mixed: Picture = (picture * (1 - glow) + colours * glow).astype(np.uint8)
    return mixed


def png_bytes(picture: Picture) -> bytes:
    """Return a picture as a PNG file (ISO/IEC 15948): eight bits a colour, no filter."""
    height, width = picture.shape[:2]
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each line begins with the number of its filter, 0
    lines[:, 1:] = picture.reshape(height, -1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 6)),
        (b"IEND", b""),
    )
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
