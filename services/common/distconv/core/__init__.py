"""The pure heart: states, values, errors, ids, profiles. Standard library only, no I/O."""
