"""The matrix of faults: what a handler can do wrong, on each isolation level.

`cells.py` runs one fault on one level in a process of its own, `matrix.py` runs all and prints the
table, `rows.py` says what each fault is and what has to come of it. `make faults` prints it.
"""
