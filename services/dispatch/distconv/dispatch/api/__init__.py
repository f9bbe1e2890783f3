"""DispatchService: what clients call, unpacked, answered and packed."""
