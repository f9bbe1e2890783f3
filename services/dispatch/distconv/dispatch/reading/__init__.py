"""What clients see: jobs, tasks and engines, found, filtered, listed and explained."""
