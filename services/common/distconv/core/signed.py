"""What signing gives: a way past storage, for those who hold it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPut:
    """Where plain HTTP can put some bytes, and the headers that it has to send with them."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
