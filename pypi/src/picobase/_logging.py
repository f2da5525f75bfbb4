"""The core's words in the standard `logging`. Imported when the program itself has imported that."""

from __future__ import annotations

import logging
from typing import Any

_logger = logging.getLogger("picobase")
# Without it, `logging` would write warnings to stderr where nobody has set it up.
_logger.addHandler(logging.NullHandler())


def level() -> int:
    """The least level that somebody listens to; 0 where nobody does."""
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        if _logger.isEnabledFor(level):
            return level
    return 0


def emit(level: int, message: str, extra: dict[str, Any]) -> None:
    """Hands on what the core says. It was not said by a line of Python, so none is looked for."""
    _logger.handle(_logger.makeRecord(_logger.name, level, "picobase", 0, message, (), None, None, extra))
