"""The private servers and certificates of tools/, which is a script's neighbour and no package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

from certificates import Certificate, make_certificate
from servers import (  # found through the line above
    PostgresqlServer,
    S3Server,
    free_port,
    nats_server,
    postgresql_server,
    redis_server,
    s3_server,
)

__all__ = [
    "Certificate",
    "PostgresqlServer",
    "S3Server",
    "free_port",
    "make_certificate",
    "nats_server",
    "postgresql_server",
    "redis_server",
    "s3_server",
]
