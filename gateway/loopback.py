"""Which hosts are this machine: elsewhere nothing is listened on or asked in the clear."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host is ``localhost`` or a loopback address; a name is looked up nowhere."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
