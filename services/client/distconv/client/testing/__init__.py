"""A whole distconv server in memory, for tests of programs that use the SDK.

    async with FakeSystem() as fake, Client(fake.address) as client:
        ...

It speaks the contract over a real channel, does no encoding, and breaks when
it is told to (`fake.faults`).
"""

from distconv.client.testing.system import FakeSystem, Faults

__all__ = ["FakeSystem", "Faults"]
