r"""Open a page on this machine that shows a training setup: data, schedule, maps and findings, linked with each other.

For example:

  classlens studio demo
  classlens studio configs/resnet/resnet50_8xb32_in1k.py \
      --checkpoint epoch_50.pth epoch_100.pth
  classlens studio folder:photos --port 8123 --no-browser
  classlens studio demo --audit out/audit

It prints a link that opens it in one browser, and, where this machine is reached by SSH, the command of a tunnel. Nobody
else is let in, and nothing is loaded from elsewhere. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from classlens.cli.display import has_display
from classlens.cli.parsing import add_overrides, number_type, positive_int, print_note, read_request
from classlens.printed import json_text, print_text
from classlens.runs.own_process import end_here, exit_status, outlive_crashes, return_freed_memory

if TYPE_CHECKING:
    import socket

    from classlens.studio.serve import Keys, StudioRequest

ports = number_type(int, lambda value: 0 <= value <= 65_535, "a port, from 0 to 65535")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is shown, and where it is served."""
    add = parser.add_argument
    add("targets", nargs="+", metavar="TARGET", help="configs or other addresses, e.g. demo, folder:photos")
    several = "weights; several are compared"
    add("--checkpoint", dest="checkpoints", nargs="+", action="extend", metavar="FILE", help=several)
    add("-d", "--dataset-size", type=positive_int, metavar="N", help="training samples, if the data are not here")
    add("-n", "--ngpus", dest="gpus", type=positive_int, metavar="N", help="GPUs in training (default: 1)")
    add("--log", type=Path, metavar="RUN", help="what a training run of the first target wrote, or its folder")
    add("--audit", metavar="DIR", help="what `classlens audit` has written about the pictures of a target")
    add("--port", type=ports, metavar="N", help="where the page is served (default: any that is free)")
    add("--no-browser", action="store_true", help="print the link, and open nothing")
    host = "let others in who can reach this address of the machine, and know --token (default: nobody)"
    add("--host", metavar="ADDRESS", help=host)
    add("--token", metavar="TEXT", help="the password of the page; the link then opens any number of browsers")
    add("--trust-checkpoint", action="store_true", help="unpickle checkpoints even if they could run code")
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the link, and serve until Ctrl-C."""
    from classlens.studio.serve import Keys, StudioRequest, bind, link_of, tunnel_line

    request = read_request(arguments, StudioRequest)
    server = bind(request.host, request.port)

    def print_link() -> None:
        link = link_of(server, request.host, keys)
        print_text(json_text({"link": link}) if arguments.json else link)

    keys = Keys(request.token, print_link)
    if not request.is_local:
        others = f"--host {request.host} lets in everybody who reaches this machine and knows the token"
        print_note("warning", f"{others}, without encryption")
    keys.on_used()
    if not arguments.no_browser and request.is_local and not os.environ.get("SSH_CONNECTION"):
        open_browser(link_of(server, request.host, keys))
    print_note("note", "a link opens one browser, and the next one is printed then; Ctrl-C ends the studio")
    if tunnel := tunnel_line(server, request.host):
        print_note("note", f"from your own machine, before you open the link: {tunnel}")
    # the child may have used its link up: the next one prints another
    return outlive_crashes(
        partial(serve, server, request, keys), is_last=arguments.is_last, renew=lambda: keys.redeem(keys.token)
    )


def open_browser(link: str) -> None:
    """Have the system open the link, in a process of its own: this one must have no threads when it starts another."""
    from subprocess import DEVNULL, Popen

    if has_display():
        Popen([sys.executable, "-m", "webbrowser", link], stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)


def serve(server: socket.socket, request: StudioRequest, keys: Keys) -> int:
    """Answer until a signal comes."""
    from classlens.studio.serve import make_server
    from classlens.studio.session import Session

    return_freed_memory()
    session = Session(request)
    try:
        make_server(server, session, keys).run([server])
    except KeyboardInterrupt as stopped:
        session.close()
        end_here(exit_status(stopped) - 128)  # threads may be in a decoder for ever
    return 0
