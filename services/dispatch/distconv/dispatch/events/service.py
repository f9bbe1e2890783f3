"""EventService: unpack, call, pack."""

# ruff: noqa: N802, ARG002  # the contract's names, and gRPC's signature

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc.aio

from distconv.dispatch.events.api import EventApi
from distconv.dispatch.events.wire import dead_letter_message, event_message
from distconv.rpc.auth import LocalTenantAuthenticator, principal
from distconv.rpc.server import Service
from distconv.v1 import event_service_pb2 as pb
from distconv.v1.event_service_pb2_grpc import (
    EventServiceServicer,
    add_EventServiceServicer_to_server,
)

NAME = "distconv.v1.EventService"


class EventServicer(EventServiceServicer):
    """Serve those who follow events."""

    def __init__(self, api: EventApi) -> None:
        self._api = api

    async def WatchEvents(
        self, request: pb.WatchEventsRequest, context: Any
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        """Follow events."""
        events = self._api.watch(principal().tenant, types=request.types, subject=request.subject)
        async with aclosing(events):
            async for event in events:
                yield pb.WatchEventsResponse(
                    event=event_message(event) if event is not None else None
                )

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: Any
    ) -> pb.ListDeadLettersResponse:
        """List dead letters."""
        page = await self._api.list(page_size=request.page_size, page_token=request.page_token)
        return pb.ListDeadLettersResponse(
            dead_letters=[dead_letter_message(letter) for letter in page.letters],
            next_page_token=page.next_page_token,
        )

    async def GetDeadLetter(
        self, request: pb.GetDeadLetterRequest, context: Any
    ) -> pb.GetDeadLetterResponse:
        """Describe a dead letter."""
        letter = await self._api.get(request.name)
        return pb.GetDeadLetterResponse(dead_letter=dead_letter_message(letter))

    async def ReplayDeadLetter(
        self, request: pb.ReplayDeadLetterRequest, context: Any
    ) -> pb.ReplayDeadLetterResponse:
        """Deliver a dead letter anew."""
        await self._api.replay(request.name, by=principal().user)
        return pb.ReplayDeadLetterResponse()

    async def DiscardDeadLetter(
        self, request: pb.DiscardDeadLetterRequest, context: Any
    ) -> pb.DiscardDeadLetterResponse:
        """Remove a dead letter."""
        await self._api.discard(request.name, by=principal().user)
        return pb.DiscardDeadLetterResponse()


def event_service(servicer: EventServicer) -> Service:
    """Make the service for a server."""

    def register(server: grpc.aio.Server) -> None:
        add_EventServiceServicer_to_server(servicer, server)

    return Service(name=NAME, authenticator=LocalTenantAuthenticator(), register=register)
