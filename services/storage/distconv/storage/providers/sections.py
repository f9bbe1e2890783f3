"""What the place of a pool is divided into: folders on a disk, prefixes in a bucket.

Whether a place holds anything is asked of the same names as it is written under.
"""

OBJECTS = "objects"
"""What is stored."""

STAGING = "staging"
"""Uploads under way."""

SCRATCH = "scratch"
"""Temporary files, on a disk alone."""
