"""PostgreSQL, a Kafka-protocol broker and a Redis from PyPI alone: no root, no Docker.

    part.py      what every part promises (`Part`), and the one error they raise (`PartFailed`)
    process.py   a part as a child process that cannot outlive its parent (`Child`)
    launcher.py  the few lines that run inside the child before the real program
    ports.py     free TCP ports that stay free
    account.py   the system user that PostgreSQL needs when we are root
    postgres.py, broker.py, redis.py   the three parts
    parts.py     all three at once, for test runs (`embedded_parts`)

Import from the modules: this package imports nothing, so that a part's own process starts fast.
"""
