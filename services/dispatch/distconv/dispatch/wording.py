"""Numbers, times and sizes in sentences for people. Pure."""

from datetime import datetime


def count(number: int, noun: str) -> str:
    """Say how many: `1 engine`, `3 engines`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def clock(time: datetime) -> str:
    """Say a time of day, in UTC."""
    return f"{time:%H:%M:%S} UTC"


def size(size_bytes: float) -> str:
    """Say how much: `640 MB`, `2.1 GB`."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= scale:
            value = size_bytes / scale
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{size_bytes:.0f} bytes"
