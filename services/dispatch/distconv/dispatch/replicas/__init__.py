"""Many dispatch processes on one database: who they are, and what they tell each other."""
