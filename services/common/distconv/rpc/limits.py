"""Limits that both ends of a channel keep."""

# A chunk is 256 KiB and may be 1 MiB; 4 MiB leaves room for a page of jobs.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
