"""Published weights and data: found in the local cache, or downloaded where there is a network; else refused at once.

Clients of hubs retry a missing network for a minute before they give up; here the question is asked first.
"""

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from classlens.errors import DataError


def reachable(url: str) -> bool:
    """Whether the name of a server can be resolved: fails within milliseconds on a machine without a network.

    Behind a proxy the name is the proxy's to resolve, and this machine need not know it.
    """
    parts = urlsplit(url)
    host, proxies = parts.hostname or "", getproxies()
    if (proxies.get(parts.scheme) or proxies.get("all")) and not proxy_bypass(host):
        return True
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True


def cached(repository: str, names: tuple[str, ...], revision: str | None = None) -> bool:
    """Whether any of the files of a repository is in the cache of the Hugging Face Hub."""
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(repository, name, revision=revision), str) for name in names)


def hub_answers() -> bool:
    """Whether the Hugging Face Hub can be asked: there is a network, and `HF_HUB_OFFLINE` does not forbid it."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and reachable(constants.ENDPOINT)


def hub_at_hand(repository: str, names: tuple[str, ...], revision: str | None = None) -> bool:
    """Whether files of a repository are in the cache, or the Hub can be asked for them."""
    return cached(repository, names, revision) or hub_answers()


def out_of_reach(what: str, hint: str) -> DataError:
    """The error for published weights or data that are neither cached nor to be had."""
    return DataError(f"{what} are not on this machine, and there is no network to get them", hint=hint)
