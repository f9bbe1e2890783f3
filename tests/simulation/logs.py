"""What dispatch logs with a traceback, unforeseen: in no world may there be any of it."""

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog

# Since the list was last emptied; one world at a time runs in a process.
heard: list[str] = []


def listen() -> None:
    """Keep what comes with a traceback for the world that runs, and drop all else."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        processors=[_keep],
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _keep(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    if event.get("exc_info"):
        told = structlog.processors.format_exc_info(None, "", event)
        heard.append(f"{told.get('event')}: {str(told.get('exception'))[-1500:]}")
    return ""
