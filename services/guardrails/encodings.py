"""Texts that are written in another code: what each decoder reads out of a text, if there is anything to read.

Every decoder takes a text and yields pieces. All are linear in the text: a run that has begun is consumed whatever follows
it, so none is tried twice. What does not look like a text is not kept.
"""

import base64
import binascii
import codecs
import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

MIN_CHARS = 8
"""Shorter ones than this say nothing."""

_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])(?:[A-Za-z0-9+/_-]{4}){3,2048}+[A-Za-z0-9+/_-]{0,3}")
_LINE_BREAK = re.compile(r"(?<=[A-Za-z0-9+/]{60})\r?\n(?=[A-Za-z0-9+/]{4})")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:(?:0x|\\x)?[0-9a-fA-F]{2}[ ,:-]{0,2}+){8,4096}+")
_HEX_PREFIX = re.compile(r"0x|\\x|[ ,:-]")
_BITS = re.compile(r"(?<![01])(?:[01]{8}[ ,]?){6,2048}+")
_NUMBERS = re.compile(r"(?<![\d.])\d[\d ,;]{22,8192}+")
_BASE32 = re.compile(r"(?<![A-Z2-7])[A-Z2-7]{24,4096}+")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2}){1,4096}+")
_ESCAPE = re.compile(r"\\(?:u\{?([0-9A-Fa-f]{4})\}?|x([0-9A-Fa-f]{2})|U([0-9A-Fa-f]{8})|([0-7]{3}))")
_MORSE = re.compile(r"(?:[.\-·–]{1,6}(?:[ ]{1,3}(?:[/|] ?)?|$)){8,4096}+")
_MORSE_LETTERS = (
    "a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s... t- u..- v...- w.-- x-..- "
    "y-.-- z--.."
)
_MORSE_CODE = {letter[1:]: letter[0] for letter in _MORSE_LETTERS.split()}
_MORSE_SIGNS = str.maketrans("·–", ".-")
MIN_ESCAPES = 3
_ENTITY = re.compile(r"&(?:#\d{2,7}|#[xX][0-9A-Fa-f]{2,6}|[A-Za-z]{2,8});")


def from_base64(text: str) -> Iterator[str]:
    """What runs of base64 stand for, plain or URL-safe, in one line or broken as in mails."""
    for match in _BASE64.finditer(_LINE_BREAK.sub("", text)):
        digits = match[0].replace("-", "+").replace("_", "/")
        try:
            decoded = base64.b64decode(digits[: len(digits) - (len(digits) % 4 == 1)] + "==")
        except binascii.Error:
            continue
        yield from _readable(decoded)


def from_hex(text: str) -> Iterator[str]:
    """What runs of hexadecimal bytes stand for: `69676e`, `69 67 6e`, `0x69,0x67`, `\\x69\\x67`."""
    for match in _HEX.finditer(text):
        yield from _readable(bytes.fromhex(_HEX_PREFIX.sub("", match[0])))


def from_numbers(text: str) -> Iterator[str]:
    """What bytes in binary, or codes of characters in decimal, stand for."""
    for match in _BITS.finditer(text):
        digits = re.sub("[ ,]", "", match[0])
        yield from _readable(int(digits, 2).to_bytes(len(digits) // 8, "big"))
    for match in _NUMBERS.finditer(text):
        codes = [int(code) for code in re.findall(r"\d{1,6}", match[0])]
        if len(codes) >= MIN_CHARS and max(codes) < 256:
            yield from _readable(bytes(codes))


def from_percent(text: str) -> Iterator[str]:
    """The text with `%69%67` replaced, if there is enough of it."""
    if text.count("%") >= MIN_ESCAPES:
        decoded = _PERCENT.sub(lambda match: unquote(match[0]), text)
        if len(text) - len(decoded) >= 2 * MIN_ESCAPES:
            yield changed_lines(text, decoded)


def from_escapes(text: str) -> Iterator[str]:
    """The text with `\\u0069`, `\\x69` and `\\151` replaced, if there is enough of it."""
    if text.count("\\") >= MIN_ESCAPES:
        decoded, found = _ESCAPE.subn(_character, text)
        if found >= MIN_ESCAPES:
            yield changed_lines(text, decoded)


def _character(match: re.Match[str]) -> str:
    code = int(match[4], 8) if match[4] else int(match[match.lastindex or 0], 16)
    return chr(code) if code < 0xD800 or 0xE000 <= code < 0x110000 else ""


def from_base32(text: str) -> Iterator[str]:
    """What runs of base32 stand for."""
    for match in _BASE32.finditer(text):
        digits = match[0][: len(match[0]) - (len(match[0]) % 8 in (1, 3, 6))]
        yield from _readable(base64.b32decode(digits + "=" * (-len(digits) % 8)))


def from_morse(text: str) -> Iterator[str]:
    """What runs of dots and dashes stand for."""
    for match in _MORSE.finditer(text):
        words = match[0].translate(_MORSE_SIGNS).replace("|", "/").replace("   ", " / ").split("/")
        yield " ".join("".join(_MORSE_CODE.get(letter, "") for letter in word.split()) for word in words)


def from_entities(text: str) -> Iterator[str]:
    """The text with its HTML entities replaced, if it has any."""
    if _ENTITY.search(text):
        yield changed_lines(text, html.unescape(text))


def rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


def changed_lines(text: str, changed: str) -> str:
    """Return the lines in which a changed text differs, so that a view of a long document is no second document."""
    before, after = text.split("\n"), changed.split("\n")
    if len(before) != len(after):
        return changed
    return "\n".join(new for old, new in zip(before, after, strict=True) if new != old)


def _readable(decoded: bytes | str) -> Iterator[str]:
    """Yield it if it is text: ASCII that is printable, for it may be another code, or mostly letters."""
    if isinstance(decoded, bytes):
        try:
            decoded = decoded.decode("utf-16-le" if decoded[1:8:2] == b"\0\0\0\0" else "utf-8")
        except UnicodeDecodeError:
            return
    size = len(decoded)
    if size < MIN_CHARS:
        return
    shown = decoded.replace("\n", " ").replace("\r", " ").replace("\t", " ")
    letters = sum(map(str.isalpha, shown)) + shown.count(" ")
    if (shown.isascii() or letters >= 0.7 * size) and sum(map(str.isprintable, shown)) >= 0.95 * size:
        yield decoded
