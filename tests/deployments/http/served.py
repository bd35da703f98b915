"""An application on a port, for clients that need one."""

from dataclasses import dataclass
from typing import Any

import openai

from tests.deployments.http.fakes import KEY, Rig


@dataclass
class Served:
    rig: Rig
    url: str

    def client(self, **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(api_key=KEY, base_url=self.url, **options)
