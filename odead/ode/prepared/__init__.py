"""What solves have in common that differ in numbers alone, made once; members of ensembles by it."""
