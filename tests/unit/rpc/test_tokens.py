import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from distconv.core.errors import PermissionDeniedError, UnauthenticatedError
from distconv.rpc.tokens import KEY_BYTES, MediaAction, MediaTokens, load_or_make_key

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class FixedClock:
    def __init__(self, now: datetime = NOW) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


def sign(tokens: MediaTokens) -> str:
    token, _ = tokens.sign(
        tenant="local",
        subject="me",
        object_id="abc",
        action=MediaAction.READ,
        ttl=timedelta(minutes=5),
    )
    return token


def test_claims_come_back():
    tokens = MediaTokens(b"k" * KEY_BYTES, FixedClock())
    claims = tokens.verify(sign(tokens))
    assert (claims.tenant, claims.subject, claims.object) == ("local", "me", "abc")
    assert claims.expire_time == NOW + timedelta(minutes=5)
    claims.require(MediaAction.READ, "abc")


@pytest.mark.parametrize(
    ("action", "object_id"), [(MediaAction.WRITE, "abc"), (MediaAction.READ, "other")]
)
def test_a_token_allows_one_action_on_one_object(action, object_id):
    tokens = MediaTokens(b"k" * KEY_BYTES, FixedClock())
    with pytest.raises(PermissionDeniedError):
        tokens.verify(sign(tokens)).require(action, object_id)


def test_an_expired_token_does_not_hold():
    clock = FixedClock()
    tokens = MediaTokens(b"k" * KEY_BYTES, clock)
    token = sign(tokens)
    clock.time += timedelta(minutes=5)
    with pytest.raises(UnauthenticatedError, match="expired"):
        tokens.verify(token)


def test_another_key_an_edit_or_garbage_do_not_hold():
    tokens = MediaTokens(b"k" * KEY_BYTES, FixedClock())
    token = sign(MediaTokens(b"x" * KEY_BYTES, FixedClock()))
    head, body, mark = sign(tokens).split(".")
    for bad in (token, f"{head}.{body[:-2]}AA.{mark}", f"{head}.{body}.", "", "a.b.c", "\x00"):
        with pytest.raises(UnauthenticatedError):
            tokens.verify(bad)


def test_an_unsigned_token_does_not_hold():
    import jwt  # noqa: PLC0415

    forged = jwt.encode({"sub": "me", "aud": "distconv-storage", "exp": 9e9}, "", algorithm="none")
    with pytest.raises(UnauthenticatedError):
        MediaTokens(b"k" * KEY_BYTES, FixedClock()).verify(forged)


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="needs 32"):
        MediaTokens(b"short", FixedClock())


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path):
    path = tmp_path / "deep" / "media.key"
    first = load_or_make_key(path)
    assert load_or_make_key(path) == first
    assert len(first) == KEY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["media.key"]
