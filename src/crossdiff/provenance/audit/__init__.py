"""Does every number still rest on what it says it rests on? One check a file; `run` runs them.

Each check takes a `Study` and gives a `Finding`: what holds, what is broken, what could not be checked.
"""
