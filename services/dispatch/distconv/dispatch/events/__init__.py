"""Events of jobs and engines as the bus and those who follow them see them."""
