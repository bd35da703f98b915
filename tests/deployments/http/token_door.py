"""The real recognition of tokens, by the key set of a provider in memory."""

from services.security.authenticator import Authenticator
from services.security.key_source import KeySource, KeyTimes
from services.security.refusals import Watch
from services.security.token_authenticator import KeyOrToken, TokenAuthenticator
from tests.deployments.http.fakes import FixedAuthenticator
from tests.services.security.issuer import POLICY, START, key_set


class TokenDoor(KeyOrToken):
    """Recognises tokens, and keys by another authenticator. While the provider is `away` it answers with nothing."""

    def __init__(self, keys: Authenticator | FixedAuthenticator, watch: Watch) -> None:
        self.away = False
        source = KeySource(self._key_set, KeyTimes(), clock=lambda: 0.0, reported=lambda _: None)
        tokens = TokenAuthenticator(source, POLICY, watch, clock=lambda: 0.0, now=lambda: START)
        super().__init__(keys, tokens)  # type: ignore[arg-type]

    async def _key_set(self) -> bytes:
        return b"" if self.away else key_set()
