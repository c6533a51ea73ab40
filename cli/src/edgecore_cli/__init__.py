"""The `edgecore` command: the local stack, and a client of any EDGECORE.

app.py                     the command's tree and how errors reach the user
up.py, display.py          `edgecore up` and what it shows
layout.py, service.py      which children a local stack has, their ports, files and environment
supervisor.py, keeper.py   starts them in stages, keeps each one running, ends them
record.py, lock.py         var/stack.json and var/stack.lock
connection.py              which API the client commands talk to
generate.py, jobs.py, maintenance.py   the other commands
"""

__version__ = "0.1.0"
