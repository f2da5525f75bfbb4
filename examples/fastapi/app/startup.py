"""What is made sure of before the first request: the instance is awake, and it has what the service needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import picobase
from picobase import (
    AsyncClient,
    ForbiddenError,
    InstanceUnavailableError,
    NotFoundError,
    PicoBaseError,
    ValidationError,
)
from pydantic import BaseModel

from .models import Note, Post
from .settings import Settings

# The collections, and the models that their records must fit.
NEEDED: dict[str, type[BaseModel]] = {"private_notes": Note, "posts": Post}


class StartError(Exception):
    """The service cannot start. Its message says why, and what to do."""


async def check(client: AsyncClient, settings: Settings) -> None:
    """Waits for the instance, then looks whether it has all that is needed.

    Raises:
        StartError: It does not wake up, cannot be reached, or lacks something.
    """
    # Whoever comes without a token asks with the key alone: with that of a superuser a guest could do everything.
    if settings.api_key and settings.api_key.count(".") == 2:
        raise StartError("PICOBASE_API_KEY is a superuser's token. Put it into PICOBASE_SUPERUSER_TOKEN instead.")
    try:
        await awake(client, settings.start_timeout)
        missing = await lacking(client, settings.superuser_token)
    except PicoBaseError as error:
        raise StartError(f"The instance at {settings.url} cannot be used: {error} {error.fix}") from error
    if missing:
        raise StartError(f"The instance at {settings.url} lacks {'; '.join(missing)}. Import collections.json there.")


async def awake(client: AsyncClient, patience: float) -> None:
    """Returns when the instance answers.

    Raises:
        StartError: It has not within `patience` seconds.
    """
    try:
        async with asyncio.timeout(patience):
            while True:
                try:
                    await client.health(timeout=10)
                except (InstanceUnavailableError, picobase.TimeoutError) as error:
                    await asyncio.sleep(min(error.retry_after or 1, 5))
                else:
                    return
    except TimeoutError:
        words = f"The instance at {client.url} did not wake up within {patience:g} s. Is the address right?"
        raise StartError(words) from None


async def lacking(client: AsyncClient, superuser_token: str | None) -> list[str]:
    """What is missing, in words: read from the schema with a superuser's token, else found out by asking."""
    root = client.with_session(superuser_token) if superuser_token else None
    missing: list[str] = []
    for name, model in NEEDED.items():
        try:
            fields = await (_read(root, name, model) if root else _asked(client, name, model))
        except NotFoundError:
            missing.append(f"the collection {name}")
        except ForbiddenError:
            missing.append(f"a list rule for {name}")
        else:
            missing += [f"the field {name}.{field}" for field in fields]
    return missing


async def _read(root: AsyncClient, name: str, model: type[BaseModel]) -> list[str]:
    collection = await root.collections.get_one(name)
    there = {field["name"] for field in collection["fields"]}
    return [field for field in model.model_fields if field not in there]


async def _asked(client: AsyncClient, name: str, model: type[BaseModel]) -> list[str]:
    """A filter may name only fields that there are. Whether it finds anything does not matter."""
    if await _can_filter(client, name, model.model_fields):
        return []
    return [field for field in model.model_fields if not await _can_filter(client, name, [field])]


async def _can_filter(client: AsyncClient, name: str, fields: Iterable[str]) -> bool:
    everything = " && ".join(f"{field} != ''" for field in fields)
    try:
        await client.collection(name).get_list(1, 1, filter=everything, fields="id", skip_total=True)
    except ValidationError:
        return False
    return True
