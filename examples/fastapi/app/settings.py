"""What differs from one place where the service runs to the next."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The settings; times are in seconds.

    Attributes:
        url: The address of the instance.
        api_key: The key of the instance, where it has one.
        superuser_token: A superuser's token, with which the schema is read at the start. Nothing else is done with it.
        start_timeout: How long to wait for a sleeping instance at the start.
        request_timeout: How long a request waits for a sleeping instance before it answers 503. An instance that does
            not say when to come back is asked every 8 s or sooner: give it more than that.
        max_upload: How big a file may be, in bytes.
    """

    url: str
    api_key: str | None = None
    superuser_token: str | None = None
    start_timeout: float = 90
    request_timeout: float = 20
    max_upload: int = 20 * 1024 * 1024

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Reads the variables that the README names.

        Raises:
            RuntimeError: Nobody said where the instance is.
        """
        url = environment.get("PICOBASE_URL")
        if not url:
            raise RuntimeError("Set PICOBASE_URL to the address of your instance.")
        return cls(
            url,
            environment.get("PICOBASE_API_KEY") or None,
            environment.get("PICOBASE_SUPERUSER_TOKEN") or None,
            float(environment.get("START_TIMEOUT", cls.start_timeout)),
            float(environment.get("REQUEST_TIMEOUT", cls.request_timeout)),
        )
