"""Say beforehand whether a source can go through a pipe."""

from distconv.core.errors import UnsupportedSourceError
from distconv.media.layout import LayoutLimits, lay_out
from distconv.media.ports import RangedSource


async def pipe_obstacle(
    source: RangedSource, container: str, limits: LayoutLimits | None = None
) -> str:
    """Return why a source of `container` cannot be streamed, for people; empty when it can.

    Reads an MP4's index and no media. Raises CorruptSourceError when the index
    is damaged.
    """
    try:
        await lay_out(source, container, limits)
    except UnsupportedSourceError as error:
        return error.message
    return ""
