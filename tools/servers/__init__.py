"""Private servers for tests and benchmarks: PostgreSQL, NATS, Redis, S3 and Azure Blob Storage.

    with postgresql_server() as server:
        url = server.new_database()

Each listens on a free port of 127.0.0.1, keeps everything in a temporary folder,
and is gone with the block; should this process itself be killed, the kernel kills
the servers with it. `kill` is a SIGKILL of every process of the server, `start`
brings it back on the same port and folder: what a crash leaves is what it finds.

All calls block, the longest (`initdb`) for a second or two; an async test calls
them through `asyncio.to_thread`.
"""

from servers.azure import AzureServer, azure_server
from servers.nats import NatsServer, nats_server
from servers.postgresql import PostgresqlServer, postgresql_server
from servers.private import PrivateServer, ServerFailedError, free_port
from servers.programs import MissingServerError, find_program
from servers.redis import RedisServer, redis_server
from servers.s3 import S3Server, s3_server

__all__ = [
    "AzureServer",
    "MissingServerError",
    "NatsServer",
    "PostgresqlServer",
    "PrivateServer",
    "RedisServer",
    "S3Server",
    "ServerFailedError",
    "azure_server",
    "find_program",
    "free_port",
    "nats_server",
    "postgresql_server",
    "redis_server",
    "s3_server",
]
