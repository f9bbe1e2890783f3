"""Which dispatch server to connect to next, and how long to wait before: pure."""

from collections.abc import Callable, Sequence

# Addresses learned from a server that drains, beyond those configured; older ones give way.
_MAX_LEARNED = 16


class AddressBook:
    """The dispatch servers that an engine knows, in the order in which to try them.

    It stays with one that answers. One that refuses or is lost is followed by
    the next, at once while there is one that has not failed in this round;
    after a whole round in vain each further try waits, twice as long as the
    last and jittered, up to a bound.
    """

    def __init__(
        self,
        configured: Sequence[str],
        *,
        pause_s: tuple[float, float],
        randomness: Callable[[], float],
    ) -> None:
        """`pause_s` are the first and the longest pause; `randomness` yields 0..1.

        The engine starts with an address chosen by chance, so that a fleet spreads.
        """
        if not configured:
            raise ValueError("an engine needs the address of a dispatch server")
        self._first_s, self._longest_s = pause_s
        self._randomness = randomness
        # Each once, in their order; the start is drawn.
        known = list(dict.fromkeys(configured))
        start = min(int(randomness() * len(known)), len(known) - 1)
        self._order = known[start:] + known[:start]
        self._configured = frozenset(known)
        self._failed_in_a_row = 0
        self._pause_s = self._first_s

    @property
    def current(self) -> str:
        """Return the address to connect to."""
        return self._order[0]

    @property
    def known(self) -> tuple[str, ...]:
        """Return every address, the present one first."""
        return tuple(self._order)

    def answered(self) -> None:
        """Note that the present address answered: it begins a new round."""
        self._failed_in_a_row = 0
        self._pause_s = self._first_s

    def failed(self) -> float:
        """Go on to the next address; return how long to wait before, seconds."""
        self._order.append(self._order.pop(0))
        self._failed_in_a_row += 1
        if self._failed_in_a_row < len(self._order):
            return 0.0
        pause_s = self._pause_s * self._jitter()
        if self._failed_in_a_row % len(self._order) == 0:
            self._pause_s = min(self._pause_s * 2, self._longest_s)
        return pause_s

    def lost(self) -> float:
        """Go on after a session that stood was lost; return how long to wait before, seconds.

        A moment even then: the engines of a replica that died must not reach
        the next all in the same instant.
        """
        return max(self.failed(), self._first_s * self._jitter())

    def sent_to(self, addresses: Sequence[str]) -> None:
        """Note where a server that drains sends the engine: there first, to that server last.

        Without addresses the order stays; `lost` goes on to the next.
        """
        here = self._order[0]
        ahead = [a for a in dict.fromkeys(addresses) if a != here][:_MAX_LEARNED]
        if not ahead:
            return
        start = min(int(self._randomness() * len(ahead)), len(ahead) - 1)
        ahead = ahead[start:] + ahead[:start]
        rest = [a for a in self._order[1:] if a not in ahead and a in self._configured]
        learned = [a for a in self._order[1:] if a not in ahead and a not in self._configured]
        room = _MAX_LEARNED - sum(1 for a in ahead if a not in self._configured)
        # `lost` moves the first to the end: the draining server keeps its place until then.
        self._order = [here, *ahead, *rest, *learned[: max(room, 0)]]

    def _jitter(self) -> float:
        return 0.5 + 0.5 * self._randomness()
