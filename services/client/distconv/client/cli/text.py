"""Sizes, times and the like as people read them."""

from datetime import datetime, timedelta

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def size(count: float, *, more_digits: int = 0) -> str:
    """Write a number of bytes with three digits, or more, and a decimal unit."""
    value, unit = float(count), 0
    while abs(value) >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return "1 byte" if count == 1 else f"{int(count)} bytes"
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits + more_digits}f} {_UNITS[unit]}"


def span(value: timedelta | float) -> str:
    """Write a length of time as h:mm:ss."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def age(value: datetime | None, now: datetime) -> str:
    """Write how long ago something was, in its largest unit."""
    if value is None:
        return ""
    seconds = max(0, int((now - value).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def percent(fraction: float) -> str:
    """Write a share of one as whole percents, never 100 before all is done."""
    return f"{min(int(fraction * 100), 99) if fraction < 1 else 100} %"


def rate(text: str) -> str:
    """Write a frame rate given as the fraction "30000/1001"; empty when it is none."""
    top, _, bottom = text.partition("/")
    try:
        value = int(top) / int(bottom or "1")
    except (ValueError, ZeroDivisionError):
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".") + " fps" if value else ""


def printable(text: str) -> str:
    """Replace what moves a terminal's cursor: a file's name may hold it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def cut(text: str, length: int) -> str:
    """Shorten a text in its middle."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[-(length - 1 - head) :]}"
