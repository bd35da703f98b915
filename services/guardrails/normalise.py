"""A text as a reader would see it, so that a rule needs to know a phrase in one spelling only."""

import re
import unicodedata

_INVISIBLE = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
_SPACE = re.compile(r"\s+")

_LOOKALIKES = str.maketrans("аеорсухіјѕ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "ο", "aeopcyxijs" + "ABEZHIKMNOPTYX" + "o")
"""Cyrillic and Greek letters that look like Latin ones (the whole-script confusables of Unicode TS 39)."""


def normalise(text: str) -> str:
    """Return `text` in lower case, compatibility forms and look-alikes folded, without invisible characters."""
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return _SPACE.sub(" ", visible.translate(_LOOKALIKES)).strip().lower()
