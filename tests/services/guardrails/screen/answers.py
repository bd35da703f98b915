"""Answers as assistants give them, in which nothing is to be withheld: prose, code, numbers, and what looks like a secret."""

import hashlib
from base64 import b64encode
from random import Random
from uuid import UUID

_PROSE = (
    "The short answer is yes, but it depends on what you want to measure and how often you intend to do it.",
    "A queue decouples the two sides, so a slow consumer no longer holds up whoever produces the work.",
    "First install the package, then restart the service and watch the log for a minute or two.",
    "Most people start with the simplest version that works and add the rest when they need it.",
    "It was built in the nineteenth century, burnt down twice, and is now a library that anybody may visit.",
    "If the value is missing, the function returns the default, which callers should not change afterwards.",
    "You asked about refunds: they are paid within 14 days to the account that was used for the order.",
    "There are three options here, and the second one is usually the best compromise between cost and quality.",
    "In short, measure before you optimise, and write down what you have found so that others can check it.",
    "Please let me know whether you would like a longer explanation, an example, or both of them.",
    "The library opens at 9 and closes at 18 on weekdays; on Saturdays it closes two hours earlier.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen, mostly in the leaves.",
)

_UNUSUAL = (
    "As of 2024-01-05 12:30 there are 1,234,567 rows, i.e. 12 % more than in 2023.",
    "Skip the first step; ask Sky about ASIA, then see section 4.2.1 (page 17).",
    "Here's what I'd do: sketch it, ship it, and only then generalise!",
    "SKU SK-1042 ships to DE, FR and NO. Great!",
    "Ihre Anfrage wurde geprüft – größere Änderungen sind nicht nötig.",
    "これは例です。全部で42個あります。",
    "Écrivez-nous à la fin du mois, s'il vous plaît.",
    "Emoji work too: 🎉 👩‍👩‍👧 and flags 🇩🇪.",
    "Call the shop on +49 30 901820 or write to support@shop.example; it opens at 9.",
    "The server listens on 127.0.0.1:8000 and on [::1]:8000, not on 0.0.0.0.",
    "See [the docs](https://docs.python.org/3/library/re.html) and <https://example.com/a?b=c&d=%20>.",
    "Pi is 3.14159265358979323846, e is 2.718281828459045, and 2**64 is 18446744073709551616.",
    "ISBN 978-3-16-148410-0, order 4029357733, invoice INV-2024-000123, tracking 1Z999AA10123456784.",
    "The timestamp 1700000000000 is in milliseconds; 1700000000 is in seconds.",
    "Use `sk-your-api-key-here` or `ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` as a placeholder.",
    "Export OPENAI_API_KEY=sk-... before you start, and never commit AKIAIOSFODNN7EXAMPLE.",
    "A PEM file begins with -----BEGIN CERTIFICATE----- and a key with -----BEGIN PRIVATE KEY-----.",
    "A JWT has three parts, header.payload.signature, and begins with eyJ.",
    "The relative image ![logo](/static/logo.png \"Logo\") stays, and so does ![dot](data:image/png;base64,iVBORw0KGgo=).",
    "key-value stores, key-by-key, key-1, hf_hub_download, npm_config_cache, pul-tab, dapi, xai-lab.",
    "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |",
    "1. one\n2. two\n   - three\n\n> quoted",
    "```python\ndef f(x: int) -> int:\n    return x << 2 if x < 10 else ~x  # <img>\n\nprint(f(3)[0:2], 'a!=b', \"![]\")\n```",
    "```sh\ngit log --oneline | head -5 && ls -la ~/.ssh\ncurl -s https://api.example.com/v1/items?limit=10 | jq '.[0]'\n```",
    '```json\n{"id": 7, "tags": ["a", "b"], "price": 12.50, "ok": true, "at": "2024-05-06T07:08:09Z"}\n```',
    "```html\n<a href=\"/x\">x</a> <img src=\"logo.png\" alt=\"logo\"> <input type=text>\n```",
    "```sql\nSELECT * FROM t WHERE a <> 'b' AND c >= 5 ORDER BY 1;\n```",
    "Seats 4 5 6 and 12 13 14 are free; rows 3-5 and 10-12 are not. Score: 4 - 2, 6:3, 5/7.",
    "Hex #ff8800, MAC 00:1A:2B:3C:4D:5E, time 23:59:59, ratio 16:9, version v1.2.3-rc.4+build.5.",
    "a@b, @user, user@, x@y z, foo!bar, C++, C#, F#, .NET, AT&T, R&D, 50 % off!",
)  # fmt: skip


def answer(random: Random) -> str:
    """One answer, of a few sentences and some of the values that only chance makes."""
    parts = random.choices(_PROSE, k=random.randint(2, 8)) + random.choices(_UNUSUAL, k=random.randint(0, 3))
    digest = hashlib.sha256(random.randbytes(8))
    values = (
        digest.hexdigest(),
        digest.hexdigest()[:7],
        b64encode(digest.digest()).decode(),
        str(UUID(int=random.getrandbits(128), version=4)),
        f"{random.random()}",
        f"{random.randint(1, 10**9)}",
        f"{random.randint(1, 28):02}/{random.randint(1, 12):02}/{random.randint(1900, 2100)}",
    )
    parts += random.choices(values, k=random.randint(0, 2))
    random.shuffle(parts)
    return random.choice((" ", "\n", "\n\n")).join(parts)


def pieces(text: str, random: Random, most: int = 12) -> list[str]:
    """Cut a text in any places."""
    cut, at = [], 0
    while at < len(text):
        size = random.randint(1, most)
        cut.append(text[at : at + size])
        at += size
    return cut
