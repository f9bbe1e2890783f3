"""Changes: records moved together in one transaction, and what follows once they are committed."""
