"""Personal data: numbers that their own checksums or issuing rules tell from any others, and addresses.

Sources: ISO/IEC 7812 (payment cards, Luhn), ISO 13616 and the IBAN registry's lengths, the rules of the US Social Security
Administration since 2011, ITU-T E.164 and the North American Numbering Plan.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping

from services.guardrails.screen.rules import Check, Rule, Spares
from services.guardrails.screen.shapes import Some, Word

_CARD_SIZES: Mapping[str, tuple[int, ...]] = {
    "4": (13, 16, 19),
    **dict.fromkeys(("51", "52", "53", "54", "55", "22", "23", "24", "25", "26", "27"), (16,)),
    **dict.fromkeys(("34", "37"), (15,)),
    **dict.fromkeys(("30", "36", "38", "39"), (14,)),
    **dict.fromkeys(("60", "64", "65", "35", "62"), (16, 19)),
}
"""How a card number begins, and how many digits it then has."""

_IBAN_COUNTRIES: Mapping[int, str] = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL",
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU",
    31: "MT SC",
    32: "LC",
}
"""Characters of an IBAN, and the countries whose IBANs have so many."""

_IBAN_SIZES: Mapping[str, int] = {
    country: size for size, countries in _IBAN_COUNTRIES.items() for country in countries.split()
}

_FRACTION = re.compile(r"\d\.\Z")
"""Behind this come the decimals of a number."""

_IN_A_WORD = re.compile(r"(?<!\\)[A-Za-z0-9]\Z")
"""The character before is a letter, and not that of an escaped line end."""

_DOMAIN = re.compile(r"(?:[A-Za-z0-9\-]{1,63}\.)+[A-Za-z]{2,24}(?![A-Za-z0-9\-])")

_NOT_A_LOCAL_PART = frozenset(".-+%")


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of those before it."""
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(double - 9 * (double > 9) for double in doubled)) % 10 == 0


def mod_97(iban: str) -> bool:
    """Whether the check digits of an IBAN without spaces are right."""
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1


def _card(found: str, before: str, behind: str) -> int:
    """The longest card number that begins here and ends where a group of digits does."""
    ends = [end for end, char in enumerate(found, 1) if char.isdigit()]
    digits = "".join(found[end - 1] for end in ends)
    if _FRACTION.search(before):
        return 0
    for size in reversed(_CARD_SIZES.get(digits[:1]) or _CARD_SIZES[digits[:2]]):
        whole = size <= len(ends) and not _follows(found, ends[size - 1], behind).isdigit()
        if whole and luhn(digits[:size]):
            return ends[size - 1]
    return 0


def _follows(found: str, end: int, behind: str) -> str:
    """What stands behind the first `end` characters."""
    return found[end : end + 1] or behind


def _iban(found: str, before: str, behind: str) -> int:
    """As many letters and digits as the country has, if their checksum is right."""
    size, kept = _IBAN_SIZES[found[:2]], ""
    for end, char in enumerate(found, 1):
        if char != " ":
            kept += char
        if len(kept) == size:
            follows = _follows(found, end, behind)
            return end if mod_97(kept) and not (follows.isascii() and follows.isalnum()) else 0
    return 0


def _ssn(found: str, before: str, behind: str) -> int:
    area, group, serial = found[:3], found[4:6], found[7:]
    if found[3] != found[6] or behind.isdigit() or behind == "-":
        return 0
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return 0
    # Printed on a sample card of 1938 and in advertisements: nobody's.
    return 0 if (area, group, serial) in {("078", "05", "1120"), ("219", "09", "9999")} else len(found)


def _international(found: str, before: str, behind: str) -> int:
    """A plus sign and 8 to 15 digits."""
    if _IN_A_WORD.search(before):
        return 0
    end = len(found.rstrip(" ().-/"))
    digits = sum(map(str.isdigit, found))
    return end if 8 <= digits <= 15 and not _follows(found, end, behind).isalnum() else 0


def _north_american(found: str, before: str, behind: str) -> int:
    """Ten digits in groups of three, three and four; area code and exchange begin with 2 to 9."""
    match = re.match(r"([2-9]\d\d)([-. ])[2-9]\d\d\2\d{4}\Z", found[:12])
    follows = _follows(found, 12, behind)
    return 12 if match and not follows.isdigit() and follows != "-" else 0


def _ip_address(found: str, before: str, behind: str) -> int:
    text = found.rstrip(".:")
    if behind.isalnum() or ("." not in text and text.count(":") < 3):
        return 0
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return 0
    return len(text)


def _email(found: str, before: str, behind: str) -> int:
    """A name, and as much behind the @ as is a domain."""
    local, _, rest = found.partition("@")
    domain = _DOMAIN.match(rest)
    return 0 if domain is None or local[0] in _NOT_A_LOCAL_PART else len(local) + 1 + domain.end()


def _rule(name: str, label: str, check: Check, *shape: Word | Some) -> Rule:
    return Rule(name=f"personal.{name}", label=label, shape=shape, check=check)


CARD = _rule("card", "card number", _card, Word(*_CARD_SIZES), Some(r"0-9 \-", 11, 30))
IBAN = _rule("iban", "IBAN", _iban, Word(*_IBAN_SIZES), Some("0-9", 2, 2), Some("A-Z0-9 ", 11, 44))
SSN = _rule(
    "ssn",
    "social security number",
    _ssn,
    Some("0-9", 3, 3),
    Some("- ", 1, 1),
    Some("0-9", 2, 2),
    Some("- ", 1, 1),
    Some("0-9", 4, 4),
)
PHONES = (
    _rule("phone", "phone number", _international, Word("+"), Some("0-9 ().\\-/", 8, 24)),
    _rule("phone", "phone number", _north_american, Some("2-9", 1, 1), Some("0-9. \\-", 11, 11)),
)
IP = _rule("ip", "IP address", _ip_address, Some("0-9a-fA-F:.", 7, 45))
EMAIL = _rule(
    "email", "e-mail address", _email, Some("A-Za-z0-9._%+\\-", 1, 64), Word("@"), Some("A-Za-z0-9.\\-", 4, 255)
)

KINDS: Mapping[str, tuple[Rule, ...]] = {
    "cards": (CARD,),
    "ibans": (IBAN,),
    "ssns": (SSN,),
    "emails": (EMAIL,),
    "phones": PHONES,
    "ips": (IP,),
}


def said_or_allowed(allowed: Collection[str]) -> Spares:
    """What the user wrote in this turn is no news to him; `allowed` are whole items, or `@domain` for all its addresses."""
    exact = frozenset(text.lower() for text in allowed)

    def spares(found: str, said: str) -> bool:
        _, at, domain = found.lower().rpartition("@")
        return found in said or found.lower() in exact or (bool(at) and f"@{domain}" in exact)

    return spares
