"""Limits that both ends of a channel keep."""

# What a chunk of media holds at first, and always on the way to and from engines.
CHUNK_BYTES = 256 * 1024
# What a reader may ask a full chunk to hold at the least (storage_service.proto).
MIN_CHUNK_BYTES = 4096
# What it may hold at the most, by the contract (object.proto).
MAX_CHUNK_BYTES = 1024 * 1024
# What a segment that is put past storage may hold at the most (storage_service.proto).
MAX_SEGMENT_BYTES = 64 * 1024 * 1024
# Room for the largest chunk, and for a page of jobs.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
# Of a reader that is paced the requests are read while it is served: this bounds what they hold.
MAX_WAITING_RANGES = 1000
