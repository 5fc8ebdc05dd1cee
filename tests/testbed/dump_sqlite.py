"""Prints every column of every table of a SQLite database as one JSON object: {"table.column": [hex of each value]}.

With --columns only the names. SQL lives in src/store; a test that judges the database from outside looks through this.
"""

import json
import sqlite3
import sys

path, only_columns = sys.argv[1], "--columns" in sys.argv
connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
connection.text_factory = bytes


def to_hex(value):
    if isinstance(value, bytes):
        return value.hex()
    return str(value).encode().hex()


found = {}
for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
    table = table.decode()
    for row in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
        column = row[1].decode()
        values = [] if only_columns else connection.execute(f'SELECT "{column}" FROM "{table}"').fetchall()
        found[f"{table}.{column}"] = [to_hex(value) for (value,) in values if value is not None]
print(json.dumps(found))
