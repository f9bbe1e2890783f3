"""The private servers of tools/servers.py, which is a script's neighbour and no package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

from servers import (  # found through the line above
    PostgresqlServer,
    nats_server,
    postgresql_server,
    redis_server,
)

__all__ = ["PostgresqlServer", "nats_server", "postgresql_server", "redis_server"]
