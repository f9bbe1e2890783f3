"""Probing and counting media in a sandboxed child process.

Untrusted media is parsed by PyAV in `child`, never in the process that asks.
"""
