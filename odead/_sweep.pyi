OPCODES: dict[str, int]
