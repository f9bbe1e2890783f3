"""What the SDK does with engines and profiles."""

from collections.abc import AsyncGenerator

from distconv.client.calls import Calls
from distconv.client.convert.engine import to_engine
from distconv.client.engine import Engine
from distconv.core.names import bare, engine_name, profile_name
from distconv.core.profile import Profile
from distconv.rpc.convert.profile import to_profile
from distconv.v1 import dispatch_service_pb2 as dispatch


class EngineCalls(Calls):
    """Show, list and steer engines; show and list profiles.

    The name of an engine is always `engines/{id}` or an id; either may be
    shortened to what only one engine begins with.
    """

    async def get_engine(self, name: str) -> Engine:
        """Return an engine. Raises NotFoundError."""
        connection = self._connection
        response = await connection.once(
            connection.dispatch.GetEngine, dispatch.GetEngineRequest(name=_engine_name(name))
        )
        return to_engine(response.engine)

    async def list_engines(
        self,
        *,
        filter: str = "",  # noqa: A002  # the contract's word
        order_by: str = "",
        page_size: int = 0,
    ) -> AsyncGenerator[Engine, None]:
        """Yield engines, fetching pages as needed.

        `filter` joins `state = ONLINE`, `tag = gpu`, `text : "words"`, `create_time >= TIME`
        and `connect_time >= TIME` by AND; `order_by` is `name desc` (the default: the newest
        first), `display_name` or `create_time`.
        """
        connection = self._connection
        token = ""
        while True:
            response = await connection.once(
                connection.dispatch.ListEngines,
                dispatch.ListEnginesRequest(
                    filter=filter, order_by=order_by, page_size=page_size, page_token=token
                ),
            )
            for engine in response.engines:
                yield to_engine(engine)
            token = response.next_page_token
            if not token:
                return

    async def set_engine_maintenance(
        self, name: str, *, maintenance: bool, release: bool = False
    ) -> Engine:
        """Take an engine out of service, or back in, and return it. Idempotent.

        Out of service it finishes what it has and takes nothing new; with
        `release` what it has goes to other engines at once. Back in service a
        quarantine is lifted too. Raises NotFoundError, FailedPreconditionError
        (it is revoked).
        """
        connection = self._connection
        response = await connection.once(
            connection.dispatch.SetEngineMaintenance,
            dispatch.SetEngineMaintenanceRequest(
                name=_engine_name(name), maintenance=maintenance, release=release
            ),
        )
        return to_engine(response.engine)

    async def revoke_engine(self, name: str) -> Engine:
        """Never let an engine connect again, and return it. Cannot be undone. Idempotent.

        Raises NotFoundError.
        """
        connection = self._connection
        response = await connection.once(
            connection.dispatch.RevokeEngine, dispatch.RevokeEngineRequest(name=_engine_name(name))
        )
        return to_engine(response.engine)

    async def get_profile(self, name: str) -> Profile:
        """Return a profile. Raises UnknownProfileError, which names those that are near."""
        connection = self._connection
        response = await connection.once(
            connection.dispatch.GetProfile,
            dispatch.GetProfileRequest(name=profile_name(bare(name, "profiles"))),
        )
        return to_profile(response.profile)

    async def list_profiles(self) -> tuple[Profile, ...]:
        """Return the profiles that jobs may name, by name."""
        connection = self._connection
        response = await connection.once(
            connection.dispatch.ListProfiles, dispatch.ListProfilesRequest()
        )
        return tuple(to_profile(profile) for profile in response.profiles)


def _engine_name(name: str) -> str:
    return engine_name(bare(name, "engines"))
