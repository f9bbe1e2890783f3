"""The terms by which a job is found: its labels, and the words of its source's file name. Pure.

They are kept as an inverted index, so that a filter costs the same however
many jobs there are.
"""

import re
from collections.abc import Mapping

# Letters and digits of any script; an underscore parts words as a dash does.
_WORD = re.compile(r"[^\W_]+")
# The longest word that is kept whole; a longer one is found by its beginning.
MAX_WORD_LENGTH = 64


def label_term(key: str, value: str) -> str:
    """Return the term of a label."""
    return f"label:{key}={value}"


def word_terms(text: str) -> tuple[str, ...]:
    """Return the terms of a text: its words in lower case, each once, in their order."""
    words = dict.fromkeys(word[:MAX_WORD_LENGTH] for word in _WORD.findall(text.lower()))
    return tuple(f"word:{word}" for word in words)


def terms_of(labels: Mapping[str, str], file_name: str) -> frozenset[str]:
    """Return every term of a job."""
    return frozenset(
        (*(label_term(key, value) for key, value in labels.items()), *word_terms(file_name))
    )
