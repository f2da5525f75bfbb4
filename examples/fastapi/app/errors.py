"""What went wrong at the instance, as answers of this service.

Callers learn what they can do about it; what the developer can do is in the log. Neither has keys or tokens in it.
"""

from __future__ import annotations

import logging
from math import ceil

import picobase
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from picobase import PicoBaseError

from .models import Problem, Refused

log = logging.getLogger(__name__)

# By the class of the error: our status, and what to say. Without a sentence the instance's own is passed on.
ANSWERS: dict[type[PicoBaseError], tuple[int, str]] = {
    picobase.UnauthorizedError: (401, "Sign in: a token is missing."),
    picobase.SessionExpiredError: (401, "Sign in again: the token is wrong, or no longer good."),
    picobase.ForbiddenError: (403, ""),
    picobase.NotFoundError: (404, ""),
    picobase.ConflictError: (409, ""),
    picobase.ValidationError: (422, ""),
    picobase.RateLimitedError: (429, "Too many requests: wait for a moment."),
    picobase.NetworkError: (502, "The data cannot be reached: try again in a minute."),
    picobase.ServerError: (502, "Something failed behind this service: try again in a minute."),
    picobase.InstanceUnavailableError: (503, "The data is being woken up: try again in a moment."),
    picobase.TimeoutError: (504, "That took too long: try again in a minute."),
}
# What is left is ours: the address of the instance, its key, its schema.
OTHERWISE = (500, "Something is wrong with this service. It is noted.")

# For the documentation of the API: these answers every route may give.
RESPONSES: dict[int | str, dict[str, object]] = {
    status: {"model": Problem} for status in sorted({status for status, _ in [*ANSWERS.values(), OTHERWISE]})
}

# How long to wait where the instance did not say it, in seconds.
PATIENCE = 2


def answer_for(error: PicoBaseError) -> JSONResponse:
    """The answer to a request that failed so."""
    status, sentence = next((ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS), OTHERWISE)
    refused = [
        Refused(type=why.code, loc=("body", name), msg=why.message)
        for name, why in (error.fields.items() if status in (409, 422) else ())
    ]
    problem = Problem(detail=refused or sentence or error.message)
    return JSONResponse(problem.model_dump(), status, _headers(status, error))


def _headers(status: int, error: PicoBaseError) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if status in (429, 503):
        return {"Retry-After": str(max(1, ceil(error.retry_after or PATIENCE)))}
    return {}


def install(app: FastAPI) -> None:
    """Registers the one handler for all of them."""

    @app.exception_handler(PicoBaseError)
    async def failed(request: Request, error: PicoBaseError) -> JSONResponse:
        answer = answer_for(error)
        level = logging.ERROR if answer.status_code == 500 else logging.INFO
        log.log(level, "%s %s: %s: %s %s", request.method, request.url.path, error.kind, error, error.fix)
        return answer
