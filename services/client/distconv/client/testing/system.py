"""The fake server as a whole: started, stopped, and started again at the same address."""

from datetime import timedelta
from types import TracebackType
from typing import Self

from distconv.client.testing.dispatch import FakeDispatch
from distconv.client.testing.state import FakeState, Faults
from distconv.client.testing.storage import FakeStorage
from distconv.rpc.auth import LocalAuthenticator
from distconv.rpc.server import Server, ServerSettings, Service, start_server
from distconv.v1.dispatch_service_pb2_grpc import add_DispatchServiceServicer_to_server
from distconv.v1.storage_service_pb2_grpc import add_StorageServiceServicer_to_server

__all__ = ["FakeSystem", "Faults"]


class FakeSystem:
    """Dispatch and storage in memory behind a real port on loopback."""

    def __init__(self) -> None:
        self.state = FakeState()
        self.address = "127.0.0.1:0"
        self._server: Server | None = None

    @property
    def faults(self) -> Faults:
        """Return what is to break."""
        return self.state.faults

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, at the same address as before if there was one."""
        # The generated bases answer UNIMPLEMENTED to what the fake leaves out.
        dispatch = FakeDispatch(self.state)  # type: ignore[abstract]
        storage = FakeStorage(self.state)  # type: ignore[abstract]
        self._server = await start_server(
            ServerSettings(bind=self.address, drain_grace=timedelta(0)),
            [
                Service(
                    name="distconv.v1.DispatchService",
                    authenticator=LocalAuthenticator(),
                    register=lambda s: add_DispatchServiceServicer_to_server(dispatch, s),
                ),
                Service(
                    name="distconv.v1.StorageService",
                    authenticator=LocalAuthenticator(),
                    register=lambda s: add_StorageServiceServicer_to_server(storage, s),
                ),
            ],
        )
        self.address = self._server.address

    async def stop(self) -> None:
        """Cut every call and stop listening; the state stays."""
        if self._server is not None:
            await self._server.stop()
            self._server = None
