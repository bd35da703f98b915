"""Secrets: credentials in the formats that their issuers gave them, so that they can be told from text with certainty.

Prefixes, lengths and entropies are those of gitleaks' rules (MIT licence, see NOTICE). An item is taken at its least length,
and the rest of its unbroken token with it. There is no rule for "a name, an equals sign, something random": it finds examples.
"""

import re
from collections.abc import Sequence

from services.guardrails.screen.rules import TOKEN, Check, Rule, all_of_it, at_random
from services.guardrails.screen.shapes import Some, Word

_LETTERS = "A-Za-z0-9"
_URL_SAFE = r"A-Za-z0-9_\-"
_HEX = "a-fA-F0-9"
_BASE64 = "A-Za-z0-9+/="

_KEY_KINDS = (
    *(f"{kind}PRIVATE KEY" for kind in ("", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED ")),
    "PGP PRIVATE KEY BLOCK",
)
_PEM_END = re.compile(r"-----END[ A-Z0-9]{0,40}-----")
_UNBROKEN = re.compile(r"[A-Za-z0-9+/]{40}")


_CUT_OFF_CHARS = 16
"""So much of a token behind its prefix is withheld where the text ends in its middle, as it does at a token limit."""


def _not_the_example(found: str, before: str, behind: str) -> int:
    """AWS's documentation has keys that end in EXAMPLE."""
    return 0 if found.endswith("EXAMPLE") else at_random(2.5, of_last=16)(found, before, behind)


def _key_material(found: str, before: str, behind: str) -> int:
    """What stands between the lines of a PEM block is a key if 40 characters of it are unbroken base64."""
    return len(found) if _UNBROKEN.search(found) else 0


def _token(
    name: str, label: str, heads: Sequence[str], chars: str, size: int, *, bits: float = 3.0, check: Check | None = None
) -> Rule:
    shape = (Word(*heads), Some(chars, size, size))
    if check is None:
        check = at_random(bits, of_last=size) if bits else all_of_it
    cut_off_from = max(map(len, heads)) + min(size - 1, _CUT_OFF_CHARS)
    return Rule(name=f"secret.{name}", label=label, shape=shape, check=check, rest=TOKEN, cut_off_from=cut_off_from)


_STRIPE = tuple(f"{kind}_{mode}_" for kind in ("sk", "rk") for mode in ("test", "live", "prod"))
_GITLAB = tuple(f"gl{kind}-" for kind in ("pat", "dt", "rt", "ptt", "cbt", "ft", "imt", "agent", "oas", "soat"))
_SLACK = ("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xapp-")

SECRETS: tuple[Rule, ...] = (
    _token("mainstay", "API key", ("ms_",), _LETTERS, 55),
    _token("anthropic", "API key", ("sk-ant-",), _URL_SAFE, 80),
    _token("openai_project", "API key", ("sk-proj-", "sk-svcacct-", "sk-admin-"), _URL_SAFE, 58),
    _token("openrouter", "API key", ("sk-or-v1-",), _HEX, 64),
    _token("openai", "API key", ("sk-",), _LETTERS, 32),
    _token("stripe", "API key", _STRIPE, _LETTERS, 16, bits=2.5),
    _token("aws_access", "AWS key", ("AKIA", "ASIA", "ABIA", "ACCA"), "A-Z2-7", 16, check=_not_the_example),
    Rule(
        name="secret.aws_secret",
        label="AWS key",
        shape=(
            Word("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "secretAccessKey", "SecretAccessKey"),
            Some("\"':=> ", 1, 8),
            Some("A-Za-z0-9/+", 40, 40),
        ),
        check=at_random(4.0, of_last=40),
        rest=TOKEN,
    ),
    _token("google_api", "API key", ("AIza",), _URL_SAFE, 35),
    _token("google_oauth", "access token", ("GOCSPX-",), _URL_SAFE, 28),
    _token("google_access", "access token", ("ya29.",), _URL_SAFE, 60),
    _token("github", "GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _LETTERS, 36),
    _token("github_fine", "GitHub token", ("github_pat_",), "A-Za-z0-9_", 82),
    _token("gitlab", "GitLab token", _GITLAB, _URL_SAFE, 20),
    _token("slack", "Slack token", _SLACK, r"A-Za-z0-9\-", 24, bits=2.0),
    _token("slack_webhook", "webhook address", ("hooks.slack.com/services/",), "A-Za-z0-9+/", 43),
    _token("npm", "npm token", ("npm_",), _LETTERS, 36),
    _token("pypi", "PyPI token", ("pypi-AgEIcHlwaS5vcmc",), _URL_SAFE, 50),
    _token("rubygems", "RubyGems token", ("rubygems_",), _HEX, 48),
    _token("sendgrid", "API key", ("SG.",), r"A-Za-z0-9=_\-.", 66),
    _token("twilio", "API key", ("SK",), "a-f0-9", 32),
    _token("mailgun", "API key", ("key-",), "a-f0-9", 32),
    _token("hugging_face", "API key", ("hf_", "api_org_"), "A-Za-z", 34),
    _token("groq", "API key", ("gsk_",), _LETTERS, 52),
    _token("xai", "API key", ("xai-",), _LETTERS, 70),
    _token("perplexity", "API key", ("pplx-",), _LETTERS, 48),
    _token("digitalocean", "access token", ("dop_v1_", "doo_v1_", "dor_v1_"), "a-f0-9", 64),
    _token("databricks", "access token", ("dapi",), "a-f0-9", 32),
    _token("shopify", "access token", ("shpat_", "shpca_", "shppa_", "shpss_"), _HEX, 32),
    _token("square", "access token", ("sq0atp-", "sq0csp-"), _URL_SAFE, 22),
    _token("vault", "access token", ("hvs.", "hvb."), _URL_SAFE, 90),
    _token("grafana", "access token", ("glsa_",), "A-Za-z0-9_", 41),
    _token("new_relic", "API key", ("NRAK-",), "A-Z0-9", 27),
    _token("linear", "API key", ("lin_api_",), _LETTERS, 40),
    _token("notion", "API key", ("ntn_",), _LETTERS, 43),
    _token("postman", "API key", ("PMAK-",), r"a-f0-9\-", 59),
    _token("pulumi", "access token", ("pul-",), "a-f0-9", 40),
    _token("planetscale", "access token", ("pscale_tkn_", "pscale_pw_", "pscale_oauth_"), r"A-Za-z0-9_=.\-", 32),
    _token("doppler", "access token", ("dp.pt.", "dp.st."), _LETTERS, 40),
    _token("age", "private key", ("AGE-SECRET-KEY-1",), "A-Z0-9", 58),
    _token("azure_storage", "storage key", ("AccountKey=",), "A-Za-z0-9+/", 86),
    Rule(
        name="secret.telegram",
        label="bot token",
        shape=(Some("0-9", 8, 10), Word(":AA"), Some(_URL_SAFE, 33, 33)),
        check=at_random(3.0, of_last=33),
        rest=TOKEN,
    ),
    Rule(
        name="secret.jwt",
        label="token",
        shape=(Word("eyJ"), Some(_URL_SAFE, 10, 3_000), Word(".eyJ"), Some(_URL_SAFE, 10, 10)),
        rest=re.compile(r"[A-Za-z0-9_\-=.]*+"),
    ),
    Rule(
        name="secret.private_key",
        label="private key",
        shape=(
            Word(*(f"-----BEGIN {kind}-----" for kind in _KEY_KINDS)),
            Some(rf"{_BASE64}\s:,\-\\", 60, 240),
        ),
        check=_key_material,
        until=_PEM_END,
    ),
)
