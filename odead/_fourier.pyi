FOUND: bool
