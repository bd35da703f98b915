"""An item for each rule, put together when it is asked for: whoever scans the repository finds nothing like a secret here."""

import string
from collections.abc import Callable, Mapping, Sequence
from random import Random

from services.guardrails.screen.personal import luhn

_LETTERS = string.ascii_letters + string.digits
_URL_SAFE = _LETTERS + "_-"
_HEX = "0123456789abcdef"
_UPPER = string.ascii_uppercase + string.digits

Maker = Callable[[Random], str]


def _of(*parts: str | tuple[str, int]) -> Maker:
    """Texts as they are, and so many characters out of an alphabet."""

    def make(random: Random) -> str:
        return "".join(part if isinstance(part, str) else "".join(random.choices(part[0], k=part[1])) for part in parts)

    return make


def _pem(kind: str) -> Maker:
    base64 = _LETTERS + "+/"
    lines = [part for _ in range(12) for part in ((base64, 64), "\n")]
    dashes = "-" * 5
    return _of(f"{dashes}BEGIN {kind}{dashes}\n", *lines, (base64, 30), f"=\n{dashes}END {kind}{dashes}")


SECRET_ITEMS: Mapping[str, Sequence[Maker]] = {
    "secret.mainstay": [_of("ms_", (_LETTERS, 55))],
    "secret.anthropic": [_of("sk-ant-api03-", (_URL_SAFE, 93), "AA"), _of("sk-ant-admin01-", (_URL_SAFE, 93), "AA")],
    "secret.openai_project": [_of("sk-proj-", (_URL_SAFE, 74), "T3BlbkFJ", (_URL_SAFE, 74))],
    "secret.openrouter": [_of("sk-or-v1-", (_HEX, 64))],
    "secret.openai": [_of("sk-", (_LETTERS, 20), "T3BlbkFJ", (_LETTERS, 20)), _of("sk-", (_HEX, 32))],
    "secret.stripe": [_of("sk_live_", (_LETTERS, 24)), _of("rk_test_", (_LETTERS, 99))],
    "secret.aws_access": [_of("AKIA", (string.ascii_uppercase + "234567", 16))],
    "secret.aws_secret": [_of("aws_secret_access_key = ", (_LETTERS + "/+", 40))],
    "secret.google_api": [_of("AIza", (_URL_SAFE, 35))],
    "secret.google_oauth": [_of("GOCSPX-", (_URL_SAFE, 28))],
    "secret.google_access": [_of("ya29.", (_URL_SAFE, 180))],
    "secret.github": [_of(f"gh{kind}_", (_LETTERS, 36)) for kind in "pousr"],
    "secret.github_fine": [_of("github_pat_", (_LETTERS + "_", 82))],
    "secret.gitlab": [_of("glpat-", (_URL_SAFE, 20)), _of("glrt-", (_URL_SAFE, 20))],
    "secret.slack": [_of("xoxb-", ("123456789", 12), "-", ("123456789", 13), "-", (_LETTERS, 24))],
    "secret.slack_webhook": [_of("hooks.slack.com/services/T", (_UPPER, 8), "/B", (_UPPER, 8), "/", (_LETTERS, 24))],
    "secret.npm": [_of("npm_", (_LETTERS, 36))],
    "secret.pypi": [_of("pypi-AgEIcHlwaS5vcmc", (_URL_SAFE, 150))],
    "secret.rubygems": [_of("rubygems_", (_HEX, 48))],
    "secret.sendgrid": [_of("SG.", (_URL_SAFE, 22), ".", (_URL_SAFE, 43))],
    "secret.twilio": [_of("SK", (_HEX, 32))],
    "secret.mailgun": [_of("key-", (_HEX, 32))],
    "secret.hugging_face": [_of("hf_", (string.ascii_letters, 34))],
    "secret.groq": [_of("gsk_", (_LETTERS, 52))],
    "secret.xai": [_of("xai-", (_LETTERS, 80))],
    "secret.perplexity": [_of("pplx-", (_LETTERS, 48))],
    "secret.digitalocean": [_of("dop_v1_", (_HEX, 64))],
    "secret.databricks": [_of("dapi", (_HEX, 32))],
    "secret.shopify": [_of("shpat_", (_HEX, 32))],
    "secret.square": [_of("sq0atp-", (_URL_SAFE, 22))],
    "secret.vault": [_of("hvs.", (_URL_SAFE, 100))],
    "secret.grafana": [_of("glsa_", (_LETTERS, 32), "_", (_HEX, 8))],
    "secret.new_relic": [_of("NRAK-", (_UPPER, 27))],
    "secret.linear": [_of("lin_api_", (_LETTERS, 40))],
    "secret.notion": [_of("ntn_", ("0123456789", 11), (_LETTERS, 35))],
    "secret.postman": [_of("PMAK-", (_HEX, 24), "-", (_HEX, 34))],
    "secret.pulumi": [_of("pul-", (_HEX, 40))],
    "secret.planetscale": [_of("pscale_tkn_", (_URL_SAFE, 43))],
    "secret.doppler": [_of("dp.pt.", (_LETTERS, 43))],
    "secret.age": [_of("AGE-SECRET-KEY-1", ("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58))],
    "secret.azure_storage": [_of("AccountKey=", (_LETTERS + "+/", 86), "==")],
    "secret.telegram": [_of(("123456789", 10), ":AA", (_URL_SAFE, 33))],
    "secret.jwt": [_of("eyJ", (_LETTERS, 33), ".eyJ", (_URL_SAFE, 200), ".", (_URL_SAFE, 43))],
    "secret.private_key": [
        *map(_pem, ("PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"))
    ],
}


def card(random: Random, head: str, size: int, between: str = "") -> str:
    """A card number with its check digit, in groups of four."""
    digits = head + "".join(random.choices("0123456789", k=size - len(head) - 1))
    digits += next(digit for digit in "0123456789" if luhn(digits + digit))
    return between.join(digits[at : at + 4] for at in range(0, size, 4))


def iban(random: Random, country: str, size: int, between: str = "") -> str:
    """An IBAN with its check digits, in groups of four."""
    account = "".join(random.choices("0123456789", k=size - 4))
    number = int("".join(str(int(char, 36)) for char in f"{account}{country}00"))
    text = f"{country}{98 - number % 97:02}{account}"
    return between.join(text[at : at + 4] for at in range(0, size, 4))


def _ssn(random: Random, between: str) -> str:
    area = random.choice([*range(100, 666), *range(667, 900)])
    return between.join((str(area), f"{random.randint(10, 99)}", f"{random.randint(1_000, 9_999)}"))


PERSONAL_ITEMS: Mapping[str, Sequence[Maker]] = {
    "personal.card": [
        lambda random: card(random, "4", 16),
        lambda random: card(random, "4", 16, " "),
        lambda random: card(random, "53", 16, "-"),
        lambda random: card(random, "37", 15),
        lambda random: card(random, "6011", 16, " "),
        lambda random: card(random, "36", 14),
    ],
    "personal.iban": [
        lambda random: iban(random, "DE", 22),
        lambda random: iban(random, "DE", 22, " "),
        lambda random: iban(random, "FR", 27, " "),
        lambda random: iban(random, "NO", 15),
    ],
    "personal.ssn": [lambda random: _ssn(random, "-"), lambda random: _ssn(random, " ")],
    "personal.email": [
        lambda random: f"jane.doe+{random.randint(1, 99)}@mail.example.org",
        lambda random: f"J_{random.randint(1, 99)}@example.co",
    ],
    "personal.phone": [
        lambda random: f"+49 (30) 90{random.randint(0, 999_999):06}",
        lambda random: f"212-555-{random.randint(0, 9_999):04}",
    ],
    "personal.ip": [
        lambda random: f"203.0.113.{random.randint(1, 254)}",
        lambda random: f"2001:db8::{random.randint(1, 9_999):x}:7334",
    ],
}

IMAGE, ADDRESS, LINK = "[redacted: image]", "[redacted: address]", "[redacted: link]"

LINK_ITEMS: Mapping[str, Sequence[tuple[Maker, str]]] = {
    "link.image": [
        (lambda random: f"![chart](https://evil.example/p.png?q={random.random()})", IMAGE),
        (lambda random: f"x![](//evil.example/{'a' * 3_000})", f"x{IMAGE}"),
        (lambda random: f"![a [b] {'c' * 5_000}](//evil.example/p)", f"![a [b] {'c' * 5_000}] {IMAGE}"),
        (lambda random: "![a\nb](https:evil.example/p)", f"![a\nb] {IMAGE}"),
        (lambda random: "![a `]` \\] [b](c)](//evil.example/p)", f"![a `]` \\] [b](c)] {IMAGE}"),
        (lambda random: "![a]( \\/\\/evil.example/p)", IMAGE),
        (lambda random: "![a](&#x68;ttps\\://evil.example/p)", IMAGE),
        (lambda random: "![a](h&#116;tps://evil.example/p)", IMAGE),
        (lambda random: "![a](/&sol;evil.example/p)", IMAGE),
        (lambda random: f"![a]({' ' * 201}//evil.example/p)", IMAGE),
        (lambda random: f"![a](https:{'/' * 1_001}evil.example/p)", IMAGE),
        (lambda random: "> ![a](\n> https://evil.example/p)", f"> {IMAGE}"),
        (lambda random: '![a](<https://user@evil.example:8443/p> "title")', IMAGE),
        (lambda random: "[![a](//evil.example/p)](/x)", f"[{IMAGE}](/x)"),
        (lambda random: '<img width="1" src="https://evil.example/p?q=1">', IMAGE),
        (lambda random: "a<IMG/SRC=//evil.example/p>", f"a{IMAGE}"),
    ],
    "link.reference": [
        (lambda random: "![a][r]\n\n[r]: https://evil.example/p?q=1", f"![a][r]\n\n[r]: {ADDRESS}"),
        (lambda random: "[r]:\n  <//evil.example/p>\n\n![r]", f"[r]: {ADDRESS}>\n\n![r]"),
        (lambda random: "[r]: H&#x54;TPS&colon;//evil.example/p", f"[r]: {ADDRESS}"),
        (lambda random: f"[r]:{' ' * 201}//evil.example/p", f"[r]: {ADDRESS}"),
        (lambda random: "> [r]:\n> //evil.example/p", f"> [r]: {ADDRESS}"),
    ],
    "link.url": [
        (lambda random: f"https://evil.example/?q={random.random()}", LINK),
        (lambda random: "HTTP://EVIL.example/" + "b" * 5_000, LINK),
        (lambda random: "[here](https://evil.example/p)", f"[here]({LINK})"),
    ],
}
"""Each with what is shown of it."""
