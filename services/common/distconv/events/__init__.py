"""The event bus; its port and adapters come with the fleet."""
