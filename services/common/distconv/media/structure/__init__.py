"""What a file is and whether all of it is there, read from its bytes alone.

Memory-safe Python over ranged reads, bounded in what it reads whatever the
bytes say; it never opens what a file points at.
"""
