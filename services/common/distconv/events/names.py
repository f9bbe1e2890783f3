"""Names on the bus."""

import re

from distconv.core.errors import InvalidArgumentError

_SUBSCRIPTION = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_WORD = re.compile(r"[A-Za-z0-9_-]+\Z")


def check_subscription_name(name: str) -> None:
    """Raise InvalidArgumentError unless `name` can name a durable subscription."""
    if not _SUBSCRIPTION.match(name):
        raise InvalidArgumentError(
            f"'{name[:80]}' cannot name a subscription; write 1 to 64 letters, digits, - and _",
            field="subscription",
        )


def token(text: str) -> str:
    """Return `text` as one word of a subject: what is not a letter, digit, - or _ becomes =XX."""
    if _WORD.match(text):
        return text
    return "".join(
        chr(byte) if (chr(byte).isalnum() and byte < 0x80) or byte in b"-_" else f"={byte:02X}"
        for byte in text.encode()
    )


def topic_matches(pattern: str, topic: str) -> bool:
    """Tell whether a topic fits a pattern, in which `*` stands for any one word."""
    wanted, words = pattern.split("."), topic.split(".")
    return len(wanted) == len(words) and all(
        want in ("*", word) for want, word in zip(wanted, words, strict=True)
    )
