"""What several addresses or names of one server, or one client, have in common.

Apart from `net_guard`, so that a process that fetches nothing imports no HTTP client.
"""

from ipaddress import IPv6Network, ip_address

_IPV6_PREFIX = 64
"""Bits that the addresses of one site have in common; it has millions of them."""


def network_of(address: str) -> str:
    """Return an IPv4 address as it is, and of an IPv6 address the network.

    Raises:
        ValueError: it is neither.
    """
    parsed = ip_address(address)
    if parsed.version == 4:
        return str(parsed)
    return str(IPv6Network((int(parsed), _IPV6_PREFIX), strict=False))


def is_address(host: str) -> bool:
    """Whether a host is an address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def domain_of(host: str) -> str:
    """Return the domain that a host's name is in, nearly: its last two labels.

    Names below it cost nothing, and have the same name server.
    """
    return ".".join(host.rstrip(".").lower().split(".")[-2:])
