"""Letters as lines, for captions in pictures: OpenCV's own would take 6 MB for its fonts once it writes a word."""

from __future__ import annotations

from functools import cache

import numpy as np

from edgerun.types import F32

HEIGHT = 8
"""Units from the top of a capital down to the foot of a ``g``."""
_GAP = 2

# For each character its lines, parted by blanks; in them a point is two digits, x and y: 00 the upper left corner of a
# capital, whose feet are at y = 6; small letters begin at y = 2 and reach down to y = 8.
_FONT = {
    " ": "", "!": "0003 0506", '"': "0002 2022", "#": "1016 3036 0242 0444", "$": "413010010213334445361605 2026",
    "%": "0640 0010110100 3545463635", "&": "461120310405162644", "'": "0002", "(": "10020416", ")": "00121406",
    "*": "1133 3113 0242", "+": "2226 0444", ",": "1607", "-": "0434", ".": "0506", "/": "0640",
    "0": "103041453616050110 1531", "1": "112026 1636", "2": "01103041420646", "3": "01103041423313 334445361605",
    "4": "36300444", "5": "40000212324345361605", "6": "413010010516364544331304", "7": "004016",
    "8": "103041423313020110 3344453616050413", "9": "051636454130100102133342",
    ":": "0304 0506", ";": "1314 1607", "<": "320436", "=": "0333 0535", ">": "023406", "?": "01103041422324 2526",
    "@": "3616050110304144242242",
    "A": "0602204246 0444", "B": "06003041423303 3344453606", "C": "4130100105163645", "D": "06002042442606",
    "E": "40000646 0333", "F": "400006 0333", "G": "41301001051636454323", "H": "0006 4046 0343",
    "I": "0020 1016 0626", "J": "4045361605", "K": "0006 400346", "L": "000646", "M": "0600234046", "N": "06004640",
    "O": "103041453616050110", "P": "06003041423303", "Q": "103041453616050110 2446", "R": "06003041423303 2346",
    "S": "413010010213334445361605", "T": "0040 2026", "U": "000516364540", "V": "002640", "W": "0016223640",
    "X": "0046 4006", "Y": "002340 2326", "Z": "00400646",
    "[": "10000616", "\\": "0046", "]": "00101606", "^": "022042", "_": "0747", "`": "0011",
    "a": "12223336 341405162635", "b": "0006 0312223335261605", "c": "3322120305162635",
    "d": "3036 3322120305162635", "e": "043433221203051636", "f": "30201116 0222",
    "g": "3237281807 3322120305162635", "h": "0006 0312223336", "i": "0206 0001", "j": "121708 1011",
    "k": "0006 320436", "l": "000516", "m": "0206 03122326 23324346", "n": "0206 0312223336",
    "o": "122233352616050312", "p": "0208 0312223335261605", "q": "3238 3322120305162635", "r": "0206 031222",
    "s": "33221203142435261605", "t": "101526 0222", "u": "0205162635 3236", "v": "022642", "w": "0216233642",
    "x": "0236 3206", "y": "0205162635 3237281807", "z": "02320636",
    "{": "20101203141626", "|": "0007", "}": "00101223141606", "~": "04132433",
}  # fmt: skip


def lettered(words: str) -> tuple[list[F32], int] | None:
    """The lines (N,2) to be drawn, in units from the upper left corner of the first capital, and how wide all is; None
    with a character beyond ASCII's."""
    lines: list[F32] = []
    pen = 0
    for character in words:
        if character not in _FONT:
            return None
        glyph, width = _glyph(character)
        lines += [line + np.array([pen, 0], np.float32) for line in glyph]
        pen += width + _GAP
    return lines, pen - _GAP


@cache
def _glyph(character: str) -> tuple[list[F32], int]:
    """Its lines, and how wide it is."""
    lines = [np.array([*line], np.float32).reshape(-1, 2) for line in _FONT[character].split()]
    return lines, int(max((line[:, 0].max() for line in lines), default=1))
