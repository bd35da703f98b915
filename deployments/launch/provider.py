"""Ask the configured providers one cheap question before anything is started: do they know our key?"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from configs.providers import ProviderSettings
from configs.section import EnvRef
from deployments.launch.errors import LaunchFailed

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One endpoint as this machine's environment resolves it."""

    model: str
    base_url: str
    api_key: str


def resolve(settings: ProviderSettings, environ: Mapping[str, str]) -> Provider:
    """Return the endpoint that the settings name. Raises SettingsError where a variable is missing."""
    return Provider(
        model=_value(settings.model, environ),
        base_url=_value(settings.base_url, environ).rstrip("/"),
        api_key=_value(settings.api_key, environ),
    )


def first_answering(providers: Sequence[Provider], *, say: Callable[[str], None]) -> Provider:
    """Check every provider and return the first that passed. Raises the first one's LaunchFailed when none did.

    One that does not pass is said and let be: its breaker will open, and the others answer in its place.
    """
    failures: list[LaunchFailed] = []
    passed: list[Provider] = []
    for provider in providers:
        try:
            # One that LangChain knows has an address of its own, and no list that we could ask for.
            if provider.base_url:
                check(provider, say=say)
            passed.append(provider)
        except LaunchFailed as failure:
            failures.append(failure)
    if not passed:
        raise failures[0]
    for skipped in failures:
        say(f"Going on without it: {skipped.cause}")
    return passed[0]


def check(provider: Provider, *, say: Callable[[str], None], timeout_s: float = _TIMEOUT_S) -> None:
    """List the provider's models. Raises LaunchFailed when it cannot be reached or rejects the key.

    Anything else is said and let pass: not every endpoint offers the list, and a model may be served that is not on it.
    """
    request = urllib.request.Request(  # noqa: S310 - the operator chose the endpoint
        f"{provider.base_url}/models", headers={"Authorization": f"Bearer {provider.api_key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            body = answer.read(4_000_000)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in {401, 403}:
            raise LaunchFailed(
                f"the key in OPENAI_API_KEY was rejected by the provider at {provider.base_url} (HTTP {error.code})",
                "set a valid key, or unset OPENAI_API_KEY to use the embedded model",
            ) from None
        say(f"The provider at {provider.base_url} answers HTTP {error.code} to its list of models; going on")
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise LaunchFailed(
            f"the provider at {provider.base_url} cannot be reached ({reason})",
            "check OPENAI_BASE_URL and the network, or unset OPENAI_API_KEY to use the embedded model",
        ) from error
    if (names := _names(body)) and provider.model not in names:
        say(
            f"The provider does not list the model {provider.model}; set OPENAI_MODEL to one of: {', '.join(names[:5])}"
        )


def _names(body: bytes) -> list[str]:
    try:
        return [str(item["id"]) for item in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError):
        return []


def _value(setting: str | EnvRef | None, environ: Mapping[str, str]) -> str:
    return setting.resolve(environ) if isinstance(setting, EnvRef) else setting or ""
