"""A page on this machine that shows a training setup: its data, its schedule, where its network looks, and what is wrong.

    classlens.studio("demo")

A page asks with numbers and gets JSON or pictures (`routes`); who asks passes the `guard` first. What is shown comes from
the functions behind the other commands. Modules of this room are imported by `from classlens.studio import ...`:
`classlens.studio` itself is the verb.
"""

from classlens.studio.open_studio import studio

__all__ = ["studio"]
