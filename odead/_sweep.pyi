DTYPES: tuple[str, ...]
OPERATIONS: tuple[str, ...]
OPCODES: dict[str, int]
